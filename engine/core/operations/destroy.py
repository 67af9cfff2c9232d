"""destroy: stop a VM if it runs, and mark it Destroyed. It can be recovered until it is expunged.

Legal flow: shutdown → release (both do nothing for a VM that does not run) → mark. Disks and addresses stay its own
and count against its account's limits; the VM itself no longer does. It is expunged when `expunge.delay` has passed.
Fails back to Running like `stop`; `mark` itself cannot fail.
"""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.release import RELEASE
from interlock.engine.core.steps.shutdown import SHUTDOWN


def _mark(draft: Draft) -> None:
    draft.move(draft.vm, "DestroyRequested", charged_to=None)


DESTROY = Program(
    "destroy",
    accepts=("Running", "Stopped", "Allocated", "Unknown"),
    steps=(SHUTDOWN, RELEASE, Step("mark", Act(settle=_mark))),
)
