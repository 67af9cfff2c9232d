"""The journal read back: it gives the tables, and one changed row anywhere is found and named."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.core.decision import seal
from interlock.engine.core.rebuild import JournalBroken, Rebuild
from interlock.engine.store import queries
from interlock.schema.records import RECORDS
from interlock.schema.rows import reader
from interlock.schema.tables import metadata
from interlock.schema.transition import Transition
from tests.journals import ups_and_downs
from tests.world import World, world


async def _journal(lab: World) -> list[Transition]:
    return await lab.engine._store.journal(metadata.tables["journal"].select().order_by("seq"))


async def test_the_records_that_follow_from_the_journal_are_the_tables(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await ups_and_downs(lab)
        rebuilt = Rebuild()
        for row in await _journal(lab):
            rebuilt.add(row)
        for name, kind in RECORDS.items():
            read = reader(kind)
            rows = await lab.engine._store.rows(queries.all_of(name))
            assert {record.id: record for record in map(read, rows)} == rebuilt.records[name]
            assert rebuilt.records[name]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Transition]:
    async def live(folder: Path) -> list[Transition]:
        async with world(folder) as lab:
            await ups_and_downs(lab)
            return await _journal(lab)

    return asyncio.run(live(tmp_path_factory.mktemp("journal")))


OTHERWISE: dict[str, Any] = {
    "at": -1,
    "version": 9999,
    "tables": -1,
    "vm_id": "other",
    "cause": "other",
    "detail": "{}",
}


@given(st.data())
def test_a_changed_column_anywhere_is_found_in_its_row(rows: list[Transition], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from([name for name in Transition.__struct_fields__ if name != "seq"]))
    edited = msgspec.structs.replace(rows[number], **{column: OTHERWISE.get(column, "other")})
    with pytest.raises(JournalBroken, match=f"^row {number + 1},"):
        _read([*rows[:number], edited, *rows[number + 1 :]])


@given(st.data())
def test_an_edit_with_a_hash_that_fits_is_found_in_the_row_after_it(
    rows: list[Transition], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(rows) - 1))
    edited = msgspec.structs.replace(rows[number], actor="other")
    sealed = msgspec.structs.replace(edited, hash=seal(edited))
    following = [row.seq for row in rows[number + 1 :] if row.entity_id == edited.entity_id]
    if not following:
        _read([*rows[:number], sealed, *rows[number + 1 :]])  # only a root over all of them could tell
        return
    with pytest.raises(JournalBroken, match=f"^row {following[0]}, .* chain is broken"):
        _read([*rows[:number], sealed, *rows[number + 1 :]])


@given(st.data())
def test_a_missing_row_and_one_that_comes_twice_are_found(rows: list[Transition], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(rows) - 2))
    with pytest.raises(JournalBroken, match="rows are missing"):
        _read([*rows[:number], *rows[number + 1 :]])
    with pytest.raises(JournalBroken, match="comes twice"):
        _read([*rows[: number + 1], *rows[number:]])


def _resealed(row: Transition, **columns: Any) -> Transition:
    edited = msgspec.structs.replace(row, **columns)
    return msgspec.structs.replace(edited, hash=seal(edited))


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"machine": "host", "prev": "", "version": 1}, "no such machine"),
        ({"destination": "Stopped"}, "is no transition of machine vm"),
        ({"event": "Exploded"}, "is no transition of machine vm"),
        ({"source": "Stopped"}, "leaves state Stopped, but the entity is Allocated"),
        ({"version": 7}, "makes version 7 of 1"),
        ({"ledger": "[]"}, "its ledger is"),
        ({"changes": "nonsense"}, "JSON"),
        ({"changes": '{"name":"other"}'}, "written once"),
        ({"changes": '{"host_id":7}'}, "Expected"),
    ],
)
def test_a_row_that_cannot_follow_is_refused_with_the_reason(
    rows: list[Transition], columns: dict[str, Any], reason: str
) -> None:
    starting = next(row for row in rows if row.destination == "Starting")
    with pytest.raises(JournalBroken, match=f"^row {starting.seq}, .*{reason}"):
        _read([*rows[: starting.seq - 1], _resealed(starting, **columns)])


def _read(rows: list[Transition]) -> None:
    rebuilt = Rebuild()
    for row in rows:
        rebuilt.add(row)
