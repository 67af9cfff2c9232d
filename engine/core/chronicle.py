"""The cloud in the journal: how a change of places and settings becomes rows, and what the rows say when read back.

The cloud as a whole is one more entity of the journal, machine and id `cloud`. It has no transition table: a place is
not in states, it is as it was last described (docs/decisions/0020). What holds of every entity holds of it: its rows
are a chain of versions and hashes, and what it is follows from them alone.

Promises: rows carry every described column of the places that differ, and nothing that triggers keep. A write that
changes nothing makes no row. What is read back without an error names no table or column that is not. Pure.

Somebody may write a place by hand, past the journal. What the engine writes over it afterwards is told as any other
change, so rows that write a place as it was told already, or remove one that was not told of, are taken: else one
UPDATE by hand would break the journal for good. `interlock doctor` finds such places while they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

import msgspec

from interlock.engine.core.decision import Author, seal
from interlock.schema.cloud import PLACES, Place
from interlock.schema.machine import NOT_YET
from interlock.schema.machines import TABLE_VERSION
from interlock.schema.records import UNWRITTEN
from interlock.schema.rows import DESCRIBED, text_of
from interlock.schema.transition import CLOUD, CLOUD_STATE, PLACES_REMOVED, PLACES_WRITTEN, Entry

PLACES_IN_A_ROW = 200
"""Places that one row tells of at most. Too few: many rows for one load; too many: rows that fill a reader's memory."""

LATER: dict[str, dict[str, Any]] = {}
"""By table: what rows that were written before a column was there mean by not naming it; as its migration says."""

_described = {name: attrgetter("id", *columns) for name, columns in DESCRIBED.items()}

Places = dict[str, dict[str, Place]]
"""By table and id; counters that triggers keep are zero."""


class Chain(msgspec.Struct, frozen=True):
    """The end of the cloud's rows: what the next one follows."""

    version: int = 0
    hash: str = UNWRITTEN


def same(table: str, one: Place, other: Place) -> bool:
    """Whether two places of a table are described alike, whatever is held of them."""
    describe = _described[table]
    return bool(describe(one) == describe(other))


def differing(
    written: Mapping[str, Iterable[Place]], there: Mapping[str, Mapping[str, Place]]
) -> dict[str, list[Place]]:
    """Those of the places to write that are not there, or not so."""
    found = {}
    for table, places in written.items():
        known = there.get(table, {})
        latest = {place.id: place for place in places}.values()
        fresh = [place for place in latest if (old := known.get(place.id)) is None or not same(table, old, place)]
        if fresh:
            found[table] = fresh
    return found


def written(end: Chain, places: Mapping[str, Iterable[Place]], author: Author, cause: str | None = None) -> list[Entry]:
    """The journal rows of places that are written, by table, those that others refer to first."""
    told = [(table, {name: getattr(place, name) for name in DESCRIBED[table]}) for table, place in _each(places)]
    return list(_rows(end, PLACES_WRITTEN, told, author, cause))


def removed(end: Chain, ids: Mapping[str, Iterable[str]], author: Author) -> list[Entry]:
    """The journal rows of places that are removed."""
    return list(_rows(end, PLACES_REMOVED, list(_each(ids)), author, None))


def _each(by_table: Mapping[str, Iterable[Any]]) -> Iterator[tuple[str, Any]]:
    for table in PLACES:
        yield from ((table, each) for each in by_table.get(table, ()))


def _rows(end: Chain, event: str, told: list[tuple[str, Any]], author: Author, cause: str | None) -> Iterator[Entry]:
    for begin in range(0, len(told), PLACES_IN_A_ROW):
        changes: dict[str, list[Any]] = {}
        for table, each in told[begin : begin + PLACES_IN_A_ROW]:
            changes.setdefault(table, []).append(each)
        entry = _row(end, event, text_of(changes), author, cause)
        yield entry
        end = end_of(entry)


def _row(end: Chain, event: str, changes: str, author: Author, cause: str | None) -> Entry:
    entry = Entry(
        at=author.at,
        machine=CLOUD,
        entity_id=CLOUD,
        vm_id=None,
        version=end.version + 1,
        event=event,
        source=_state(end),
        destination=CLOUD_STATE,
        operation_id=author.operation_id,
        actor=author.actor,
        cause=cause,
        changes=changes,
        ledger="[]",
        detail=None,
        tables=TABLE_VERSION,
        prev=end.hash,
        hash=UNWRITTEN,
    )
    return msgspec.structs.replace(entry, hash=seal(entry))


def end_of(row: Entry) -> Chain:
    """What the row after this one follows."""
    return Chain(row.version, row.hash)


def _state(end: Chain) -> str:
    return CLOUD_STATE if end.version else NOT_YET


# --- reading


def follow(row: Entry, end: Chain, places: Places) -> None:
    """Take a row whose chain holds: `places` are changed to what they are after it.

    Raises:
        ValueError: the row cannot follow; `places` are then of no use any more.
    """
    if (row.entity_id, row.vm_id, row.ledger, row.detail) != (CLOUD, None, "[]", None):
        raise ValueError(f"a row of the cloud is of {CLOUD}, of no VM, and moves nothing")
    if (row.source, row.destination) != (_state(end), CLOUD_STATE):
        raise ValueError(f"it leads from {row.source or 'nothing'} to {row.destination}, which the cloud does not")
    changes = msgspec.json.decode(row.changes, type=dict[str, list[Any]])
    if not changes or not all(changes.values()):
        raise ValueError("it changes nothing")
    if unknown := changes.keys() - PLACES.keys():
        raise ValueError(f"there are no tables {', '.join(sorted(unknown))} of places")
    if row.event not in _TAKE:
        raise ValueError(f"nothing that happens to the cloud is called {row.event}")
    for table, told in changes.items():
        for each in told:
            _TAKE[row.event](table, each, places[table])


def _write(table: str, told: Any, known: dict[str, Place]) -> None:
    place = _place(table, told)
    known[place.id] = place


def _place(table: str, told: Any) -> Place:
    if not isinstance(told, dict):
        raise ValueError(f"it tells of a {table} without columns")
    row = LATER.get(table, {}) | told
    if wrong := row.keys() ^ set(DESCRIBED[table]):
        raise ValueError(f"it tells of a {table} with other columns than it has: {', '.join(sorted(wrong))}")
    place: Place = msgspec.convert(row, PLACES[table])
    return place


def _remove(table: str, place_id: Any, known: dict[str, Place]) -> None:
    if not isinstance(place_id, str):
        raise ValueError(f"it removes {table} {place_id}, which is no id")
    known.pop(place_id, None)


_TAKE = {PLACES_WRITTEN: _write, PLACES_REMOVED: _remove}
