"""Checks a journal row by row and goes on after what it finds, so that one look tells all.

Promises: a row that cannot follow the rows before it is told once, with its kind. The entity it speaks of is in doubt
from then on: its later rows are held to their own hash, their machine and the end of the chain, and no more, because
what it is and holds is not known. Rows of all others are held to everything (`rebuild.py`).
What memory it takes follows from what lives: of an entity that has ended only eight bytes are kept, by which a row that
comes after its end is told from a first one.
Pure: rows come in, findings go out.
"""

from __future__ import annotations

import hashlib
from array import array

import msgspec

from interlock.engine.core.decision import seal
from interlock.engine.core.rebuild import Flaw, JournalBroken, Rebuild, Wrong, check, check_chain
from interlock.schema.holdings import FREE, UNIQUE, Movement
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import RECORDS, Entity
from interlock.schema.transition import CLOUD, Transition

_movements = msgspec.json.Decoder(list[Movement]).decode
_ONE_OWNER = frozenset(rule.thing for rule in UNIQUE)
_OVER = {name: frozenset(MACHINES[name].names(Stability.TERMINAL)) for name in RECORDS}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong, and where."""

    flaw: str
    reason: str
    line: int | None = None
    seq: int | None = None
    machine: str | None = None
    entity_id: str | None = None


_NOTHING: list[Finding] = []


class Took(msgspec.Struct, frozen=True):
    """What changed hands with a row, of that which only one can have: thing, where, giver, taker."""

    seq: int
    machine: str
    entity_id: str
    moves: list[tuple[str, str, str, str]]
    line: int | None = None


class _Tail(msgspec.Struct, frozen=True):
    """The last row of an entity that is in doubt. `hashes`: the one it has, and the one that its columns give."""

    state: str
    version: int
    hashes: tuple[str, str]


class Verifier:
    """What was found so far.

    Args:
        gaps: whether numbers may be left out.
        keeps_over: whether records of those that have ended are kept in `over`, until the caller takes them from there.
    """

    def __init__(self, *, gaps: bool = False, keeps_over: bool = False) -> None:
        self.rebuild = Rebuild()
        """The records of all that live and are not in doubt."""
        self.ended = Ended()
        self.over: list[tuple[str, Entity]] = []
        self.gaps = gaps
        self._keeps_over = keeps_over
        self._doubtful: dict[str, _Tail] = {}
        self._owners = Owners()

    def add(self, row: Transition) -> list[Finding]:
        """Check the next row; what is wrong with it."""
        found, took = self.check(row)
        return found if took is None else [*found, *self._owners.take(took)]

    def check(self, row: Transition) -> tuple[list[Finding], Took | None]:
        """Check the next row, but not whether what it takes is free: for that, who has what must be known of all."""
        if self.gaps and row.seq > self.rebuild.head:
            self.skip(row.seq - 1)
        if row.seq != self.rebuild.head + 1 or row.entity_id in self._doubtful:
            return [*self._numbered(row), *self._in_doubt(row)], None
        try:
            self._follow(row)
        except JournalBroken as broken:
            self._doubt(row)
            return [_finding(row, broken.flaw, broken.reason)], None
        return _NOTHING, (None if row.ledger == "[]" else _took(row))

    def skip(self, seq: int) -> None:
        """The row of that number cannot be read; what it says is not known."""
        self.rebuild.head = seq

    def _follow(self, row: Transition) -> None:
        if row.version == 1 and row.entity_id in self.ended:
            raise JournalBroken("", Flaw.FORK, "it begins again after its end")
        self.rebuild.add(row)
        if row.destination in _OVER.get(row.machine, ()):
            record = self.rebuild.records[row.machine].pop(row.entity_id)
            self.ended.add(row.entity_id)
            if self._keeps_over:
                self.over.append((row.machine, record))

    def _doubt(self, row: Transition) -> None:
        self.rebuild.head = row.seq
        self.rebuild.records.get(row.machine, {}).pop(row.entity_id, None)
        self._owners.doubtful.add(row.entity_id)
        self._doubtful[row.entity_id] = _Tail(row.destination, row.version, (row.hash, seal(row)))

    @property
    def doubtful(self) -> set[str]:
        """Those of whom a row was wrong."""
        return self._owners.doubtful

    def _numbered(self, row: Transition) -> list[Finding]:
        head, self.rebuild.head = self.rebuild.head, row.seq - 1
        return numbered(row, head)

    def _in_doubt(self, row: Transition) -> list[Finding]:
        tail = self._doubtful.get(row.entity_id)
        if tail is None:
            return self.add(row)  # its number was the only trouble
        last = row.prev if row.prev in tail.hashes else tail.hashes[0]
        self._doubt(row)
        try:
            if row.machine == CLOUD:
                check_chain(row, tail.version, last)
            else:
                check(row, tail.state, tail.version, last)
        except Wrong as wrong:
            return [_finding(row, wrong.flaw, str(wrong))]
        return []


class Owners:
    """Who has what only one can have."""

    def __init__(self) -> None:
        self._owners: dict[tuple[str, str], str] = {}
        self.doubtful: set[str] = set()
        """Those of whom it is not known what they have."""

    def take(self, took: Took) -> list[Finding]:
        """Whoever takes something must find it free."""
        found = []
        for thing, where, giver, taker in took.moves:
            owner = self._owners.pop((thing, where), FREE)
            if taker != FREE:
                self._owners[thing, where] = taker
            if owner != giver and owner not in self.doubtful and giver not in self.doubtful:
                reason = f"{thing} {where} goes from {giver} to {taker}, but is {owner}'s"
                found.append(_finding(took, Flaw.LEDGER, reason))
        return found


def numbered(row: Transition, head: int) -> list[Finding]:
    """What is wrong with the number of a row that comes after the one of number `head`."""
    if row.seq == head + 1:
        return []
    if row.seq > head:
        missing = f"transition {head + 1} is" if row.seq == head + 2 else f"transitions {head + 1}–{row.seq - 1} are"
        return [_finding(row, Flaw.GAP, f"{missing} missing before it")]
    return [_finding(row, Flaw.ORDER, f"it comes after transition {head}: twice, or in the wrong order")]


def _took(row: Transition) -> Took | None:
    moves = [
        (move.thing, move.where, move.giver, move.taker) for move in _movements(row.ledger) if move.thing in _ONE_OWNER
    ]
    return Took(row.seq, row.machine, row.entity_id, moves) if moves else None


def _finding(row: Transition | Took, flaw: Flaw, reason: str) -> Finding:
    return Finding(flaw=flaw, reason=reason, seq=row.seq, machine=row.machine, entity_id=row.entity_id)


class Ended:
    """Ids of which only eight bytes are kept: a table that is filled to two thirds at most, then doubled.

    Two ids that agree in these bytes are taken for one: with a million of them once in thirty million journals.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, entity_id: str) -> bool:
        key = _eight_bytes(entity_id)
        return self._slots[self._place(key)] == key

    def add(self, entity_id: str) -> None:
        """Keep it."""
        self._put(_eight_bytes(entity_id))
        if 3 * self._count > 2 * len(self._slots):
            self._double()

    def _put(self, key: int) -> None:
        place = self._place(key)
        self._count += self._slots[place] != key
        self._slots[place] = key

    def _place(self, key: int) -> int:
        """Where it stands, or would stand."""
        slots, last = self._slots, len(self._slots) - 1
        place = key & last
        while slots[place] and slots[place] != key:
            place = (place + 1) & last
        return place

    def _double(self) -> None:
        kept, self._count = self._slots, 0
        self._slots = array("Q", bytes(16 * len(kept)))
        for key in kept:
            if key:
                self._put(key)


def _eight_bytes(entity_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(entity_id.encode(), digest_size=8).digest()) or 1
