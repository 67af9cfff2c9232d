"""Every list, every count and every read of the deploy path finds its rows by an index, on both dialects.

Held on databases that are full already, with the statistics a full database has: PostgreSQL's planner follows them. On
SQLite the whole is counted as well: a deploy and a page run the same number of instructions, triggers among them,
whether there are few VMs or twenty times as many.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Select
from sqlalchemy.sql.compiler import SQLCompiler

from benchmarks import filled
from interlock import DeployVM, Engine
from interlock.drivers.simulator import Simulator
from interlock.engine.store import archive, lists, queries, sqlite, tallies, walks
from interlock.engine.store.lists import Key, Walk
from interlock.engine.store.store import Store
from interlock.engine.store.walks import DiskFilter, Filter, OperationFilter
from tests.bare import bare, sqlite_url
from tests.conftest import DIALECTS
from tests.postgres import Server

MANY, FEW = 2_400, 600
VM, NIC, VOLUME, OPERATION = (filled._id(234, kind) for kind in range(4))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite database with many VMs."""
    url = sqlite_url(tmp_path_factory.mktemp("full") / "many.db")
    asyncio.run(filled.fill(url, MANY, spare_hosts=2))
    return url


@pytest.fixture(scope="module")
def full_server(server: Server) -> str:
    """A PostgreSQL database with many VMs; it goes with the server."""
    name = f"full_{uuid4().hex}"
    asyncio.run(_make(server, name))
    return server.url(name)


async def _make(server: Server, name: str) -> None:
    async with bare(server.url("postgres")) as admin:
        await admin.run(f"CREATE DATABASE {name}")
    await filled.fill(server.url(name), MANY, spare_hosts=2)


@pytest.fixture(params=DIALECTS)
def full_url(request: pytest.FixtureRequest) -> str:
    """A full database of each kind."""
    return str(request.getfixturevalue("full" if request.param == "sqlite" else "full_server"))


@pytest.fixture
async def store(full_url: str) -> AsyncIterator[Store]:
    """It, open."""
    opened = await Store.open(full_url)
    yield opened
    await opened.close()


# What is asked for, and the index that must answer it

LISTS: list[tuple[str, Walk, str]] = [
    ("all VMs", walks.vms(Filter()), "vm_pkey"),
    ("the youngest VMs", walks.vms(Filter(), "youngest"), "vm_pkey"),
    ("VMs by name", walks.vms(Filter(), "name"), "vm_name"),
    ("VMs whose names begin so", walks.vms(Filter(prefix="old-00012")), "vm_name"),
    ("VMs of a name", walks.vms(Filter(name="old-0001234")), "vm_name"),
    ("VMs in a state", walks.vms(Filter(state="Error")), "vm_state"),
    ("VMs of an account", walks.vms(Filter(account="tenant-1")), "vm_account"),
    ("VMs on a host", walks.vms(Filter(host="host-1-3")), "vm_host"),
    ("VMs in a cluster", walks.vms(Filter(cluster="cluster-1")), "host_cluster"),
    ("VMs of a zone", walks.vms(Filter(zone="zone")), "vm_pkey"),
    ("VMs of a size", walks.vms(Filter(offering="small")), "vm_pkey"),
    ("VMs with a tag", walks.vms(Filter(tag=("a", "b"))), "vm_pkey"),
    ("VMs that live", walks.vms(Filter(living=True)), "vm_pkey"),
    ("an account's VMs in a state", walks.vms(Filter(account="tenant-1", state="Error")), "vm_account"),
    ("a host's VMs in a state", walks.vms(Filter(host="host-1-3", state="Running")), "vm_host"),
    ("disks", walks.disks(DiskFilter()), "volume_pkey"),
    ("disks of a VM", walks.disks(DiskFilter(vm=VM)), "volume_vm"),
    ("disks of no VM", walks.disks(DiskFilter(free=True)), "volume_vm"),
    ("disks in a pool", walks.disks(DiskFilter(pool="nfs-1")), "volume_pool"),
    ("disks of an account", walks.disks(DiskFilter(account="tenant-1")), "volume_account"),
    ("an account's disks in a state", walks.disks(DiskFilter(account="tenant-1", state="Ready")), "volume_account"),
    ("disks whose names begin so", walks.disks(DiskFilter(prefix="ROOT-old-00012")), "volume_name"),
    ("operations", walks.operations(OperationFilter()), "operation_pkey"),
    ("operations of a VM", walks.operations(OperationFilter(vm=VM)), "operation_vm"),
    ("operations on a disk", walks.operations(OperationFilter(disk=VOLUME)), "operation_volume"),
    ("operations that failed", walks.operations(OperationFilter(state="Failed")), "operation_unhappy"),
    ("operations under way", walks.operations(OperationFilter(state="Running")), "operation_driven"),
    ("operations that succeeded", walks.operations(OperationFilter(state="Succeeded")), "operation_pkey"),
    ("hosts", walks.places("host", {}), "host_pkey"),
    ("hosts of a cluster", walks.places("host", {"cluster_id": "cluster-1"}), "host_cluster"),
]
MEMBERS: list[tuple[str, Walk, str]] = [
    ("VMs on a network", walks.vms(Filter(network="net-0")), "nic_network"),
    ("VMs in a security group", walks.vms(Filter(group="a/b")), "security_member_pkey"),
    ("VMs in an affinity group", walks.vms(Filter(affinity="a")), "affinity_member_pkey"),
]
COUNTS = [
    ("a total", tallies.counted(None, None), "vm_tally_pkey vm_state"),
    ("of an account", tallies.counted("account", "tenant-1"), "vm_tally_pkey vm_state"),
    ("of a host", tallies.counted("host", "host-1-3"), "vm_host"),
    ("disks", tallies.disks(None), "domain_pkey"),
]
READS = [
    ("a VM", queries.entity("vm", VM), "vm_pkey"),
    ("a VM by name", queries.vms_named("old-0001234"), "vm_pkey vm_name"),
    ("a disk by name", queries.disks_named("ROOT-old-0001234"), "volume_pkey volume_name"),
    ("VMs by id", queries.vms_of([VM]), "vm_pkey"),
    ("its NICs", queries.living("nic", [VM]), "nic_vm"),
    ("its volumes", queries.living("volume", [VM]), "volume_vm"),
    ("the NICs of a page", queries.nics_of([VM]), "nic_vm"),
    ("all its operations", queries.belonging("operation", VM), "operation_vm"),
    ("who owns it", queries.active_on("vm_id", [VM]), "operation_active_once"),
    ("who owns a disk", queries.active_on("volume_id", [VOLUME]), "operation_volume_once|operation_active_once"),
    ("what is under way", queries.driven(), "operation_driven"),
    ("what is stuck", queries.stuck(), "operation_unhappy|operation_active_once"),
    ("what nobody drives", queries.unowned(), "vm_state"),
    ("what is to be expunged", queries.destroyed((), ("a",), 100), "vm_over"),
    ("what is to be expunged of some", queries.destroyed(("tenant-1",), (), 100), "vm_over"),
    ("what ended first", archive.oldest_ended(), "vm_over"),
    ("VMs to archive", archive._ended_vms(1), "vm_over"),
    ("disks to archive", archive._ended_disks(1), "volume_over"),
    ("operations to archive", archive._ended_operations(1), "operation_over"),
    ("addresses of a network", queries.addresses_of("net-0"), "nic_ip_once|nic_network|nic_name_once|nic_ip6_once"),
    ("the journal's end", queries.journal_head(), "journal_pkey"),
    ("a page of the journal", queries.journal_after(100, 10), "journal_pkey"),
    ("the history of a VM", queries.journal_of(VM), "journal_vm"),
    ("the history of entities", queries.journal_about([NIC]), "journal_entity_version"),
    ("VMs on some hosts", queries.vms_holding(["host-1-3"]), "vm_host"),
]
BIG = ("vm", "nic", "volume", "operation", "journal")


def each(*known: list[Any]) -> pytest.MarkDecorator:
    """The cases, by their names."""
    cases = [case for some in known for case in some]
    return pytest.mark.parametrize("what,index", [pytest.param(*case[1:], id=case[0]) for case in cases])


async def plan(store: Store, query: Select[Any], *, in_order: bool = False) -> str:
    """How the database means to answer it, one step a line; parameters are bound, as the engine does."""
    compiled = query.compile(dialect=store.engine.dialect, compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, SQLCompiler)
    values = tuple(compiled.params[name] for name in compiled.positiontup or ())
    explain = "EXPLAIN QUERY PLAN" if store.dialect == "sqlite" else "EXPLAIN"
    async with store.engine.connect() as connection:
        if store.dialect == "postgresql":  # a few thousand rows are soon walked, a million are not
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            # Of a few dozen rows it sorts a bitmap as gladly.
            await connection.exec_driver_sql(f"SET LOCAL enable_bitmapscan = {'off' if in_order else 'on'}")
        rows = (await connection.exec_driver_sql(f"{explain} {compiled}", values)).all()
    return "\n".join(str(row[-1]) for row in rows)


def indexes(said: str) -> set[str]:
    """The indexes that a plan names. SQLite calls that of a key by another name."""
    said = said.replace("sqlite_autoindex_journal_1", "journal_entity_version")
    said = re.sub(r"sqlite_autoindex_(\w+?)_1\b", r"\1_pkey", said)
    said = re.sub(r"(SEARCH|SCAN) vm_tally USING PRIMARY KEY", "USING INDEX vm_tally_pkey", said)
    said = re.sub(r"SEARCH journal( USING INTEGER PRIMARY KEY|$)", "USING INDEX journal_pkey", said)
    return set(re.findall(r"(?:INDEX|Index (?:Only )?Scan(?: Backward)? (?:using|on)) (\w+)", said))


def walked(said: str) -> list[str]:
    """The big tables that are read from one end to the other without a way in."""
    whole = re.findall(r"Seq Scan on (\w+)", said) + re.findall(r"SCAN (\w+)$", said, re.MULTILINE)
    return [name for name in whole if name in BIG]


def sorts(said: str) -> bool:
    """Whether rows are put in order after they were found."""
    return "TEMP B-TREE FOR ORDER BY" in said or "Sort" in said


SORTED = ("vm_host", "host_cluster", "operation_volume", "vm_name")
"""Ways whose rows are few, and sorted."""


async def assert_by(store: Store, query: Select[Any], index: str, *, ordered: bool) -> None:
    """That the plan takes this index (one of several with |; all of several with blanks), and walks no table."""
    said = await plan(store, query, in_order=ordered)
    for one in index.split():
        assert indexes(said) & set(one.split("|")), said
    assert not walked(said), said
    if ordered and index not in SORTED:
        assert not sorts(said), said


@each(LISTS)
async def test_a_page_is_found_by_an_index_in_its_order(store: Store, what: Walk, index: str) -> None:
    begin = (VM,) if len(what.key) == 1 else ("old-0000234", VM)
    begin = ("host-1-3",) if what.table.name == "host" else begin
    end = (filled._id(2234, 0),) if len(what.key) == 1 else ("old-0002234", VM)
    if what.rest:  # as many rows as are looked at; without an edge there are fewer left
        await assert_by(store, lists.edge(what, begin), index, ordered=False)
        spans: list[tuple[Key | None, Key | None]] = [(end, begin) if what.backwards else (begin, end)]
    else:
        spans = [(None, None), (begin, None)]
    for after, until in spans:
        await assert_by(store, lists.page(what, after, until, 101), index, ordered=not what.rest)


@each(MEMBERS)
async def test_who_is_named_elsewhere_is_found_by_an_index(store: Store, what: Walk, index: str) -> None:
    for after in (None, (VM,)):
        said = await plan(store, lists.named(what, after, 101))
        assert index in indexes(said) or (store.dialect == "postgresql" and "member" in index), said
    await assert_by(store, lists.among(what, [VM, filled._id(7, 0)], 101), "vm_pkey", ordered=False)


@each(COUNTS, READS)
async def test_a_count_or_a_read_is_found_by_an_index(store: Store, what: Select[Any], index: str) -> None:
    await assert_by(store, what, index, ordered=False)


async def test_what_an_engine_reads_at_opening_of_vms_it_reads_from_an_index_alone(full: str) -> None:
    store = await Store.open(full)
    said = await plan(store, queries.vms_on_hosts())
    await store.close()
    assert said.count("COVERING INDEX vm_host") == 1 and said.count("COVERING INDEX vm_target") == 1, said


# What is run


class Instructions:
    """Counts what SQLite runs on all connections of the engine, in hundreds of instructions of its machine."""

    def __init__(self) -> None:
        self.count = 0

    def one(self) -> int:
        """Another hundred."""
        self.count += 1
        return 0


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instructions]:
    """Counts on every connection that is made from now on."""
    counted, prepare = Instructions(), sqlite._prepare

    def counting(database: sqlite3.Connection) -> None:
        prepare(database)
        database.set_progress_handler(counted.one, 100)

    monkeypatch.setattr(sqlite, "_prepare", counting)
    yield counted


@asynccontextmanager
async def opened(folder: Path, vms: int) -> AsyncIterator[Engine]:
    """An engine on a database with so many VMs, which has deployed before."""
    await filled.fill(str(folder / f"{vms}.db"), vms, spare_hosts=2)
    simulator = await Simulator.at(folder / f"{vms}.simulator")
    async with Engine.open(str(folder / f"{vms}.db"), drivers={"simulator": simulator}, listen=False) as engine:
        await deploy(engine, "first")
        yield engine
    await simulator.close()


async def deploy(engine: Engine, name: str) -> None:
    """One VM, until it runs."""
    await (await engine.deploy(DeployVM(name=name, offering="small", template="debian"))).wait()


async def deploys(engine: Engine) -> object:
    for number in range(10):
        await deploy(engine, f"vm-{number}")
    return None


MEASURED: dict[str, Callable[[Engine], Awaitable[object]]] = {
    "ten deploys": deploys,
    "the first page": lambda engine: engine.vms(),
    "a page in the middle of an account": lambda engine: engine.vms(account="tenant-0", after=filled._id(50, 0)),
    "a page in the middle": lambda engine: engine.vms(after=filled._id(60, 0)),
    "the youngest": lambda engine: engine.vms(order="youngest"),
    "those in a state": lambda engine: engine.vms(state="Stopped", limit=8),
    "those of a host": lambda engine: engine.vms(host="host-0-1"),
    "those on a network": lambda engine: engine.vms(network="net-0", limit=50),
    "by the beginning of names": lambda engine: engine.vms(prefix="old-00000"),
    "disks": lambda engine: engine.disks(pool="nfs-0"),
    "operations that failed": lambda engine: engine.all_operations(state="Failed"),
    "the counts": lambda engine: engine.counts(),
    "the counts of an account": lambda engine: engine.counts(account="tenant-0"),
    "one VM by its name": lambda engine: engine.vm("old-0000042"),
}


async def test_a_deploy_and_a_page_run_as_many_instructions_with_many_vms_as_with_few(
    tmp_path: Path, instructions: Instructions
) -> None:
    taken: dict[str, list[int]] = {name: [] for name in MEASURED}
    for vms in (FEW, MANY):
        async with opened(tmp_path, vms) as engine:
            for name, work in MEASURED.items():
                before = instructions.count
                await work(engine)
                taken[name].append(instructions.count - before)
    assert taken["ten deploys"][0] > 100, "the handler was not called"
    grown = {name: counts for name, counts in taken.items() if counts[1] > counts[0] * 1.15 + 3}
    assert grown == {}


async def test_postgresql_walks_no_big_table_for_deploys_and_lists(full_server: str, tmp_path: Path) -> None:
    async def walks_so_far() -> dict[str, int]:
        async with bare(full_server) as database:
            rows = await database.rows("SELECT relname, seq_scan FROM pg_stat_user_tables")
        return {name: count for name, count in rows if name in BIG}

    before = await walks_so_far()
    simulator = await Simulator.at(tmp_path / "world")
    async with Engine.open(full_server, drivers={"simulator": simulator}, listen=False) as engine:
        # What it reads at opening it may read so.
        await deploy(engine, "first")
    await simulator.close()
    assert set(before) == set(BIG)
    after = await walks_so_far()
    assert {name: after[name] - before[name] for name in BIG if name != "vm"} == dict.fromkeys(BIG[1:], 0)


def test_the_table_of_lists_names_every_filter() -> None:
    asked = {
        name
        for filters in (Filter, DiskFilter, OperationFilter)
        for name in (f"{filters.__name__}.{field}" for field in filters.__struct_fields__)
    }
    with closing(sqlite3.connect(":memory:")):
        source = Path(__file__).read_text()
    told = {
        f"{kind}.{name}"
        for kind, inside in re.findall(r"\b(Filter|DiskFilter|OperationFilter)\(([^()]*(?:\([^()]*\))?)", source)
        for name in re.findall(r"(\w+)=", inside)
    }
    assert asked - told == {"DiskFilter.living", "DiskFilter.zone", "OperationFilter.kind"}, "asked of each row alone"
