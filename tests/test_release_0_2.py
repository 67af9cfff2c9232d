"""A database that lived under release 0.2, killed with 29 operations under way: this release carries each to an end.

Opened just after the kill they go on; opened a month later they are overdue, and are undone. Both ways the books
balance with the hypervisor's world as it was at the kill, and the journal verifies from its first row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interlock import Way
from interlock.engine.core.begun import UNNAMED
from interlock.engine.core.chronicle import same
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.rebuild import Rebuild
from interlock.engine.store import queries
from interlock.engine.store.migrate import HEAD, VERSION_TABLE
from interlock.engine.store.store import Store
from interlock.schema.operation import DRIVEN
from interlock.schema.records import RECORDS, Operation
from interlock.schema.rows import reader
from interlock.schema.tables import metadata
from interlock.schema.tallies import STAYS
from interlock.schema.transition import CLOUD, Transition
from tests.bare import sqlite_url
from tests.release import clock_at, killed_at, make_old, make_world
from tests.release_0_1 import asked, everything
from tests.world import World, world

SOON, LATE = 70_000_000, 30 * 24 * 3600 * 1_000_000
"""How long after the kill it is opened, in µs: its worker's lease has run out, and what waited may go on."""


@asynccontextmanager
async def opened(url: str, folder: Path, after: int) -> AsyncIterator[World]:
    """An engine of today on what 0.2 left, a while after the kill; everything has come to rest."""
    await make_old(url, "0.2")
    await make_world(folder / "world.simulator", "0.2")
    with clock_at(await killed_at(url) + after):
        async with world(folder, url=url) as lab:
            await lab.engine.idle()
            yield lab


async def operations(lab: World) -> list[Operation]:
    """All there are."""
    return await lab.engine._store.operations(queries.all_of("operation"))


async def test_it_has_operations_of_every_kind_in_every_state(empty_url: str) -> None:
    await make_old(empty_url, "0.2")
    before = await asked(empty_url, everything)
    assert [row["version_num"] for row in before[VERSION_TABLE]] == ["0002"]
    rows = before["operation"]
    assert {row["state"] for row in rows} == {*DRIVEN, "Succeeded", "Failed", "Stuck"}
    effectless = {"recover", "assign", "set-default-nic", "create-disk"}
    assert {row["kind"] for row in rows if row["state"] in DRIVEN} == UNNAMED.keys() - effectless
    assert {row["then"] for row in rows if row["state"] in DRIVEN} == {None, "replan", "failed", "cancelled"}
    assert "steps" not in rows[0]


async def test_nothing_it_said_is_lost(empty_url: str) -> None:
    await make_old(empty_url, "0.2")
    before = await asked(empty_url, everything)
    await (await Store.open(empty_url, create=False)).close()
    after = await asked(empty_url, everything)
    assert {row.pop("steps") for row in after["operation"]} == {"[]"}
    told = [after["journal"].pop() for row in list(after["journal"]) if row["machine"] == CLOUD]
    assert told and {row["actor"] for row in told} == {"interlock"}
    assert after.pop(VERSION_TABLE) == [{"version_num": HEAD}]
    assert after.pop("archive") == after.pop("archiving") == after.pop("claim") == []
    staying = Counter(row["state"] for row in after["vm"] if row["state"] in STAYS)
    told_of = Counter[str]()
    for row in after.pop("vm_tally"):
        told_of[row["state"]] += row["count"] if row["scope"] == "zone" else 0
    assert staying == +told_of
    for name in after.keys() - {"guard"}:
        assert after[name] == before[name], name


@pytest.mark.parametrize("after", [SOON, LATE], ids=["soon", "late"])
async def test_every_operation_comes_to_rest_and_the_books_balance(empty_url: str, tmp_path: Path, after: int) -> None:
    async with opened(empty_url, tmp_path, after) as lab:
        found = await operations(lab)
        stuck = [each for each in found if each.state == "Stuck"]
        assert {each.state for each in found} == {"Succeeded", "Failed", "Cancelled", "Stuck"}
        for each in stuck:
            assert "interlock resolve" in (each.error or "")
            ended = await (await lab.engine.resolve(each.id, Way.UNDO, "well again")).ended()
            assert ended.state in ("Failed", "Cancelled")
        await lab.assert_sound()
        await assert_verifies(lab)


async def test_soon_after_they_are_gone_on_with_and_long_after_they_are_undone(tmp_path: Path) -> None:
    for after, name in ((SOON, "soon"), (LATE, "late")):
        (tmp_path / name).mkdir()
        async with opened(sqlite_url(tmp_path / name / "interlock.db"), tmp_path / name, after) as lab:
            overdue = [each for each in await operations(lab) if "overdue" in (each.error or "")]
            assert bool(overdue) == (after == LATE)


async def test_the_steps_of_what_is_taken_over_are_named_from_then_on(empty_url: str, tmp_path: Path) -> None:
    await make_old(empty_url, "0.2")
    store = await Store.open(empty_url, create=False)
    known = await store.operations(queries.all_of("operation"))
    under_way = {each.id for each in known if each.state in DRIVEN}
    await store.close()
    await make_world(tmp_path / "world.simulator", "0.2")
    with clock_at(await killed_at(empty_url) + SOON):
        async with world(tmp_path, url=empty_url) as lab:
            await lab.engine.idle()
            after = {each.id: each for each in await operations(lab)}
            for each in known:
                named = PROGRAMS[each.kind].names_of(each.request) if each.id in under_way else ()
                assert after[each.id].steps == named


async def assert_verifies(lab: World) -> None:
    """The journal is a chain from 0.2's first row on, and gives the very tables."""
    store, rebuilt = lab.engine._store, Rebuild()
    rows: list[Transition] = await store.journal(metadata.tables["journal"].select().order_by("seq"))
    for row in rows:
        rebuilt.add(row)
    for name, kind in RECORDS.items():
        kept = [reader(kind)(row) for row in await store.rows(queries.all_of(name))]
        assert {record.id: record for record in kept} == rebuilt.records[name]
    for name, places in (await store.places()).items():
        assert rebuilt.places[name].keys() == {place.id for place in places}
        assert all(same(name, rebuilt.places[name][place.id], place) for place in places)


def test_the_steps_that_0_2_did_not_name_are_those_it_had() -> None:
    """Frozen: 0.2's lists stay as they were, whatever becomes of the programs."""
    assert UNNAMED["deploy"] == ("allocate", "place", "prepare", "domain")
    assert {kind: len(steps) for kind, steps in UNNAMED.items()} == {
        **{"deploy": 4, "start": 3, "stop": 2, "reboot": 1, "destroy": 3, "recover": 1, "expunge": 2},
        **{"migrate": 4, "scale": 1, "restore": 1, "assign": 0, "create-disk": 1, "attach-disk": 3},
        **{"detach-disk": 1, "resize-disk": 1, "delete-disk": 1, "add-nic": 3, "remove-nic": 2},
        **{"set-default-nic": 1, "secure": 1},
    }
