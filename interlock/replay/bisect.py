"""Bisect: the first transition after which a predicate fails, having held before.

The journal is played once from the beginning to there, and the predicate is asked after every transition. There is no
halving: a predicate may fail, hold again and fail later, and then halving finds one of the breaks, not the first. The
play is as long as the journal up to the break; the state is carried along, so a transition costs the same wherever it
stands.

What counts is what stood in the tables: all rows of a decision are written together, so the predicate must fail once
the last of them is, and the transition that is told of is the one among them after which it fails until there. One that
fails from the beginning on (a VM that is not made yet does not run) has not held yet: the search is for the first break
after it did.

Never writes. Rows of one decision are those that follow each other with one time and one operation: two decisions on an
operation in the same microsecond count as one.
"""

from __future__ import annotations

import msgspec

from interlock.replay.predicates import Found, Predicate
from interlock.replay.rewind import Play
from interlock.schema.records import Entity
from interlock.schema.transition import Transition


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """A transition after which the predicate fails."""

    transition: Transition
    before: Entity | None
    """The entity that moved, as it was; None if the transition made it, or if what moved is no machine."""
    after: Entity | None
    found: Found
    """What the predicate saw after it."""
    decided: tuple[int, int]
    """The first and the last transition of the decision that it is part of."""


class Bisected(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the search."""

    broken: Break | None
    """None: it never failed after it held."""
    held_from: int | None
    """The transition after which it began to hold, or with which the search began; None: it never held."""
    seen: Found
    """What the predicate saw when it held last; if it never did, at the end of the journal."""


async def bisected(play: Play, predicate: Predicate) -> Bisected:
    """Search from where the play stands.

    Raises:
        InvalidRequest: the predicate cannot be asked.
        JournalBroken: a row cannot follow the rows before it.
    """
    seen = predicate(play.fleet)
    held_from = play.fleet.seq if seen.holds else None
    while await play.next() is not None:
        broken, found = await _decision(play, predicate)
        if broken is not None and held_from is not None:
            return Bisected(broken=broken, held_from=held_from, seen=seen)
        if found.holds and held_from is None:
            held_from = play.fleet.seq
        seen = found
    return Bisected(broken=None, held_from=held_from, seen=seen)


async def _decision(play: Play, predicate: Predicate) -> tuple[Break | None, Found]:
    """Play all rows of the next decision: since which of them the predicate fails, if it does at the end, and what it
    saw there."""
    row = await play.next()
    assert row is not None
    broken: Break | None = None
    first, author = row.seq, _author(row)
    while row is not None and _author(row) == author:
        before = play.fleet.record(row.machine, row.entity_id)
        await play.step()
        found = predicate(play.fleet)
        if found.holds:
            broken = None
        elif broken is None:
            after = play.fleet.record(row.machine, row.entity_id)
            broken = Break(transition=row, before=before, after=after, found=found, decided=(first, first))
        row = await play.next()
    if broken is not None:
        broken = msgspec.structs.replace(broken, decided=(first, play.fleet.seq))
    return broken, found


def _author(row: Transition) -> tuple[int, str | None]:
    return row.at, row.operation_id
