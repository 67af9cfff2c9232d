"""recover: bring a Destroyed VM back to Stopped. One transition; nothing was given up, so nothing can be missing."""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step


def _recover(draft: Draft) -> None:
    draft.move(draft.vm, "RecoveryRequested")


RECOVER = Program("recover", accepts=("Destroyed",), steps=(Step("mark", Act(settle=_recover)),))
