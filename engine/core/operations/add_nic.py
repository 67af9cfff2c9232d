"""add-nic: put a VM on one more network.

Legal flow: allocate → prepare → plug; the NIC Allocated, and of a Running VM → Reserving → Reserved. `allocate` is
done by the request itself, in its transaction: the NIC is there and owns its addresses before the caller has an
answer; one whose address comes with the pod takes it in `prepare`, in the pod of the VM's host. Of a VM that does
not run the other steps do nothing: its NICs are prepared when it starts.
Owned: the new NIC alone. The VM stays in its state, and its event NicChangeRequested changes nothing.
Unwinding: unplugged, released, Deallocated, its addresses given back; the guest keeps what it had. A NIC that may have
been plugged or prepared is treated like one that was.
Races: two requests for one address, MAC or name are told apart by the unique indexes. The request moves the VM, so it
is refused as stale, and admitted anew, if the VM was started, stopped or given a NIC since it was looked at; from then
on the operation owns the VM. Where host names are distinct in a network, the NIC owns the VM's name there.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.admission import nic_changes as rules
from interlock.engine.core.draft import Draft
from interlock.engine.core.operations.deploy import allocate_nic
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps import nic
from interlock.schema.requests import AddNic
from interlock.schema.settings import NAME_SCOPE


def _allocate(draft: Draft, request: AddNic, caller_id: str | None, ids: Iterator[str]) -> None:
    network = rules.network_for(draft, request.nic.network)
    rules.zone_allows_another(draft)
    rules.not_on_it(draft, network)
    device = rules.has_a_slot(draft)
    rules.can_be_plugged(draft)
    rules.within_limits(draft, network)
    vm = draft.move(draft.vm, "NicChangeRequested")
    host_name = vm.name if draft.cloud.setting(NAME_SCOPE) == "network" else None
    allocate_nic(draft, vm, network, request.nic, next(ids), device, is_default=False, host_name=host_name)


ADD_NIC = Program(
    "add-nic",
    accepts=("Allocated", "Stopped", "Running"),
    steps=(
        Step("allocate", Act(), undo=Act(settle=nic.deallocate)),
        Step(
            "prepare",
            Act(announce=nic.reserve, effects=nic.prepare, settle=nic.reserved),
            undo=Act(announce=nic.give_up, effects=nic.release),
        ),
        Step("plug", Act(effects=nic.plug), undo=Act(effects=nic.unplug)),
    ),
    allocates=True,
    admit=_allocate,
)
