"""An empty database that is filled from a journal alone equals the one that the journal is of, table by table.

Fuzzed histories are filled again in tests/test_fuzz_store.py; here are whole lives of an engine, what is refused, and
that a refusal leaves nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.drivers.simulator import FaultKind
from interlock.embed.checkup import checkup
from interlock.engine.core.decision import seal
from interlock.engine.store import queries
from interlock.engine.store.refill import AT_ONCE, FOLLOWING, NOT_TOLD, refill
from interlock.engine.store.store import Store
from interlock.engine.store.verdict import Committed
from interlock.replay.source import pages
from interlock.schema.cloud import PLACES, SecurityGroup
from interlock.schema.errors import InterlockError, InvalidRequest
from interlock.schema.records import RECORDS
from interlock.schema.rows import reader
from interlock.schema.tables import metadata
from interlock.schema.transition import Transition
from tests.bare import Refused, bare
from tests.clerk import Clerk, a_vm, clerk, tiny
from tests.conftest import Copy
from tests.release import make_old
from tests.world import world

Tables = dict[str, set[tuple[Any, ...]]]


async def tables(url: str) -> Tables:
    """All rows of all tables that a journal tells of."""
    async with bare(url) as database:
        return {
            name: set(await database.rows(f'SELECT {_columns(name)} FROM "{name}"'))
            for name in metadata.tables.keys() - NOT_TOLD.keys()
        }


def _columns(name: str) -> str:
    return ", ".join(f'"{column.name}"' for column in metadata.tables[name].columns)


async def filled(url: str, rows: Sequence[Transition]) -> None:
    """Fill a database from rows."""
    store = await Store.open(url)
    try:
        await refill(store, in_pages(rows))
    finally:
        await store.close()


async def in_pages(rows: Sequence[Transition], length: int = 7) -> AsyncIterator[Sequence[Transition]]:
    """The rows, a few at a time."""
    for begin in range(0, len(rows), length):
        yield rows[begin : begin + length]


async def journal_of(url: str) -> list[Transition]:
    """All rows."""
    store = await Store.open(url)
    try:
        return await store.journal(queries.journal_after(0, 100_000))
    finally:
        await store.close()


def test_every_table_is_told_or_follows_or_is_named_with_the_reason_why_not() -> None:
    told = {"journal", *RECORDS, *PLACES}
    assert told | FOLLOWING.keys() | NOT_TOLD.keys() == {*metadata.tables, "interlock_version"}
    assert len(told) + len(FOLLOWING) + len(NOT_TOLD) == len(metadata.tables) + 1


async def test_a_life_with_faults_settings_and_rules_is_filled_again(copy: Copy, tmp_path: Path) -> None:
    async with copy("current") as url, copy("current") as new:
        async with world(tmp_path, url=url) as lab:
            await lab.order("StartDomain", FaultKind.REFUSE)
            await lab.order("PrepareNic", FaultKind.TRANSIENT)
            await lab.deploy(data_disks_mib=(2048,))
            await lab.engine.set_setting("expunge.delay", 7)
            await lab.engine.set_setting(
                "cluster.cpu.allocated.capacity.disablethreshold", 0.5, scope="cluster", place="c"
            )
            await lab.engine.unset_setting("expunge.delay")
            await lab.run("stop")
            await lab.order("CreateVolume", FaultKind.REFUSE_VM)
            await lab.deploy("unlucky")
            await lab.run("start")
            await lab.run("migrate")
        async with clerk(url) as desk:
            await refill(other := await Store.open(new), pages(desk.store))
            await other.close()
        before, after = await tables(url), await tables(new)
        assert {name for name, rows in before.items() if rows} >= {*RECORDS, "setting", "security_group", "journal"}
        for name, rows in before.items():
            assert after[name] == rows, name


async def test_what_is_filled_is_guarded_and_goes_on(copy: Copy, lived_url: str) -> None:
    async with copy("current") as new:
        await filled(new, await journal_of(lived_url))
        async with clerk(new) as desk:
            await desk.deploy("three")
            scope = {"name": "vm.name.scope", "scope": "global", "place_id": None, "value": '"zone"'}
            await desk.store.put({"setting": [{"id": "vm.name.scope@global", **scope}]})
            assert "vm.name.scope@global" in {row[0] for row in await desk.store.rows(queries.all_of("setting"))}
        async with bare(new) as database:
            for statement in ("DELETE FROM journal", "UPDATE vm SET state = 'Expunged'", "UPDATE journal SET at = 1"):
                with pytest.raises(Refused, match="interlock:"):
                    await database.run(statement)
        store = await Store.open(new)
        try:
            with pytest.raises(InvalidRequest, match="is not empty: it has rows of journal"):
                await refill(store, in_pages([]))
        finally:
            await store.close()


async def test_a_place_alone_makes_a_database_that_is_not_empty(database_url: str) -> None:
    async with bare(database_url) as database:
        await database.run("INSERT INTO domain (id) VALUES ('ROOT')")
    with pytest.raises(InvalidRequest, match="is not empty: it has rows of domain"):
        await filled(database_url, [])


def _sealed(row: Transition, **columns: Any) -> Transition:
    edited = msgspec.structs.replace(row, **columns)
    return msgspec.structs.replace(edited, hash=seal(edited))


BREAKS: dict[str, Any] = {
    "edited": lambda rows: [*rows[:-1], msgspec.structs.replace(rows[-1], actor="other")],
    "missing": lambda rows: [*rows[:9], *rows[10:]],
    "begun late": lambda rows: rows[1:],
    "a place that is nowhere": lambda rows: _with_cloud(rows, '"pod_id":"p"', '"pod_id":"nowhere"'),
    "more is held than there is": lambda rows: _with_cloud(rows, '"cpu_mhz":1000,"cpu_over', '"cpu_mhz":1,"cpu_over'),
}


def _with_cloud(rows: list[Transition], old: str, new: str) -> list[Transition]:
    assert old in rows[0].changes
    return [_sealed(rows[0], changes=rows[0].changes.replace(old, new)), *rows[1:]]


@pytest.mark.parametrize("broken", BREAKS)
async def test_a_broken_journal_leaves_the_database_empty(copy: Copy, lived_url: str, broken: str) -> None:
    rows = await journal_of(lived_url)
    async with copy("current") as new:
        before = await tables(new)
        with pytest.raises(InvalidRequest, match="nothing was written"):
            await filled(new, BREAKS[broken](rows))
        assert await tables(new) == before
        await filled(new, rows)  # and it is as good as before: guards, counters, keys
        assert await tables(new) == await tables(lived_url)


async def test_the_journal_of_an_older_release_fills_todays_tables(copy: Copy) -> None:
    async with copy(None) as old, copy("current") as new:
        await make_old(old, "0.2")
        rows = await journal_of(old)
        assert len(rows) > AT_ONCE / 10
        await filled(new, rows)
        before, after = await tables(old), await tables(new)
        for name, there in before.items():
            assert after[name] == there, name


async def test_it_goes_from_one_kind_of_database_to_the_other(copy: Copy, lived_url: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    await filled(other, await journal_of(lived_url))
    async with copy("current") as back:
        await filled(back, await journal_of(other))
        assert await tables(back) == await tables(lived_url)
    store, first = await Store.open(other), await Store.open(lived_url)
    try:
        assert await store.places() == await first.places()
        for name, kind in RECORDS.items():
            read = reader(kind)
            assert [*map(read, await store.rows(queries.all_of(name)))] == [
                *map(read, await first.rows(queries.all_of(name)))
            ]
    finally:
        await store.close()
        await first.close()


happenings = st.one_of(
    st.tuples(st.just("offering"), st.integers(1, 3)),
    st.tuples(st.just("account"), st.integers(1, 3)),
    st.tuples(st.just("set"), st.integers(1, 3)),
    st.tuples(st.just("unset"), st.integers(1, 3)),
    st.tuples(st.just("shrink"), st.integers(0, 9)),
    st.tuples(st.just("ask"), st.integers(1, 2)),
    st.tuples(st.just("run"), st.integers(1, 2)),
)


@settings(max_examples=15)
@given(st.lists(happenings, min_size=3, max_size=12))
def test_whatever_is_written_in_whatever_order_is_filled_again(course: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_live(Path(folder), course))


async def _live(folder: Path, course: list[tuple[str, int]]) -> None:
    here, there = f"sqlite:///{folder}/here.db", f"sqlite:///{folder}/there.db"
    async with clerk(here) as desk:
        await desk.store.put(tiny().rows())
        desk.inventory.load(await desk.store.places())
        for number, (what, value) in enumerate(course):
            with suppress(InterlockError):
                await _happen(desk, what, value, number)
        assert await checkup(desk.store) == []
    await filled(there, await journal_of(here))
    before, after = await tables(here), await tables(there)
    for name, rows in before.items():
        assert after[name] == rows, name


async def _happen(desk: Clerk, what: str, value: int, number: int) -> None:
    rows = tiny().rows()
    setting = f"a@account/{value}"
    if what == "offering":
        await desk.store.put({"offering": [{**rows["offering"][0], "id": f"o-{value}", "cpu_mhz": number + 1}]})
    elif what == "account":
        known = {each["id"]: each for each in rows["account"]}["acme"]
        await desk.store.put({"account": [{**known, "id": f"a-{value}", "cores_limit": number}]}, f"by-{number}")
    elif what == "set":
        row = {"id": setting, "name": "a", "scope": "account", "place_id": str(value), "value": str(number)}
        await desk.store.put({"setting": [row]})
    elif what == "unset":
        await desk.store.remove("setting", setting)
    elif what == "shrink":  # refused, if more is held
        await desk.store.put({"host": [{**each, "cpu_mhz": 100 * value} for each in rows["host"]]})
    else:
        decision = await desk.ask(a_vm(f"vm-{number}"))
        group = SecurityGroup(id=f"acme/g-{value}", account_id="acme", name=f"g-{value}")
        decision = msgspec.structs.replace(decision, groups=(group,))
        won = await desk.write(decision)
        while what == "run" and isinstance(won, Committed) and decision.outcome is None:
            decision = await desk.next(decision)
            won = await desk.write(decision)  # it loses where a host has shrunk meanwhile: so much the better
