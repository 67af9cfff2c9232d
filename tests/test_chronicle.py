"""The cloud is journaled: what writes places writes rows, and the places follow from the rows alone.

A history of loads, settings, rules, groups that deploys make, refusals and transactions of embedders is lived on both
databases; after each step the tables are what the journal tells, and the rows are no more than what changed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.embed.checkup import checkup
from interlock.engine.core import chronicle
from interlock.engine.core.chronicle import PLACES_IN_A_ROW, Chain, same
from interlock.engine.core.decision import Author, Decision, seal
from interlock.engine.core.rebuild import JournalBroken, Rebuild
from interlock.engine.store import queries
from interlock.engine.store.joined import take_lock, write_joined
from interlock.engine.store.store import Store
from interlock.engine.store.verdict import Committed
from interlock.schema.cloud import PLACES, Host, Offering, SecurityGroup
from interlock.schema.errors import InvalidRequest
from interlock.schema.rows import DESCRIBED
from interlock.schema.transition import PLACES_REMOVED, PLACES_WRITTEN, Entry, Transition
from tests.bare import Refused, bare
from tests.clerk import a_vm, clerk, tiny
from tests.ledger import assert_sound

BY = Author(at=1, operation_id=None, actor="ann")


async def rows_of_cloud(store: Store) -> list[Transition]:
    """All rows that tell of the cloud."""
    return await store.journal(queries.journal_of_cloud(0, 1000))


async def rebuilt(store: Store) -> Rebuild:
    """From the whole journal; the tables of places are checked against it."""
    found = Rebuild()
    for row in await store.journal(queries.journal_after(0, 100_000)):
        found.add(row)
    for name, places in (await store.places()).items():
        told = found.places[name]
        assert told.keys() == {place.id for place in places}, name
        assert all(same(name, told[place.id], place) for place in places), name
    return found


# The rows


def hosts(count: int, **columns: Any) -> list[Host]:
    """Hosts that no cloud has."""
    return [
        Host(
            id=f"h-{n}",
            zone_id="z",
            pod_id="p",
            cluster_id="c",
            driver="d",
            **{"cpu_mhz": 1, "memory_mib": 1, **columns},
        )
        for n in range(count)
    ]


def test_many_places_are_several_rows_that_follow_one_another() -> None:
    many = hosts(2 * PLACES_IN_A_ROW + 1)
    rows = chronicle.written(Chain(), {"host": many}, BY)
    assert [len(row_places(row)["host"]) for row in rows] == [PLACES_IN_A_ROW, PLACES_IN_A_ROW, 1]
    found = Rebuild()
    for row in rows:
        found.add(row)
    assert list(found.places["host"].values()) == many
    assert "cpu_used_mhz" not in rows[0].changes


def row_places(row: Entry) -> dict[str, Any]:
    """What a row tells, by table."""
    return dict(msgspec.json.decode(row.changes))


def described(value: int) -> Offering:
    return Offering(id=f"o-{value % 3}", cpu_cores=value, host_tags=("a",) * (value % 2))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.integers(1, 9).map(described), max_size=4)),
        st.tuples(
            st.just("remove"), st.lists(st.integers(0, 2).map("o-{}".format), min_size=1, max_size=2, unique=True)
        ),
    )
)


@given(steps)
def test_places_follow_from_the_rows_alone_and_what_changes_nothing_makes_none(course: list[Any]) -> None:
    there: dict[str, Any] = {}
    found = Rebuild()
    for what, places in course:
        if what == "write":
            fresh = chronicle.differing({"offering": places}, {"offering": there})
            rows = chronicle.written(found.cloud, fresh, BY)
            after = there | {place.id: place for place in places}
        else:
            gone = [place_id for place_id in places if place_id in there]
            rows = chronicle.removed(found.cloud, {"offering": gone}, BY)
            after = {place_id: place for place_id, place in there.items() if place_id not in gone}
        assert bool(rows) == (after != there)
        for row in rows:
            found.add(row)
        there = after
        assert found.places["offering"] == there


ROW = chronicle.written(Chain(), {"host": hosts(1)}, BY)[0]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"actor": "bob", "hash": ROW.hash}, "it was edited"),
        ({"prev": "0" * 64}, "its chain is broken"),
        ({"version": 2}, "makes version 2 of 0"),
        ({"entity_id": "cloud-2"}, "a row of the cloud"),
        ({"vm_id": "vm"}, "a row of the cloud"),
        ({"source": "Described"}, "leads from Described"),
        ({"destination": "Running"}, "to Running"),
        ({"event": "Moved"}, "is called Moved"),
        ({"changes": "{}"}, "it changes nothing"),
        ({"changes": '{"host":[]}'}, "it changes nothing"),
        ({"changes": '{"vm":[{"id":"x"}]}'}, "no tables vm"),
        ({"changes": '{"host":[{"id":"x"}]}'}, "other columns than it has"),
        ({"changes": '{"host":["x"]}'}, "without columns"),
        ({"changes": ROW.changes.replace('"enabled":true', '"enabled":7')}, "Expected `bool`"),
        ({"changes": ROW.changes.replace('"enabled"', '"shiny":1,"enabled"')}, "other columns than it has: shiny"),
        ({"changes": '{"host":[["x"]]}', "event": PLACES_REMOVED}, "no id"),
        ({"changes": '{"host":1}'}, "Expected `array`"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_the_reason(columns: dict[str, Any], reason: str) -> None:
    row = msgspec.structs.replace(ROW, **columns)
    row = row if "hash" in columns else msgspec.structs.replace(row, hash=seal(row))
    with pytest.raises(JournalBroken, match=rf"row 1, .*{reason}"):
        Rebuild().add(row)


# The store


async def test_a_load_is_told_and_the_same_again_is_not(cloud_url: str) -> None:
    store = await Store.open(cloud_url)
    try:
        [told] = await rows_of_cloud(store)
        assert (told.seq, told.version, told.source, told.destination) == (1, 1, "", "Described")
        assert told.changed.keys() == {name for name, rows in tiny().rows().items() if rows and name in PLACES}
        assert [row.keys() for row in told.changed["host"]] == [set(DESCRIBED["host"])] * 2
        await store.put(tiny().rows())
        assert len(await rows_of_cloud(store)) == 1
        await rebuilt(store)
    finally:
        await store.close()


async def test_only_what_changed_is_told_and_who_changed_it(cloud_url: str) -> None:
    store = await Store.open(cloud_url)
    try:
        [first, *_] = rows = tiny().rows()["host"]
        await store.put({"host": [{**first, "enabled": False}, *rows[1:]]}, "ann")
        await store.put({"host": [{"id": first["id"], "cpu_mhz": 2000}]}, "ben")
        value = {"name": "vm.name.scope", "scope": "global", "place_id": None, "value": '"zone"'}
        await store.put({"setting": [{"id": "vm.name.scope@global", **value}]}, "ann")
        assert await store.remove("setting", "vm.name.scope@global", "cid")
        assert not await store.remove("setting", "vm.name.scope@global", "cid")
        _, *rest = await rows_of_cloud(store)
        assert [(row.seq, row.actor, row.event) for row in rest] == [
            *((2, "ann", PLACES_WRITTEN), (3, "ben", PLACES_WRITTEN)),
            *((4, "ann", PLACES_WRITTEN), (5, "cid", PLACES_REMOVED)),
        ]
        assert [[place["id"] for place in row.changed["host"]] for row in rest[:2]] == [[first["id"]]] * 2
        assert rest[1].changed["host"][0]["enabled"] is False
        assert rest[3].changed == {"setting": ["vm.name.scope@global"]}
        assert not (await rebuilt(store)).places["setting"]
    finally:
        await store.close()


async def test_a_refused_write_leaves_no_row(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk:
        await desk.deploy("web")
        before = await desk.store.journal(queries.journal_after(0, 1000))
        with pytest.raises(InvalidRequest, match="more is held of it"):
            await desk.store.put({"host": [{**row, "cpu_mhz": 1} for row in tiny().rows()["host"]]})
        assert await desk.store.journal(queries.journal_after(0, 1000)) == before
        await rebuilt(desk.store)


async def test_what_we_write_of_the_cloud_leaves_our_figures_fresh_and_wakes_who_follows(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk:
        other = await Store.open(cloud_url)
        try:
            await desk.deploy("web")
            told = []
            desk.store.on_written = lambda: told.append(1)
            await desk.store.put({"offering": [{**tiny().rows()["offering"][0], "cpu_mhz": 999}]})
            assert told == [1]
            await desk.deploy("two")
            assert not desk.store.overtaken
            await other.put({"offering": [{**tiny().rows()["offering"][0], "cpu_mhz": 998}]})
            await desk.deploy("three")
            assert desk.store.overtaken
        finally:
            await other.close()


async def test_loads_beside_commits_leave_no_gap(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk:
        other = await Store.open(cloud_url)
        try:
            offering = tiny().rows()["offering"][0]
            puts = [
                (desk.store, other)[n % 2].put({"offering": [{**offering, "memory_most_mib": n + 1}]}, f"{n}")
                for n in range(20)
            ]
            asks = []
            for n in range(4):
                asks.append(await desk.ask(a_vm(f"vm-{n}")))
                desk.inventory.hold(asks[-1])
            await asyncio.gather(*puts, *(desk.store.commit(each) for each in asks))
            found = await rebuilt(desk.store)
            assert (found.cloud.version, len(found.records["vm"])) == (21, 4)
        finally:
            await other.close()
    async with bare(cloud_url) as database:
        await assert_sound(database)


# Groups that a deploy makes


def making(decision: Decision, *names: str) -> Decision:
    """The decision, with security groups that must be there."""
    groups = tuple(SecurityGroup(id=f"acme/{name}", account_id="acme", name=name) for name in names)
    return msgspec.structs.replace(decision, groups=groups)


@pytest.mark.parametrize("loser", [False, True], ids=["together", "one by one"])
async def test_a_group_is_told_once_before_the_rows_of_the_deploy_that_makes_it(cloud_url: str, loser: bool) -> None:
    async with clerk(cloud_url) as desk:
        await desk.deploy("first")
        asks = []
        for n in range(4):
            asks.append(await desk.ask(a_vm("first" if loser and n == 1 else f"vm-{n}")))
            desk.inventory.hold(asks[-1])
        made = [("default",), ("lost",), ("default", "it's"), ("it's",)]
        decisions = [making(ask, *names) for ask, names in zip(asks, made, strict=True)]
        verdicts = await asyncio.gather(*(desk.store.commit(each) for each in decisions))
        assert [isinstance(each, Committed) for each in verdicts] == [True, not loser, True, True]
        for decision, verdict in zip(decisions, verdicts, strict=True):
            if isinstance(verdict, Committed):
                [row] = await desk.store.journal(queries.journal_after(verdict.first_seq - 1, 1))
                assert row.hash == decision.journal[0].hash
        told = [row for row in await rows_of_cloud(desk.store) if "security_group" in row.changed]
        names = [[group["name"] for group in row.changed["security_group"]] for row in told]
        assert names == ([["default"], ["it's"]] if loser else [["default"], ["lost"], ["it's"]])
        assert told[0].operation_id == decisions[0].operation.id
        assert (await rebuilt(desk.store)).places["security_group"].keys() == {f"acme/{each}" for [each] in names}
        assert not desk.store.overtaken
    async with bare(cloud_url) as database:
        await assert_sound(database)


async def test_a_group_that_an_embedder_rolls_back_is_not_told(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk:
        decision = making(await desk.ask(a_vm("web")), "default")
        for keep in (False, True):
            async with desk.store.engine.connect() as connection:
                await connection.begin()
                await take_lock(connection)
                assert isinstance(await write_joined(connection, decision), Committed)
                await (connection.commit() if keep else connection.rollback())
            assert len(await rows_of_cloud(desk.store)) == 1 + keep
        assert list((await rebuilt(desk.store)).places["security_group"]) == ["acme/default"]


# By hand


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE host SET enabled = false WHERE id = 'h-1'", "host h-1: enabled is False, the journal tells True"),
        ("INSERT INTO account (id, domain_id, role, enabled) VALUES ('x', 'ROOT', 'user', true)", "account x: the"),
        ("DELETE FROM ssh_key WHERE id = 'k'", "ssh_key k: the journal tells of it, and it is not there"),
    ],
)
async def test_a_place_that_was_written_by_hand_is_found(cloud_url: str, statement: str, said: str) -> None:
    store = await Store.open(cloud_url)
    try:
        await store.put({"ssh_key": [{"id": "k", "account_id": "acme", "public_key": "ssh-ed25519 AAAA"}]})
        assert await checkup(store) == []
        async with bare(cloud_url) as database:
            await database.run(statement)
        [finding] = await checkup(store)
        assert finding.code == "cloud"
        assert finding.message.startswith(said)
    finally:
        await store.close()


async def test_what_the_engine_writes_over_it_leaves_the_journal_whole(cloud_url: str) -> None:
    store = await Store.open(cloud_url)
    try:
        async with bare(cloud_url) as database:
            await database.run("UPDATE host SET enabled = false WHERE id = 'h-1'")
            await database.run("INSERT INTO setting VALUES ('a@global', 'a', 'global', NULL, '1')")
        await store.put(tiny().rows())
        assert await store.remove("setting", "a@global")
        assert await checkup(store) == []
        await rebuilt(store)
    finally:
        await store.close()


CLOUD_ROW = (
    "INSERT INTO journal (seq, at, machine, entity_id, version, event, source, destination, actor, changes, ledger,"
    " tables, prev, hash) SELECT max(seq) + 1, 1, '{machine}', '{entity}', {version}, 'PlacesWritten', 'Described',"
    " '{state}', 'hand', '{{}}', '[]', 2, {prev}, 'mine' FROM journal"
)
LAST = "(SELECT hash FROM journal WHERE entity_id = 'cloud' AND version = 1)"
RIGHT = {"machine": "cloud", "entity": "cloud", "version": 2, "state": "Described", "prev": LAST}


@pytest.mark.parametrize(
    "wrong",
    [{"version": 3}, {"version": 1}, {"prev": "''"}, {"entity": "other"}, {"machine": "vm"}, {"state": "Gone"}],
    ids=str,
)
async def test_a_row_of_the_cloud_follows_its_last_one_or_is_refused(cloud_url: str, wrong: dict[str, Any]) -> None:
    async with bare(cloud_url) as database:
        with pytest.raises(Refused, match=r"interlock: stale|UNIQUE|duplicate key"):
            await database.run(CLOUD_ROW.format_map(RIGHT | wrong))
        await database.run(CLOUD_ROW.format_map(RIGHT))
