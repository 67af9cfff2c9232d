"""set-default-nic: have the guest's default route go through another of its NICs.

Legal flow: one step without effects; the old and the new default NIC take DefaultChanged, in one commit, so a VM has
one default NIC at every moment. Nothing can fail, and nothing is undone. Record only, as in CloudStack: no driver is
told; a running guest learns it when it renews its DHCP lease or starts again.
Owned: `is_default` of the two. The VM stays in its state, and its event NicChangeRequested changes nothing.
Races: the request moves the VM, so it is refused as stale, and admitted anew, if the VM or its NICs changed since they
were looked at; from then on the operation owns the VM.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.admission import nic_changes as rules
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.schema.requests import SetDefaultNic


def _admit(draft: Draft, request: SetDefaultNic, caller_id: str | None, ids: Iterator[str]) -> None:
    rules.not_yet_the_default(draft, rules.named_nic(draft, request.network))
    draft.move(draft.vm, "NicChangeRequested")


def _change(draft: Draft) -> None:
    chosen = rules.named_nic(draft, draft.operation.request["network"])
    for nic in draft.nics:
        if nic.is_default:
            draft.move(nic, "DefaultChanged", is_default=False)
    draft.move(chosen, "DefaultChanged", is_default=True)


SET_DEFAULT_NIC = Program(
    "set-default-nic",
    accepts=("Allocated", "Stopped", "Running"),
    steps=(Step("default", Act(settle=_change)),),
    admit=_admit,
)
