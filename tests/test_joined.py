"""Bring your own transaction: an embedder's rows and a request's rows are one, in the database and after it.

The embedder here has a table of its own, `invoice`, in the same database, and writes to it on the connection that it
also hands to the engine. What commits together runs by itself; what is rolled back was never there, and owns nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from interlock import InvalidRequest
from interlock.engine.orchestrator import elsewhere
from interlock.engine.store.opening import normal
from interlock.schema.errors import Busy, NameTaken, NotFound, StoreError
from interlock.schema.requests import NicRequest, StopVM
from tests.bare import bare, value
from tests.clerk import a_vm
from tests.ledger import assert_sound
from tests.world import World, world

PATIENCE = 5
"""Seconds; half of what SQLite would wait for a lock, so that two that wait for each other are found out."""


class Embedder:
    """Somebody with rows of their own beside ours."""

    def __init__(self, lab: World, url: str, own: AsyncEngine) -> None:
        self.lab, self.engine, self.url, self.own = lab, lab.engine, url, own

    async def write(self, connection: AsyncConnection, name: str = "mine") -> None:
        """Write a row of their own."""
        await connection.execute(text("INSERT INTO invoice (name) VALUES (:name)"), {"name": name})

    async def invoices(self) -> list[str]:
        """Their rows, as somebody else sees them."""
        async with bare(self.url) as database:
            return sorted(row[0] for row in await database.rows("SELECT name FROM invoice"))

    async def vms(self) -> dict[str, str]:
        """All VMs, as somebody else sees them."""
        async with bare(self.url) as database:
            return dict(await database.rows("SELECT name, state FROM vm"))

    async def runs(self, name: str = "web") -> None:
        """A VM comes to run without further asking."""
        async with asyncio.timeout(PATIENCE):
            while (await self.vms()).get(name) != "Running":
                await asyncio.sleep(0.01)

    async def free(self, address: str) -> None:
        """An address can be had."""
        await self.lab.deploy(f"after-{address.rpartition('.')[2]}", nics=(NicRequest("net", address),))
        await self.runs(f"after-{address.rpartition('.')[2]}")


@pytest.fixture
async def embedder(cloud_url: str, tmp_path: Path) -> AsyncIterator[Embedder]:
    """An embedder with an engine, and an SQLAlchemy engine of their own on the same database."""
    async with bare(cloud_url) as database:
        await database.run("CREATE TABLE invoice (name TEXT PRIMARY KEY)")
    own = create_async_engine(normal(cloud_url))
    try:
        async with asyncio.timeout(30), world(tmp_path, url=cloud_url) as lab:
            yield Embedder(lab, cloud_url, own)
    finally:
        await own.dispose()
    async with bare(cloud_url) as database:
        await assert_sound(database)


@pytest.fixture(params=["own", "ours"])
def which(request: pytest.FixtureRequest) -> str:
    """Whose SQLAlchemy engine the connection is of."""
    return str(request.param)


@asynccontextmanager
async def transaction(embedder: Embedder, which: str) -> AsyncIterator[AsyncConnection]:
    """A transaction on the embedder's engine, or by `engine.transaction()`."""
    async with embedder.own.begin() if which == "own" else embedder.engine.transaction() as connection:
        yield connection


async def test_what_commits_together_is_there_together_and_the_vm_runs_by_itself(
    embedder: Embedder, which: str
) -> None:
    async with transaction(embedder, which) as connection:
        await embedder.write(connection)
        handle = await embedder.engine.deploy(a_vm("web"), connection=connection)
        assert await embedder.vms() == {}
        assert await embedder.invoices() == []
    assert await embedder.invoices() == ["mine"]
    await embedder.runs()
    assert (await handle.wait()).state == "Succeeded"
    await embedder.lab.assert_sound()


async def test_our_rows_may_come_first(embedder: Embedder, which: str) -> None:
    async with transaction(embedder, which) as connection:
        await embedder.engine.deploy(a_vm("web"), connection=connection)
        await embedder.write(connection)
    assert await embedder.invoices() == ["mine"]
    await embedder.runs()


async def test_a_rollback_leaves_neither_and_frees_the_address(embedder: Embedder, which: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction(embedder, which) as connection:
            await embedder.write(connection)
            await embedder.engine.deploy(a_vm("web", nics=(NicRequest("net", "10.0.0.77"),)), connection=connection)
            raise ZeroDivisionError
    assert (await embedder.vms(), await embedder.invoices()) == ({}, [])
    await embedder.free("10.0.0.77")
    assert (await embedder.lab.deploy("web")).state == "Succeeded"


async def test_closing_the_connection_without_a_commit_is_a_rollback(embedder: Embedder) -> None:
    async with embedder.own.connect() as connection:
        await embedder.write(connection)
        await embedder.engine.deploy(a_vm("web", nics=(NicRequest("net", "10.0.0.77"),)), connection=connection)
    assert (await embedder.vms(), await embedder.invoices()) == ({}, [])
    await embedder.free("10.0.0.77")


async def test_a_savepoint_rolled_back_takes_the_request_with_it_and_nothing_else(
    embedder: Embedder, which: str
) -> None:
    async with transaction(embedder, which) as connection:
        await embedder.write(connection, "outer")
        savepoint = await connection.begin_nested()
        await embedder.write(connection, "inner")
        await embedder.engine.deploy(a_vm("web", nics=(NicRequest("net", "10.0.0.77"),)), connection=connection)
        await savepoint.rollback()
        await embedder.engine.deploy(a_vm("two"), connection=connection)
    assert await embedder.invoices() == ["outer"]
    await embedder.runs("two")
    assert set(await embedder.vms()) == {"two"}
    await embedder.free("10.0.0.77")
    assert (await embedder.lab.deploy("web")).state == "Succeeded"


async def test_a_savepoint_that_is_kept_keeps_the_request(embedder: Embedder) -> None:
    async with embedder.own.begin() as connection, connection.begin_nested():
        await embedder.write(connection)
        await embedder.engine.deploy(a_vm("web"), connection=connection)
    assert await embedder.invoices() == ["mine"]
    await embedder.runs()


REFUSED = {
    "there is no such offering": (a_vm("new").__class__(name="new", offering="huge", template="t"), NotFound),
    "the name is taken": (a_vm("old"), NameTaken),
    "the address is outside": (a_vm("new", nics=(NicRequest("net", "192.168.0.1"),)), InvalidRequest),
    "the address is taken": (a_vm("new", nics=(NicRequest("net", "10.0.0.2"),)), InvalidRequest),
}


@pytest.mark.parametrize("why", REFUSED)
async def test_a_refused_request_leaves_the_transaction_as_it_was(embedder: Embedder, why: str) -> None:
    request, error = REFUSED[why]
    await embedder.lab.deploy("old")
    async with embedder.own.begin() as connection:
        await embedder.write(connection)
        with pytest.raises(error):
            await embedder.engine.deploy(request, connection=connection)
        await embedder.engine.deploy(a_vm("good"), connection=connection)
    assert await embedder.invoices() == ["mine"]
    await embedder.runs("good")
    assert set(await embedder.vms()) == {"old", "good"}


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_what_the_database_cannot_hold_leaves_the_transaction_as_it_was(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL's texts have no zero byte; SQLite's have. The engine cleans what it is told; suppose it forgot."""
    monkeypatch.setattr("interlock.embed.engine.clean", str)
    async with embedder.own.begin() as connection:
        await embedder.write(connection)
        with pytest.raises(StoreError, match="refused"):
            await embedder.engine.deploy(a_vm("new"), connection=connection, actor="me\0")
        await embedder.engine.deploy(a_vm("good"), connection=connection)
    assert await embedder.invoices() == ["mine"]
    await embedder.runs("good")


async def test_an_address_that_others_took_is_not_given_again(embedder: Embedder, tmp_path: Path) -> None:
    """Another engine has taken the address that this one believes free."""
    await embedder.lab.deploy("first")
    async with world(tmp_path, url=embedder.url) as other:
        await other.deploy("second")
    async with embedder.own.begin() as connection:
        await embedder.write(connection)
        await embedder.engine.deploy(a_vm("third"), connection=connection)
    assert await embedder.invoices() == ["mine"]
    await embedder.runs("third")


async def test_an_address_that_others_gave_back_can_be_had(embedder: Embedder, tmp_path: Path) -> None:
    mine = a_vm("mine", nics=(NicRequest("net", "10.0.0.77"),))
    await embedder.lab.deploy("first", nics=(NicRequest("net", "10.0.0.77"),))
    async with world(tmp_path, url=embedder.url) as other:
        for kind in ("destroy", "expunge"):
            await other.run(kind, "first")
    async with embedder.own.begin() as connection:
        await embedder.engine.deploy(mine, connection=connection)
    await embedder.runs("mine")


async def test_several_requests_in_one_transaction_beside_others_that_wait_for_it(embedder: Embedder) -> None:
    """The others wait for the lock; what this transaction needs meanwhile must not wait for them."""
    async with asyncio.timeout(PATIENCE), embedder.own.begin() as connection:
        await embedder.write(connection)
        await embedder.engine.deploy(a_vm("web"), connection=connection)
        beside = asyncio.create_task(embedder.engine.deploy(a_vm("beside")))
        await asyncio.sleep(0.1)
        assert not beside.done()
        await embedder.engine.deploy(a_vm("two", nics=(NicRequest("other"),)), connection=connection)
    await embedder.runs("web")
    await embedder.runs("two")
    await (await beside).wait()


async def test_many_transactions_at_once_beside_ordinary_requests(embedder: Embedder) -> None:
    async def joined(number: int) -> None:
        async with embedder.own.begin() as connection:
            await embedder.engine.deploy(a_vm(f"vm-{number}", start=False), connection=connection)
            await embedder.write(connection, f"{number}")

    ordinary = (embedder.engine.deploy(a_vm(f"plain-{number}", start=False)) for number in range(5))
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*map(joined, range(5)), *ordinary)
    assert len(await embedder.invoices()) == 5
    assert len(await embedder.vms()) == 10


async def test_any_request_may_join(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "LOOK_ANYHOW", 3600.0)  # who waits is woken when it begins here
    await embedder.lab.deploy("web")
    vm = await embedder.lab.vm("web")
    async with embedder.own.begin() as connection:
        await embedder.write(connection)
        handle = await embedder.engine.submit(StopVM(vm.id), connection=connection)
        with pytest.raises(Busy):
            await embedder.engine.submit(StopVM(vm.id), connection=connection)
    assert (await asyncio.wait_for(handle.wait(), 20)).state == "Succeeded"
    assert await embedder.vms() == {"web": "Stopped"}
    assert await embedder.invoices() == ["mine"]


async def test_a_connection_in_no_transaction_is_refused(embedder: Embedder) -> None:
    async with embedder.own.connect() as connection:
        with pytest.raises(InvalidRequest, match="no transaction"):
            await embedder.engine.deploy(a_vm("web"), connection=connection)
    assert await embedder.vms() == {}


async def test_what_commits_while_the_engine_closes_runs_when_it_is_opened_again(
    cloud_url: str, tmp_path: Path
) -> None:
    own = create_async_engine(normal(cloud_url))
    try:
        async with own.connect() as connection:
            async with world(tmp_path, url=cloud_url) as lab:
                begun = await connection.begin()
                await lab.engine.deploy(a_vm("web"), connection=connection)
            await begun.commit()
    finally:
        await own.dispose()
    async with world(tmp_path, url=cloud_url) as lab:
        await lab.engine.idle()
        assert (await lab.vm()).state == "Running"
        await lab.assert_sound()


async def test_idle_waits_for_what_has_just_been_committed(embedder: Embedder) -> None:
    async with embedder.own.begin() as connection:
        await embedder.engine.deploy(a_vm("web"), connection=connection)
    await embedder.engine.idle()
    assert await embedder.vms() == {"web": "Running"}


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_a_transaction_that_isolates_more_is_written_or_refused_but_never_wrong(embedder: Embedder) -> None:
    stricter = embedder.own.execution_options(isolation_level="REPEATABLE READ")
    async with stricter.begin() as connection:
        await embedder.write(connection)
        await embedder.lab.deploy("meanwhile")
        with pytest.raises(StoreError):
            await embedder.engine.deploy(a_vm("web"), connection=connection)
    assert await embedder.invoices() == ["mine"]


async def test_a_commit_is_told_to_those_who_subscribe(embedder: Embedder) -> None:
    seen = []

    async def listen() -> None:
        async for transition in embedder.engine.subscribe(after=0):
            seen.append(transition)
            if transition.machine == "vm" and transition.destination == "Running":
                return

    listening = asyncio.create_task(listen())
    async with embedder.own.begin() as connection:
        await embedder.engine.deploy(a_vm("web"), connection=connection)
    async with asyncio.timeout(PATIENCE):
        await listening
    assert [transition.seq for transition in seen] == list(range(1, len(seen) + 1))
    async with bare(embedder.url) as database:
        assert await value(database, "SELECT count(*) FROM journal") >= len(seen)


CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'
"""


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_a_transaction_that_is_cut_off_says_so_and_leaves_nothing(embedder: Embedder) -> None:
    with pytest.raises(StoreError, match="cannot be begun or ended"):
        async with embedder.engine.transaction() as connection:
            await embedder.engine.deploy(a_vm("web"), connection=connection)
            await embedder.write(connection)
            await _cut(embedder)
    assert (await embedder.invoices(), await embedder.vms()) == ([], {})


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_what_is_raised_in_a_transaction_that_was_cut_off_comes_out_as_it_is(embedder: Embedder) -> None:
    with pytest.raises(LookupError, match="their own"):
        async with embedder.engine.transaction() as connection:
            await embedder.write(connection)
            await _cut(embedder)
            raise LookupError("their own")
    assert await embedder.invoices() == []


async def _cut(embedder: Embedder) -> None:
    async with bare(embedder.url) as other:
        assert len(await other.rows(CUT)) == 1
    await asyncio.sleep(0.1)
