"""remove-nic: take a VM off a network.

Legal flow: unplug → release; the NIC of a Running VM Reserved → Releasing → Allocated, and then, as one of a VM that
does not run at once, Allocated → Deallocating → Deallocated, its addresses given back.
Owned: that NIC alone. The VM stays in its state, and its event NicChangeRequested changes nothing. The default NIC is
never removed: the guest would lose its way out, so another must be made the default first.
Unwinding: prepared and plugged again, Reserved as before; the addresses were never given back, so nobody has them. The
guest may have seen the NIC go and come.
Races: the request moves the VM, so it is refused as stale, and admitted anew, if the VM was started, stopped or had its
default changed since it was looked at; from then on the operation owns the VM.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.admission import nic_changes as rules
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps import nic
from interlock.schema.requests import RemoveNic


def _admit(draft: Draft, request: RemoveNic, caller_id: str | None, ids: Iterator[str]) -> None:
    named = rules.named_nic(draft, request.network)
    rules.not_the_default(draft, named)
    rules.not_the_last(draft, named)
    rules.can_be_plugged(draft)
    draft.move(draft.vm, "NicChangeRequested")


REMOVE_NIC = Program(
    "remove-nic",
    accepts=("Allocated", "Stopped", "Running"),
    steps=(
        Step("unplug", Act(effects=nic.unplug), undo=Act(effects=nic.plug)),
        Step(
            "release",
            Act(announce=nic.give_up, effects=nic.release, settle=nic.deallocate),
            undo=Act(effects=nic.prepare_again, settle=nic.prepared_again),
        ),
    ),
    admit=_admit,
)
