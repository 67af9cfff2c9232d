"""The journal read back: each row is checked against all rows before it, and the records follow from the rows alone.

Promises: what `add` takes without an error is a journal that our machines can have written: numbered without gaps, each
entity's rows a chain of hashes over the very bytes, each transition in its machine's table, each movement of a scarce
thing just what the change of the record moves. `records` are then equal to the tables, column by column, and `places`
are the tables of the cloud, but for the counters that triggers keep.
Pure: rows come in, records go out; the oracle of the fuzzer, of the crash tests and of `verify` are this one function.
Rows of older tables are read with today's machines: rows of a table are added, never taken away (schema/machines.py).
"""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec

from interlock.engine.core.chronicle import Chain, Places, end_of, follow
from interlock.engine.core.decision import seal
from interlock.schema.cloud import PLACES
from interlock.schema.holdings import Movement, movements
from interlock.schema.machine import CREATED, NOT_YET
from interlock.schema.machines import MACHINES
from interlock.schema.records import CHANGEABLE, RECORDS, UNWRITTEN, Entity
from interlock.schema.rows import text_of
from interlock.schema.transition import CLOUD, Entry, Transition

_HINTS: dict[str, dict[str, Any]] = {name: get_type_hints(kind) for name, kind in RECORDS.items()}
LATER: dict[str, dict[str, Any]] = {"operation": {"steps": ()}}
"""What rows that were written before a column was there mean by not naming it; the column's migration says the same."""
_movements = msgspec.json.Decoder(list[Movement]).decode


class JournalBroken(Exception):
    """A row that cannot follow the rows before it; the message says which and why."""


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
            JournalBroken: it cannot follow the rows before it.
        """
        number = row.seq if isinstance(row, Transition) else self.head + 1
        if number != self.head + 1:
            raise JournalBroken(f"row {number} comes after row {self.head}: {_gap(number, self.head)}")
        after = None
        if row.machine == CLOUD:
            self.describe(row)
        else:
            try:
                after = _followed(row, self.records.get(row.machine, {}).get(row.entity_id))
            except (ValueError, msgspec.MsgspecError) as error:
                raise JournalBroken(f"row {number}, {row.machine} {row.entity_id}: {error}") from error
            self.records[row.machine][row.entity_id] = after
        self.head = number
        return after

    def describe(self, row: Entry) -> None:
        """Check a row of the cloud and take what it tells, whatever rows of others come between: `places` follow from
        these rows alone.

        Raises:
            JournalBroken: it cannot follow the last one.
        """
        number = row.seq if isinstance(row, Transition) else self.head + 1
        try:
            if reason := _wrong_chain(row, self.cloud):
                raise ValueError(reason)
            follow(row, self.cloud, self.places)
        except (ValueError, msgspec.MsgspecError) as error:
            raise JournalBroken(f"row {number}, the cloud: {error}") from error
        self.cloud = end_of(row)


def _gap(number: int, head: int) -> str:
    return "rows are missing between them" if number > head else "a row comes twice, or in the wrong order"


def _followed(row: Entry, before: Entity | None) -> Entity:
    """The record after the row.

    Raises:
        ValueError: the row cannot follow.
    """
    if reason := _wrong(row, before):
        raise ValueError(reason)
    after = _after(row, before)
    moved = list(movements(row.machine, row.entity_id, before, after))
    if _movements(row.ledger) != moved:
        raise ValueError(f"its ledger is {row.ledger}, its changes move {text_of(moved)}")
    return after


def _wrong(row: Entry, before: Entity | None) -> str | None:
    """Why the row cannot follow the record; None if it can."""
    return _wrong_chain(row, before) or _wrong_transition(row, before)


def _wrong_chain(row: Entry, before: Entity | Chain | None) -> str | None:
    if (hashed := seal(row)) != row.hash:
        return f"it was edited: its hash is {row.hash[:12]}…, its columns give {hashed[:12]}…"
    prev, version = (before.hash, before.version) if before else (UNWRITTEN, 0)
    if row.prev != prev:
        return f"its chain is broken: it follows {row.prev[:12] or 'nothing'}, the row before is {prev[:12] or 'none'}"
    if row.version != version + 1:
        return f"it makes version {row.version} of {version}"
    return None


def _wrong_transition(row: Entry, before: Entity | None) -> str | None:
    if row.machine not in RECORDS:
        return "there is no such machine"
    state = before.state if before else NOT_YET
    if row.source != state:
        return f"it leaves state {row.source or 'none'}, but the entity is {state or 'not there'}"
    machine = MACHINES[row.machine]
    to = machine.initial if row.event == CREATED and before is None else machine.table.get((state, row.event))
    if to != row.destination:
        return f"{row.source} by {row.event} to {row.destination} is no transition of machine {row.machine}"
    return None


def _after(row: Entry, before: Entity | None) -> Entity:
    changes = _typed(row.machine, msgspec.json.decode(row.changes))
    state = {"state": row.destination, "version": row.version, "hash": row.hash}
    if before is None:
        made = {**changes, **state, "id": row.entity_id, "since": row.at, "created_at": row.at}
        return msgspec.convert(LATER.get(row.machine, {}) | made, RECORDS[row.machine])
    if unknown := changes.keys() - set(CHANGEABLE[row.machine]):
        raise ValueError(f"it changes {', '.join(sorted(unknown))}, which is written once")
    since = row.at if row.destination != before.state else before.since
    return msgspec.structs.replace(before, **changes, **state, since=since)


def _typed(machine: str, values: dict[str, Any]) -> dict[str, Any]:
    hints = _HINTS[machine]
    return {name: msgspec.convert(value, hints[name]) for name, value in values.items() if name in hints}
