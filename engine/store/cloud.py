"""Writes places and settings, each change together with its journal rows, under the journal's lock.

Promises: what is in the tables of places is what the rows of the cloud tell, from the first write on; a place that is
written as it is already is not written, and makes no row. Numbers of rows go on from the journal's head without a gap.

Works on a plain connection, because migrations do: the store hands it in with `run_sync`. Beginning and ending the
transaction, and the lock, are the caller's part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from interlock.engine.core import chronicle
from interlock.engine.core.chronicle import Chain, Places
from interlock.engine.core.decision import Author
from interlock.engine.core.rebuild import Rebuild
from interlock.engine.store import queries
from interlock.schema.cloud import PLACES, Place
from interlock.schema.rows import DESCRIBED, as_rows, place_of, reader
from interlock.schema.tables import metadata
from interlock.schema.tables.history import journal
from interlock.schema.transition import Entry, Transition

Rows = Mapping[str, Sequence[dict[str, Any]]]
"""Rows by table, those that others refer to first."""

ROWS_AT_ONCE = 20
"""Rows of the cloud that are read at once, 200 places in each. Too few: many reads; too many: they fill the memory."""

_readers = {name: reader(kind) for name, kind in PLACES.items()}


class Advanced(msgspec.Struct, frozen=True):
    """The number of the journal's last row before and after a write."""

    found_head: int
    left_head: int


def places(connection: Connection, tables: Collection[str]) -> dict[str, list[Place]]:
    """All places of some tables: one connection for all, each read of its own pays for a transaction."""
    return {
        name: [read(row) for row in connection.execute(queries.all_of(name))]
        for name, read in _readers.items()
        if name in tables
    }


def told(connection: Connection) -> Places:
    """All places as the journal tells them.

    Raises:
        JournalBroken: its rows of the cloud do not follow one another.
    """
    rebuilt = Rebuild()
    while rows := connection.execute(queries.journal_of_cloud(rebuilt.cloud.version, ROWS_AT_ONCE)).all():
        for row in rows:
            rebuilt.describe(Transition(**row._mapping))
    return rebuilt.places


def write(connection: Connection, rows: Rows, there: Mapping[str, Sequence[Place]], author: Author) -> Advanced:
    """Write rows of places and of tables that are no machine's, replacing those with the same key.

    Args:
        there: all places of some tables, read under the lock; those of others are read here.
    """
    tables = [name for name in rows if name in PLACES and rows[name]]
    known = {**there, **places(connection, set(tables) - there.keys())}
    by_id = {name: {place.id: place for place in known[name]} for name in tables}
    wanted = {name: [_merged(name, row, by_id[name]) for row in rows[name]] for name in tables}
    fresh = chronicle.differing(wanted, by_id)
    advanced = _tell(connection, chronicle.written(end(connection), fresh, author) if fresh else [])
    for name, plain in rows.items():
        upsert(connection, name, as_rows(name, fresh.get(name, ())) if name in PLACES else plain)
    return advanced


def remove(connection: Connection, name: str, row_id: str, author: Author) -> Advanced | None:
    """Remove a place; None if it was not there."""
    table = metadata.tables[name]
    if connection.scalar(select(table.c.id).where(table.c.id == row_id)) is None:
        return None
    advanced = _tell(connection, chronicle.removed(end(connection), {name: [row_id]}, author))
    connection.execute(delete(table).where(table.c.id == row_id))
    return advanced


def begin(connection: Connection, author: Author) -> None:
    """Tell of the places of a database that an older release made, unless that has been done."""
    if end(connection) == Chain():
        there = places(connection, PLACES)
        why = "they were there when the journal began to tell of places"
        _tell(connection, chronicle.written(Chain(), there, author, why))


def end(connection: Connection) -> Chain:
    """The last row of the cloud."""
    found = connection.execute(queries.cloud_end()).first()
    return Chain(*found) if found else Chain()


def upsert(connection: Connection, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows, replacing those with the same key."""
    if not rows:
        return
    build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement: Any = build(metadata.tables[name])
    keys = [column.name for column in statement.table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    if changed:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, list(rows))


def _merged(name: str, row: Mapping[str, Any], known: Mapping[str, Place]) -> Place:
    """The place as the row leaves it: what the row does not name stays."""
    before = known.get(row["id"])
    if before is None or row.keys() >= set(DESCRIBED[name]):
        return place_of(name, row)
    [kept] = as_rows(name, [before])
    return place_of(name, {**kept, **row})


def _tell(connection: Connection, entries: Sequence[Entry]) -> Advanced:
    head = int(connection.scalar(queries.journal_head()) or 0)
    if entries:
        numbered = enumerate(map(msgspec.structs.asdict, entries), head + 1)
        connection.execute(insert(journal), [{"seq": seq, **row} for seq, row in numbered])
    return Advanced(head, head + len(entries))
