"""recover: bring a Destroyed VM back to Stopped.

One transition; nothing was given up but its place in its account's limits, which is taken again: when there is none
left, the request is refused and the VM stays Destroyed.
"""

from __future__ import annotations

from interlock.engine.core import limits
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Refusal, Step


def _recover(draft: Draft) -> None:
    if reason := limits.exceeded(draft.cloud, draft.vm.account_id, limits.of_vm(draft.vm)):
        raise Refusal(f"VM {draft.vm.name} cannot come back: {reason}")
    draft.move(draft.vm, "RecoveryRequested", charged_to=draft.vm.account_id)


RECOVER = Program("recover", accepts=("Destroyed",), steps=(Step("mark", Act(announce=_recover)),))
