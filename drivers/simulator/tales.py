"""What the simulator tells its listeners, and how it lies about it on order: withholds, reorders, repeats, retells.

Promises: without an order everything is told at once, in order, to all who listen. Nothing is told twice or late by
itself; no task and no timer runs. What was told is kept, the last `KEPT` of it, so that it can be told again.

Tales are the process's own: others that work on the same file tell their own listeners. `survey` sees all.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from interlock.schema.reports import Report

KEPT = 1000
"""Reports that can be told again. Too low: those from before a restart are gone; too high: memory."""

Tell = Callable[[Report], None]


class Tales:
    """One per simulator."""

    def __init__(self) -> None:
        self._listeners: list[Tell] = []
        self._told: deque[Report] = deque(maxlen=KEPT)
        self._withheld: list[Report] | None = None

    def listen(self, tell: Tell) -> Callable[[], None]:
        """Tell somebody from now on; what is returned ends it."""
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell) if tell in self._listeners else None

    def tell(self, reports: Iterable[Report]) -> None:
        """Tell all who listen, unless it is withheld."""
        for report in reports:
            if self._withheld is not None:
                self._withheld.append(report)
            else:
                self._say(report)

    def _say(self, report: Report) -> None:
        self._told.append(report)
        for listener in tuple(self._listeners):
            listener(report)

    @property
    def told(self) -> Sequence[Report]:
        """What was told, the oldest first."""
        return tuple(self._told)

    # Lies

    def withhold(self) -> None:
        """Keep everything back from now on."""
        if self._withheld is None:
            self._withheld = []

    def let_go(self, *, shuffled_by: int | None = None, backwards: bool = False, forget: bool = False) -> int:
        """Tell what was kept back, and go on as usual; returns how much that was.

        Args:
            shuffled_by: in an order that follows from this number.
            backwards: the youngest first.
            forget: tell nothing of it, ever.
        """
        kept, self._withheld = self._withheld or [], None
        if backwards:
            kept.reverse()
        if shuffled_by is not None:
            random.Random(shuffled_by).shuffle(kept)  # noqa: S311 - to be repeated, not to be secret
        for report in () if forget else kept:
            self._say(report)
        return len(kept)

    def repeat(self, last: int = 1, times: int = 1) -> None:
        """Tell the last ones once more, or more often."""
        again = list(self._told)[-last:]
        for report in again * times:
            self._say(report)

    def retell(self, reports: Iterable[Report]) -> None:
        """Tell any reports, such as those of long ago, as if they had just come."""
        for report in reports:
            self._say(report)
