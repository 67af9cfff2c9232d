"""Pages one after the other are the whole list, whatever the filters, the order and the size of a page, and whatever is
inserted and deleted meanwhile: nothing that was there all along is missed, nothing is shown twice. And the counts that
triggers keep are those that one would count.

Rows are written by hand here, past the guards, in ways no operation would: the lists must hold all the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import filled
from interlock import Engine
from interlock.embed.checkup import checkup
from interlock.engine.store import lists, tallies, walks
from interlock.engine.store.lists import read_page
from interlock.engine.store.store import Store
from interlock.engine.store.walks import Filter
from interlock.schema import guards
from interlock.schema.errors import InvalidRequest
from interlock.schema.machines import MACHINES
from interlock.schema.records import Vm
from interlock.schema.tallies import PASSES, STAYS
from tests.bare import Bare, bare, literal, sqlite_url
from tests.conftest import DIALECTS, Copy
from tests.hand import LOOSE
from tests.postgres import Server
from tests.world import world

STATES = ("Running", "Stopped", "Error", "Starting", "Expunged")
MACHINE = {"created_at": 1, "since": 1, "version": 1, "hash": "x"}


class Row(msgspec.Struct, frozen=True):
    """What of a VM a list may ask for."""

    number: int
    state: str
    account: str
    host: str | None
    name: str
    tag: str | None
    network: str | None
    """Where it has a NIC."""
    gone: bool
    """Whether that NIC is gone."""

    @property
    def id(self) -> str:
        """Of the VM."""
        return filled._id(self.number, 0)


rows = st.builds(
    Row,
    number=st.integers(0, 40),
    state=st.sampled_from(("Running", *STATES)),
    account=st.sampled_from(["acme", "system"]),
    host=st.sampled_from([None, "h-1", "h-2"]),
    name=st.text(alphabet="aaB_%", min_size=1, max_size=3),
    tag=st.sampled_from([None, "v", 'v"', "w"]),
    network=st.sampled_from(["net", "net", "other", None]),
    gone=st.booleans(),
)
WAYS: list[tuple[str, Any] | None] = [
    None,
    ("state", "Running"),
    ("account", "acme"),
    ("host", "h-1"),
    ("cluster", "c"),
    ("prefix", "a"),
    ("prefix", "_"),
    ("prefix", "a%"),
    ("network", "net"),
    ("network", "net"),
]
RESTS: list[tuple[str, Any] | None] = [
    None,
    ("living", True),
    ("living", True),
    ("state", "Running"),
    ("tag", ("k", "v")),
    ("tag", ("k", 'v"')),
]
wanted = st.tuples(st.sampled_from(WAYS), st.sampled_from(RESTS)).map(
    lambda asked: Filter(**dict(each for each in asked if each is not None))
)
"""No more than two: of many filters nothing is left, and a list of nothing is always whole."""


def meets(row: Row, filters: Filter) -> bool:
    """What the filters say, in Python."""
    return all(
        (
            filters.state in (None, row.state),
            not filters.living or row.state != "Expunged",
            filters.account in (None, row.account),
            filters.host in (None, row.host),
            filters.cluster is None or (filters.cluster == "c" and row.host is not None),
            filters.prefix is None or row.name.startswith(filters.prefix),
            filters.tag is None or row.tag == filters.tag[1],
            filters.network is None or (row.network == filters.network and not row.gone),
        )
    )


# Databases without what refuses


@pytest.fixture(scope="module")
def urls(server: Server, files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One of each kind, with the tiny cloud: what counts is on, what refuses and what books is not."""
    file = tmp_path_factory.mktemp("lists") / "lists.db"
    file.write_bytes((files / "cloud").read_bytes())
    name = f"lists_{uuid4().hex}"
    found = {"sqlite": sqlite_url(file), "postgresql": server.url(name)}
    asyncio.run(_prepared(server, name, found.values()))
    return found


async def _prepared(server: Server, name: str, made: Iterable[str]) -> None:
    async with bare(server.url("postgres")) as admin:
        await admin.run(f"CREATE DATABASE {name} TEMPLATE model_cloud")
    for url in made:
        async with bare(url) as database:
            for (statement,) in await database.rows(guards.earlier(database.dialect)):
                if "vm_tally" not in statement:
                    await database.run(statement)


@asynccontextmanager
async def furnished(url: str, there: Iterable[Row]) -> AsyncIterator[tuple[Store, Bare]]:
    """A store on one of them with just these VMs."""
    async with bare(url) as database:
        for table in ("nic", "vm"):
            await database.run(f"DELETE FROM {table}")
        for row in there:
            await insert(database, row)
        # Opening would put the guards back.
        store = await _as_it_is(url)
        try:
            yield store, database
        finally:
            await store.close()


async def _as_it_is(url: str) -> Store:
    from interlock.engine.store import store as module

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "bring_up_to_date", nothing)
        return await Store.open(url)


async def insert(database: Bare, row: Row) -> None:
    """A VM, and its NIC if it has one."""
    tags = "{}" if row.tag is None else msgspec.json.encode({"a": 'k":"v', "k": row.tag}).decode()
    changed = {"id": row.id, "name": row.name, "state": row.state, "account_id": row.account, "host_id": row.host}
    await _insert(database, "vm", {**LOOSE["vm"], **MACHINE, **changed, "name_scope": row.id, "tags": tags})
    if row.network is not None:
        state = "Deallocated" if row.gone else "Reserved"
        nic = {"id": filled._id(row.number, 1), "vm_id": row.id, "network_id": row.network, "state": state}
        await _insert(database, "nic", {**LOOSE["nic"], **MACHINE, **nic})


async def _insert(database: Bare, table: str, values: dict[str, Any]) -> None:
    names, given = ", ".join(values), ", ".join(map(literal, values.values()))
    await database.run(f"INSERT INTO {table} ({names}) VALUES ({given})")


async def delete(database: Bare, row: Row) -> None:
    """A VM and its NIC, as archiving would."""
    await database.run(f"DELETE FROM nic WHERE vm_id = {literal(row.id)}")
    await database.run(f"DELETE FROM vm WHERE id = {literal(row.id)}")


def distinct(found: list[Row]) -> list[Row]:
    """No two with one number."""
    return list({row.number: row for row in found}.values())


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that lists of a few are looked at in many."""
    monkeypatch.setattr(lists, "LOOKED_AT", 3)
    monkeypatch.setattr(lists, "MEMBERS_AT_ONCE", 3)


# What must hold

actions = st.lists(st.tuples(st.booleans(), rows), max_size=8)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.usefixtures("small_portions")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    there=st.lists(rows, min_size=6, max_size=20).map(distinct),
    filters=wanted,
    order=st.sampled_from(["oldest", "youngest", "name"]),
    limit=st.integers(1, 6),
    doing=actions,
)
def test_pages_are_the_whole_list_whatever_happens_meanwhile(
    urls: dict[str, str], dialect: str, there: list[Row], filters: Filter, order: Any, limit: int, doing: list[Any]
) -> None:
    if filters.prefix is not None and order == "youngest":
        order = "name"

    async def walk() -> None:
        async with furnished(urls[dialect], there) as (store, database):
            known, always, ever = {row.number: row for row in there}, set(there), set(there)
            seen: list[Vm] = []
            after, more, left = None, True, list(doing)
            while more:
                page, after = await read_page(store, store.vms, walks.vms(filters, order), after, limit)
                assert len(page) <= limit
                seen += page
                assert len(seen) <= 50, "it does not end"
                more = after is not None
                for begin, row in left[:2]:
                    await _happens(database, known, always, ever, begin, row)
                left = left[2:]
            assert_whole(seen, [row for row in always if meets(row, filters)], ever, filters, order)

    asyncio.run(walk())


async def _happens(
    database: Bare, known: dict[int, Row], always: set[Row], ever: set[Row], begin: bool, row: Row
) -> None:
    if row.number in known:
        gone = known.pop(row.number)
        always.discard(gone)
        await delete(database, gone)
    if begin:
        known[row.number] = row
        ever.add(row)
        await insert(database, row)


def assert_whole(seen: list[Vm], always: list[Row], ever: set[Row], filters: Filter, order: str) -> None:
    """None missed of those that were there all along, in order, and none that does not belong."""
    known = {(row.id, row.name): row for row in ever}
    assert {row.id for row in always} <= {vm.id for vm in seen}
    keys = [(vm.name, vm.id) if order == "name" or filters.prefix is not None else (vm.id,) for vm in seen]
    assert keys == sorted(set(keys), reverse=order == "youngest"), "twice, or out of order"
    for vm in seen:
        assert any(meets(row, filters) for (key, _), row in known.items() if key == vm.id)


ALIKE = Row(number=0, state="Running", account="acme", host=None, name="a", tag="v", network="net", gone=False)


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "filters", [Filter(network="net"), Filter(tag=("k", "v")), Filter(account="acme", state="Running")]
)
def test_a_list_goes_on_behind_what_one_page_looks_at(urls: dict[str, str], dialect: str, filters: Filter) -> None:
    async def walk() -> list[list[str]]:
        there = [msgspec.structs.replace(ALIKE, number=number) for number in range(8)]
        async with furnished(urls[dialect], there) as (store, _):
            pages, after = [], None
            while True:
                page, after = await read_page(store, store.vms, walks.vms(filters), after, 6)
                pages.append([vm.id for vm in page])
                if after is None:
                    return pages

    pages = asyncio.run(walk())
    assert [len(page) for page in pages] == [3, 3, 2]
    assert [each for page in pages for each in page] == [filled._id(number, 0) for number in range(8)]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.usefixtures("small_portions")
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=st.lists(rows, max_size=10).map(distinct), doing=actions, moves=st.lists(st.tuples(rows, st.booleans())))
def test_the_counts_are_those_one_would_count(
    urls: dict[str, str], dialect: str, there: list[Row], doing: list[Any], moves: list[tuple[Row, bool]]
) -> None:
    async def check() -> None:
        async with furnished(urls[dialect], there) as (store, database):
            known = {row.number: row for row in there}
            for begin, row in doing:
                await _happens(database, known, set(), set(), begin, row)
            for row, assigned in moves:
                if row.number in known:
                    old = known[row.number]
                    new = msgspec.structs.replace(
                        old, state=row.state, account=row.account if assigned else old.account
                    )
                    known[row.number] = new
                    await database.run(
                        f"UPDATE vm SET state = {literal(new.state)}, account_id = {literal(new.account)}"
                        f" WHERE id = {literal(new.id)}"
                    )
            await assert_counted(store, list(known.values()))

    asyncio.run(check())


async def assert_counted(store: Store, known: list[Row]) -> None:
    """By state, of all and of each place; and the recount finds nothing."""
    for scope, place, of in (
        (None, None, known),
        ("zone", "z", known),
        ("account", "acme", [row for row in known if row.account == "acme"]),
        ("host", "h-1", [row for row in known if row.host == "h-1"]),
        ("account", "nobody", []),
    ):
        counted = {state: int(number) for state, number in await store.rows(tallies.counted(scope, place))}
        assert counted == Counter(row.state for row in of), (scope, place)
    assert await store.rows(tallies.miscounted()) == []


def test_every_state_is_counted_one_way() -> None:
    assert sorted((*STAYS, *PASSES)) == sorted(MACHINES["vm"].states)
    assert not set(STAYS) & set(PASSES)
    assert {"Running", "Stopped", "Expunged"} <= set(STAYS) and {"Allocated", "Starting"} <= set(PASSES)


# As embedders ask


async def test_a_count_that_somebody_wrote_is_found(copy: Copy, lived_url: str) -> None:
    async with bare(lived_url) as database:
        await database.run("UPDATE vm_tally SET count = 7 WHERE scope = 'account'")
    store = await Store.open(lived_url)
    found = await checkup(store)
    await store.close()
    assert [each.code for each in found] == ["tally"]
    assert found[0].message == "account system: of its VMs 5 too many count as Running"


async def test_an_update_that_ignores_conflicts_is_counted_all_the_same(lived_url: str) -> None:
    """SQLite hands the clause of a statement on to what its triggers do."""
    async with bare(lived_url) as database:
        for (statement,) in await database.rows(guards.earlier(database.dialect)):
            if statement.startswith("DROP TRIGGER guard_"):
                await database.run(statement)
        ignoring = " OR IGNORE" if database.dialect == "sqlite" else ""
        await database.run(f"UPDATE{ignoring} vm SET state = 'Stopped'")
        rows = await database.rows("SELECT scope, state, count FROM vm_tally ORDER BY scope")
    assert [tuple(row) for row in rows] == [("account", "Stopped", 2), ("zone", "Stopped", 2)]


Asks = Callable[[Engine], Awaitable[object]]
WRONG: dict[str, tuple[Asks, str]] = {
    "no entries": (lambda engine: engine.vms(limit=0), "a page has 1 to 1000 entries, not 0"),
    "too many": (lambda engine: engine.disks(limit=1001), "a page has 1 to 1000 entries, not 1001"),
    "a key of another list": (lambda engine: engine.vms(order="name", after="x"), "is not where a page by name ended"),
    "two orders": (lambda engine: engine.vms(prefix="a", order="youngest"), "is in the order of names"),
    "operations by name": (lambda engine: engine.all_operations(order="name"), "operations have no names"),
    "two counts": (lambda engine: engine.counts(zone="z", host="h"), "counted by one of zone, account, host"),
    "places that are none": (lambda engine: engine.some_places("moon"), "there are no places of kind 'moon'"),
    "places by what they have not": (lambda engine: engine.some_places("host", domain="d"), "but by zone, cluster"),
}


@pytest.mark.parametrize("asks,message", WRONG.values(), ids=WRONG)
async def test_a_page_that_cannot_be_is_refused(tmp_path: Path, asks: Asks, message: str) -> None:
    async with world(tmp_path) as lab:
        with pytest.raises(InvalidRequest, match=message):
            await asks(lab.engine)


async def test_lists_of_an_engine(copy: Copy, tmp_path: Path) -> None:
    async with copy("current") as url, world(tmp_path, url=url) as lab:
        engine, ids = lab.engine, []
        for name in ("web-1", "web-2", "db"):
            ids.append(str((await lab.deploy(name)).vm_id))
        await lab.run("stop", "db")
        assert [vm.name for vm in (await engine.vms(order="youngest", limit=2)).vms] == ["db", "web-2"]
        first = await engine.vms(prefix="web-", limit=1)
        assert [vm.name for vm in first.vms] == ["web-1"] and first.next is not None
        second = await engine.vms(prefix="web-", limit=1, after=first.next)
        assert [vm.name for vm in second.vms] == ["web-2"]
        assert [vm.id for vm in (await engine.vms(network="net")).vms] == ids
        assert (await engine.vms(network="back")).vms == []
        assert [vm.name for vm in (await engine.vms(cluster="c", zone="z")).vms] == ["web-1", "web-2"]
        done = (await engine.all_operations(state="Succeeded", order="oldest")).operations
        assert [each.kind for each in done] == ["deploy", "deploy", "deploy", "stop"]
        assert [each.vm_id for each in (await engine.all_operations(vm=ids[0])).operations] == [ids[0]]
        assert (await engine.all_operations(state="Failed")).operations == []
        assert [disk.vm_id for disk in (await engine.disks(prefix="ROOT-web")).disks] == ids[:2]
        assert (await engine.disks(free=True)).disks == []
        assert await engine.counts() == {"Running": 2, "Stopped": 1}
        assert await engine.counts(host="h-1") == {"Running": 2}
        assert await engine.disk_count() == 3 == await engine.disk_count(account="system")
        assert await engine.disk_count(account="eve") == 0 == await engine.disk_count(account="nobody")
        hosts = await engine.some_places("host", cluster="c", limit=1)
        assert [host.id for host in hosts.places] == ["h-1"]
        assert await engine.check() == []
