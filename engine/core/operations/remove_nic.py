"""remove-nic: take a VM off a network.

Legal flow: unplug → release; the NIC of a Running VM Reserved → Releasing → Allocated, and then, as one of a VM that
does not run at once, Allocated → Deallocating → Deallocated, its addresses given back.
Owned: that NIC alone. The VM stays in its state, and its event NicChangeRequested changes nothing. The default NIC is
never removed: the guest would lose its way out, so another must be made the default first.
Unwinding: prepared and plugged again, Reserved as before; the addresses were never given back, so nobody has them. The
guest may have seen the NIC go and come.
Races: the request moves the VM, so it is refused as stale, and admitted anew, if another request moved it since it was
looked at. An operation that was under way then may have made the NIC the default one, or taken it away, which does not
move the VM: so the first step looks again, and refuses. From the request's writing on, the operation owns the VM.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.admission import nic_changes as rules
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps import nic
from interlock.engine.core.steps.disk import looked_at_again
from interlock.schema.requests import RemoveNic


def _may(draft: Draft, network_id: str) -> None:
    named = rules.named_nic(draft, network_id)
    rules.not_the_default(draft, named)
    rules.not_the_last(draft, named)
    rules.can_be_plugged(draft)


def _admit(draft: Draft, request: RemoveNic, caller_id: str | None, ids: Iterator[str]) -> None:
    _may(draft, request.network)
    draft.move(draft.vm, "NicChangeRequested")


def _look_again(draft: Draft) -> None:
    with looked_at_again():
        _may(draft, draft.operation.request["network"])


REMOVE_NIC = Program(
    "remove-nic",
    accepts=("Allocated", "Stopped", "Running"),
    steps=(
        Step("unplug", Act(announce=_look_again, effects=nic.unplug), undo=Act(effects=nic.plug)),
        Step(
            "release",
            Act(announce=nic.give_up, effects=nic.release, settle=nic.deallocate),
            undo=Act(effects=nic.prepare_again, settle=nic.prepared_again),
        ),
    ),
    admit=_admit,
)
