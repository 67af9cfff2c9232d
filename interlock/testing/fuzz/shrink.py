"""Shrinks a failing run: the shortest list of events, as far as leaving out goes, that breaks the same promise.

By delta debugging (`interlock/replay/ddmin.py`). What the events name does not change with what is left out, so what
remains still means the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from interlock.replay.ddmin import ddmin
from interlock.testing.fuzz.events import Event, Pass

RUNS_MOST = 3000
"""Runs that shrinking may take. Too few: a long story; too many: one waits minutes for a shorter one."""


Fails = Callable[[Sequence[Event]], "Sequence[Event] | None"]


def shrink(events: Sequence[Event], fails: Fails) -> list[Event]:
    """The events without those that are not needed to fail.

    Args:
        events: of a run that fails.
        fails: the events that were applied, if a run of these fails in the same way.
    """
    return ddmin(events, lambda shorter: fails(_joined(shorter)), RUNS_MOST)


def _joined(events: Sequence[Event]) -> list[Event]:
    """Times that follow each other are one."""
    joined: list[Event] = []
    for event in events:
        before = joined[-1] if joined else None
        if isinstance(event, Pass) and isinstance(before, Pass):
            joined[-1] = Pass(time=before.time + event.time)
        else:
            joined.append(event)
    return joined
