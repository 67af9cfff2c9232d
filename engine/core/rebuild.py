"""The journal read back: each row is checked against all rows before it, and the records follow from the rows alone.

Promises: what `add` takes without an error is a journal that our machines can have written: numbered without gaps, each
entity's rows a chain of hashes over the very bytes, each transition in its machine's table, each movement of a scarce
thing just what the change of the record moves. `records` are then equal to the tables, column by column, and `places`
are the tables of the cloud, but for the counters that triggers keep.
Pure: rows come in, records go out; the oracle of the fuzzer, of the crash tests and of `verify` are this one function.
Rows of older tables are read with today's machines: rows of a table are added, never taken away (schema/machines.py).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypedDict, get_type_hints

import msgspec

from interlock.engine.core.chronicle import Chain, Places, end_of, follow
from interlock.engine.core.decision import seal
from interlock.schema.cloud import PLACES
from interlock.schema.holdings import MOVERS, Movement, movements
from interlock.schema.machine import CREATED, NOT_YET
from interlock.schema.machines import MACHINES
from interlock.schema.records import CHANGEABLE, RECORDS, UNWRITTEN, Entity
from interlock.schema.rows import text_of
from interlock.schema.transition import CLOUD, Entry, Transition

LATER: dict[str, dict[str, Any]] = {"operation": {"steps": ()}}
"""What rows that were written before a column was there mean by not naming it; the column's migration says the same."""
_changeable = {name: frozenset(columns) for name, columns in CHANGEABLE.items()}
_movements = msgspec.json.Decoder(list[Movement]).decode
_typed_dict: Any = TypedDict  # made from the records, so that no list of columns can differ from another


def _changes(kind: type[Entity]) -> Callable[[str], dict[str, Any]]:
    """Reads `changes` of a machine, each value in its column's type; what is no column any more is left out."""
    columns = _typed_dict(kind.__name__, get_type_hints(kind), total=False)
    decode: Callable[[str], dict[str, Any]] = msgspec.json.Decoder(columns).decode
    return decode


_changed = {name: _changes(kind) for name, kind in RECORDS.items()}


class Flaw(StrEnum):
    """What is wrong with a row."""

    EDITED = "edited"
    GAP = "gap"
    ORDER = "order"
    FORK = "fork"
    CHAIN = "chain"
    ILLEGAL = "illegal"
    LEDGER = "ledger"
    CHANGES = "changes"


class JournalBroken(Exception):
    """A row that cannot follow the rows before it; the message says which and why, `reason` only why."""

    def __init__(self, where: str, flaw: Flaw, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.flaw, self.reason = flaw, reason


class Wrong(ValueError):
    """Why a row cannot follow."""

    def __init__(self, flaw: Flaw, reason: str) -> None:
        super().__init__(reason)
        self.flaw = flaw


class Rebuild:
    """The records as they stand after the rows that were added."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Entity]] = {name: {} for name in RECORDS}
        """By machine and id."""
        self.places: Places = {name: {} for name in PLACES}
        """By table and id. They follow from the rows of the cloud; a journal of a release before 0.3 has none."""
        self.cloud = Chain()
        """The last row of the cloud."""
        self.head = 0
        """The number of the last row."""

    def add(self, row: Entry) -> Entity | None:
        """Check a row and take its transition; returns the record after it, None if it tells of the cloud.

        Raises:
            JournalBroken: it cannot follow the rows before it. Nothing of it was taken, unless it tells of the cloud.
        """
        number = row.seq if isinstance(row, Transition) else self.head + 1
        if number != self.head + 1:
            raise _out_of_order(number, self.head)
        after = None
        if row.machine == CLOUD:
            self.describe(row)
        else:
            after = self._move(row, number)
        self.head = number
        return after

    def _move(self, row: Entry, number: int) -> Entity:
        try:
            after = _followed(row, self.records.get(row.machine, {}).get(row.entity_id))
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            raise _broken(f"row {number}, {row.machine} {row.entity_id}", error) from error
        self.records[row.machine][row.entity_id] = after
        return after

    def describe(self, row: Entry) -> None:
        """Check a row of the cloud and take what it tells, whatever rows of others come between: `places` follow from
        these rows alone.

        Raises:
            JournalBroken: it cannot follow the last one.
        """
        number = row.seq if isinstance(row, Transition) else self.head + 1
        try:
            check_chain(row, self.cloud.version, self.cloud.hash)
            follow(row, self.cloud, self.places)
        except (ValueError, msgspec.MsgspecError) as error:
            raise _broken(f"row {number}, the cloud", error) from error
        self.cloud = end_of(row)


def _broken(where: str, error: Exception) -> JournalBroken:
    return JournalBroken(where, error.flaw if isinstance(error, Wrong) else Flaw.CHANGES, str(error))


def _out_of_order(number: int, head: int) -> JournalBroken:
    missing = number > head
    reason = "rows are missing between them" if missing else "a row comes twice, or in the wrong order"
    return JournalBroken(f"row {number} comes after row {head}", Flaw.GAP if missing else Flaw.ORDER, reason)


def _followed(row: Entry, before: Entity | None) -> Entity:
    """The record after the row.

    Raises:
        ValueError, TypeError: the row cannot follow.
    """
    state, version, last = (before.state, before.version, before.hash) if before else (NOT_YET, 0, UNWRITTEN)
    check(row, state, version, last)
    changes = _changed[row.machine](row.changes)
    after = _born(row, changes) if before is None else _moved(row, before, changes)
    _check_ledger(row, before, after, changes)
    return after


def check(row: Entry, state: str, version: int, last: str) -> None:
    """Check what a row says of itself against the end of its entity's chain: its state, version and hash.

    Raises:
        Wrong: the row cannot follow.
    """
    check_chain(row, version, last)
    if row.machine not in RECORDS:
        raise Wrong(Flaw.ILLEGAL, "there is no such machine")
    if row.source != state:
        raise Wrong(Flaw.ILLEGAL, f"it leaves state {row.source or 'none'}, but the entity is {state or 'not there'}")
    _check_transition(row, state, version)


def check_chain(row: Entry, version: int, last: str) -> None:
    """Check that a row gives its hash and follows the row of that version and hash.

    Raises:
        Wrong: it does not.
    """
    if (hashed := seal(row)) != row.hash:
        raise Wrong(Flaw.EDITED, f"it was edited: its hash is {row.hash[:12]}…, its columns give {hashed[:12]}…")
    if row.prev != last:
        raise Wrong(
            _astray(row.version, version),
            f"its chain is broken: it follows {row.prev[:12] or 'nothing'}, the row before is {last[:12] or 'none'}",
        )
    if row.version != version + 1:
        raise Wrong(_astray(row.version, version), f"it makes version {row.version} of {version}")


def _astray(version: int, last: int) -> Flaw:
    """What a chain that does not close shows: a version twice, one that is missing, or another row in its place."""
    if version <= last:
        return Flaw.FORK
    return Flaw.GAP if version > last + 1 else Flaw.CHAIN


def _check_transition(row: Entry, state: str, version: int) -> None:
    machine = MACHINES[row.machine]
    to = machine.initial if row.event == CREATED and not version else machine.table.get((state, row.event))
    if to != row.destination:
        raise Wrong(
            Flaw.ILLEGAL,
            f"{row.source} by {row.event} to {row.destination} is no transition of machine {row.machine}",
        )


def _check_ledger(row: Entry, before: Entity | None, after: Entity, changes: dict[str, Any]) -> None:
    movers = MOVERS[row.machine]
    if row.ledger == "[]" and (not movers or (before is not None and movers.isdisjoint(changes))):
        return
    moved = movements(row.machine, row.entity_id, before, after)
    if tuple(_movements(row.ledger)) != moved:
        raise Wrong(Flaw.LEDGER, f"its ledger is {row.ledger}, its changes move {text_of(moved)}")


def _born(row: Entry, changes: dict[str, Any]) -> Entity:
    kept = {"state": row.destination, "version": row.version, "hash": row.hash, "since": row.at, "created_at": row.at}
    return RECORDS[row.machine](**{**LATER.get(row.machine, {}), **changes, **kept, "id": row.entity_id})


def _moved(row: Entry, before: Entity, changes: dict[str, Any]) -> Entity:
    if unknown := changes.keys() - _changeable[row.machine]:
        raise Wrong(Flaw.CHANGES, f"it changes {', '.join(sorted(unknown))}, which is written once")
    since = row.at if row.destination != before.state else before.since
    state = {"state": row.destination, "version": row.version, "hash": row.hash, "since": since}
    return msgspec.structs.replace(before, **changes, **state)
