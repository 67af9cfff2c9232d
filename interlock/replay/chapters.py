"""A history cut into chapters: one for each operation, with what was decided, done, refused and waited for in it.

Promises: every row is in exactly one chapter, in the journal's order; nothing is read but the rows. Pure.
What drivers were asked is announced in one row of the operation, and the row that settles it says what they answered:
the time between the two is how long it took until all of them had answered. Rows may be missing at either end, and may
be of another program (operations that never were ours): what is not said is None or empty, and never an error.
Races considered: a worker that takes over announces again what was announced; what the first was told nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.transition import Transition

WAYS = re.compile(r"--(\w+)")
TURNS = ("OperationFailed", "OperationStuck", "CancelRequested", "RetryRequested", "UndoRequested", "AcceptRequested")
"""Events of an operation that change its course, and are told even where they give no cause."""
TRIED = ("OperationRetry", "UndoRetry")
CALM = ("Done", "found running")
"""Outcomes that need no words."""


@dataclass(frozen=True)
class Choice:
    """A planner has chosen. `rejected`: candidates that it looked at before, each with the reason."""

    row: Transition
    host: str
    pools: tuple[str, ...]
    planner: str
    rejected: tuple[tuple[str, str], ...]
    rejected_in_all: int


@dataclass
class Call:
    """What drivers were asked in one commit, and what they answered in another."""

    row: Transition
    step: str
    undoing: bool
    effects: tuple[str, ...]
    outcomes: tuple[str, ...] | None = None
    """In the order of the effects; None: nobody has heard."""
    settled_at: int | None = None

    @property
    def took(self) -> int | None:
        """µs until all had answered."""
        return None if self.settled_at is None else self.settled_at - self.row.at

    @property
    def refusals(self) -> tuple[tuple[str, str], ...]:
        """The effects that were not just done, each with the answer."""
        told = zip(self.effects, self.outcomes or (), strict=False)
        return tuple((effect, outcome) for effect, outcome in told if outcome not in CALM)


@dataclass(frozen=True)
class Turn:
    """The operation takes another course, waits, or an entity moves for a reason that somebody gave."""

    row: Transition
    avoided: tuple[dict[str, Any], ...] = ()
    """What came into the avoid set: scope, id, cause, until (µs)."""
    reasons: tuple[tuple[str, str], ...] = ()
    """Each candidate of a placement that failed, and why not."""
    wake_at: int | None = None
    """When it goes on, µs."""

    @property
    def retries(self) -> bool:
        """Whether the same is to be tried again."""
        return self.row.event in TRIED and self.wake_at is not None


Item = Choice | Call | Turn


@dataclass
class Chapter:
    """One operation's part of a history; or, without an id, rows that no operation wrote."""

    id: str | None
    rows: list[Transition] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    """The operation's attributes as far as the rows tell them."""
    state: str | None = None
    _open: Call | None = None

    @property
    def kind(self) -> str:
        """`deploy`, `stop`, …; where the rows do not tell, the operation's id."""
        return str(self.fields.get("kind") or (f"operation {self.id}" if self.id else "no operation"))

    @property
    def began(self) -> int:
        """µs."""
        return self.rows[0].at

    @property
    def last(self) -> int:
        """The time of its last row, µs."""
        return max(row.at for row in self.rows)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not. One that is Stuck has not."""
        known = MACHINES["operation"].states.get(self.state or "")
        return known is None or known.stability is Stability.TERMINAL

    @property
    def is_fine(self) -> bool:
        """Whether it did what was asked, as far as is known."""
        return self.state in ("Succeeded", None)

    @property
    def error(self) -> str | None:
        """What went wrong, for people; of one that is Stuck, without its ways out."""
        said = self.fields.get("error")
        return said.partition(" (ways out: ")[0] if said else None

    @property
    def ways_out(self) -> tuple[str, ...]:
        """Of one that is Stuck: what a person may choose."""
        return tuple(WAYS.findall(self.fields.get("error") or "")) if self.state == "Stuck" else ()

    @property
    def choices(self) -> list[Choice]:
        """Its placements."""
        return [each for each in self.items if isinstance(each, Choice)]

    @property
    def calls(self) -> list[Call]:
        """What drivers were asked."""
        return [each for each in self.items if isinstance(each, Call)]

    def add(self, row: Transition) -> None:
        """Take the next row."""
        self.rows.append(row)
        if row.machine == "operation" and row.entity_id == self.id:
            self.items.extend(self._told(row))
        elif row.cause:
            self.items.append(Turn(row))

    def _told(self, row: Transition) -> Iterator[Item]:
        before, changed, details = self.fields, row.changed, row.details
        self.fields, self.state = {**before, **changed}, row.destination
        self._settle(row, details)
        if row.cause or row.event in TURNS or _taken_over(row):
            avoided = [each for each in changed.get("avoid", ()) if each not in before.get("avoid", ())]
            reasons = tuple((str(who), str(why)) for who, why in changed.get("reasons", ()))
            yield Turn(row, tuple(avoided), reasons, changed.get("wake_at"))
        if place := details.get("place"):
            yield _choice(row, place, details)
        if effects := details.get("effects"):
            self._open = Call(row, self._step(), row.destination == "Undoing", tuple(effects))
            yield self._open

    def _settle(self, row: Transition, details: dict[str, Any]) -> None:
        if self._open is not None and "outcomes" in details:
            self._open.outcomes, self._open.settled_at = tuple(details["outcomes"]), row.at
            self._open = None

    def _step(self) -> str:
        steps, number = self.fields.get("steps") or (), self.fields.get("step", -1)
        return str(steps[number]) if 0 <= number < len(steps) else "-"


def _taken_over(row: Transition) -> bool:
    return row.event == "Claimed" and row.source != "Queued"


def _choice(row: Transition, place: dict[str, Any], details: dict[str, Any]) -> Choice:
    rejected = tuple((str(who), str(why)) for who, why in details.get("rejected", ()))
    return Choice(
        row=row,
        host=str(place["host"]),
        pools=tuple(dict.fromkeys(place.get("pools", {}).values())),
        planner=str(place.get("planner", "?")),
        rejected=rejected,
        rejected_in_all=max(int(details.get("rejected_in_all", 0)), len(rejected)),
    )


def chapters(rows: Iterable[Transition]) -> list[Chapter]:
    """The chapters of a history, by when they begin.

    Args:
        rows: in the journal's order.
    """
    told: list[Chapter] = []
    by_id: dict[str, Chapter] = {}
    for row in rows:
        key = row.operation_id or (row.entity_id if row.machine == "operation" else None)
        chapter = by_id.get(key) if key else _outside(told)
        if chapter is None:
            chapter = Chapter(key)
            told.append(chapter)
            if key:
                by_id[key] = chapter
        chapter.add(row)
    return told


def _outside(told: list[Chapter]) -> Chapter | None:
    """Rows without an operation that follow each other are one chapter."""
    return told[-1] if told and told[-1].id is None else None
