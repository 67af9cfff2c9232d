"""stop: stop a Running VM, gently or forced.

Legal flow: shutdown → release; VM Running → Stopping → Stopped. Its disks and addresses stay its own. Fails back to
Running: a guest that was already off is started again on the same host, which still holds its capacity for it.
Races: capacity is given back only in the last commit, so nobody can take the room an undo would need.
"""

from __future__ import annotations

from interlock.engine.core.program import Program
from interlock.engine.core.steps.release import RELEASE
from interlock.engine.core.steps.shutdown import SHUTDOWN

STOP = Program("stop", accepts=("Running", "Unknown"), steps=(SHUTDOWN, RELEASE))
