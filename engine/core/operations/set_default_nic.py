"""set-default-nic: have the guest's default route go through another of its NICs.

Legal flow: one step without effects; the old and the new default NIC take DefaultChanged, in one commit, so a VM has
one default NIC at every moment. Nothing is undone. Record only, as in CloudStack: no driver is
told; a running guest learns it when it renews its DHCP lease or starts again.
Owned: `is_default` of the two. The VM stays in its state, and its event NicChangeRequested changes nothing.
Races: the request moves the VM, so it is refused as stale, and admitted anew, if another request moved it since it was
looked at. An operation that was under way then may have taken the NIC away meanwhile, which does not move the VM: so
the step looks again, and refuses. From the request's writing on, the operation owns the VM.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.admission import nic_changes as rules
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.disk import looked_at_again
from interlock.schema.requests import SetDefaultNic


def _may(draft: Draft, network_id: str) -> None:
    rules.not_yet_the_default(draft, rules.named_nic(draft, network_id))


def _admit(draft: Draft, request: SetDefaultNic, caller_id: str | None, ids: Iterator[str]) -> None:
    _may(draft, request.network)
    draft.move(draft.vm, "NicChangeRequested")


def _look_again(draft: Draft) -> None:
    with looked_at_again():
        _may(draft, draft.operation.request["network"])


def _change(draft: Draft) -> None:
    chosen = rules.named_nic(draft, draft.operation.request["network"])
    for nic in draft.nics:
        if nic.is_default:
            draft.move(nic, "DefaultChanged", is_default=False)
    draft.move(chosen, "DefaultChanged", is_default=True)


SET_DEFAULT_NIC = Program(
    "set-default-nic",
    accepts=("Allocated", "Stopped", "Running"),
    steps=(Step("default", Act(announce=_look_again, settle=_change)),),
    admit=_admit,
)
