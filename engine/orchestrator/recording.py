"""Names what a decision is shown of cloud and rules, so that it can be decided again (`core/inputs.py`).

Promises: the rules stand in full in the journal before any decision that only names them: they are written out with
every decision until one that carries them is durable, and again when they have changed (a driver was opened).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interlock.engine.core.decision import Decision
from interlock.engine.core.inputs import in_full, mark, mark_of, recipe_of, rules_in
from interlock.engine.core.snapshot import Rules, Sight

UNREAD = -1
"""No row of a journal: figures that are not of one moment."""


class Moment:
    """Of which moment figures are: the journal up to a row, and what was decided here since. One per inventory."""

    def __init__(self) -> None:
        self.since = UNREAD
        """The journal's last row when figures were last read, and others had written."""
        self._sum = self._written = 0

    @property
    def sum(self) -> str:
        """Of the marks of the decisions that are counted on top."""
        return f"{self._sum:08x}"

    def lost(self) -> None:
        """Figures are not of one moment until they are read again."""
        self.since = UNREAD

    def read(self, head: int, pending: Iterable[Decision]) -> None:
        """Figures were read when `head` was the last row, and `pending` is counted on top. Where nobody else has
        written, that is no news."""
        if self.since + self._written == head and self.since != UNREAD:
            return
        self.since, self._sum, self._written = head, 0, 0
        for decision in pending:
            self.count(decision)

    def count(self, decision: Decision) -> None:
        """A decision is counted on top, or is not any more."""
        self._sum ^= mark(decision.operation.hash)

    def wrote(self, decision: Decision) -> None:
        """A decision that is counted has been written."""
        self._written += len(decision.changes)


class Recording:
    """One per engine."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._able: tuple[Any, ...] | None = None
        self._mark = ""
        self._in_full: dict[str, Any] | None = None
        """Until they are written."""

    def sight(self, moment: Moment) -> Sight:
        """What the snapshot that is about to be taken shows."""
        if (able := tuple(self._rules.capabilities.items())) != self._able:
            recipe = recipe_of(self._rules)
            self._able, self._mark, self._in_full = able, mark_of(recipe), in_full(recipe)
        return Sight(since=moment.since, counted=moment.sum, rules=self._in_full or self._mark)

    def written(self, decision: Decision) -> None:
        """A decision is durable."""
        if self._in_full is not None and rules_in(decision.journal) == self._in_full:
            self._in_full = None
