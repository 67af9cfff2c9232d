"""When the database cannot: nothing is half written, the error says what to do, and it goes on when it can again.

Locked, read-only, full, missing, not a database, stopped, restarted, cut off in the middle.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import make_url

from interlock.engine.store import queries
from interlock.engine.store.joined import transaction
from interlock.engine.store.store import Store
from interlock.engine.store.verdict import Committed
from interlock.schema.errors import StoreError
from interlock.schema.requests import NicRequest
from interlock.schema.tables import metadata
from tests.bare import bare, sqlite_url, value
from tests.clerk import Clerk, a_vm, clerk, tiny
from tests.conftest import Copy
from tests.ledger import assert_sound
from tests.postgres import Server

on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


async def fails(desk: Clerk, *words: str) -> None:
    """A commit fails as the store's errors do, and leaves nothing."""
    decisions = [await desk.ask(a_vm(name, data_disks_mib=(1,) * 20)) for name in ("lost", "gone")]
    failed = await asyncio.gather(*map(desk.store.commit, decisions), return_exceptions=True)
    for error in failed:
        assert isinstance(error, StoreError)
        assert all(word in str(error) for word in words), error


async def works(desk: Clerk, name: str = "web", address: int = 10) -> None:
    """A commit is written."""
    await asyncio.sleep(0.001 * address)
    wish = NicRequest("net", f"10.0.0.{address}")
    assert isinstance(await desk.write(await desk.ask(a_vm(name, nics=(wish,)))), Committed)


async def contents(url: str) -> dict[str, set[Any]]:
    """All rows there are."""
    async with bare(url) as database:
        return {name: set(await database.rows(f'SELECT * FROM "{name}"')) for name in metadata.tables}


# SQLite: locked


@on_sqlite
async def test_a_database_locked_by_others_is_an_error_and_works_when_they_are_done(
    cloud_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.engine.store.opening.BUSY_SECONDS", 0.05)
    async with clerk(cloud_url) as desk, bare(cloud_url) as other:
        await other.run("BEGIN IMMEDIATE")
        before = await contents(cloud_url)
        await fails(desk, "locked", "another process")
        assert await contents(cloud_url) == before
        with pytest.raises(StoreError, match="locked"):
            await desk.store.put({"account": [{"id": "new"}]})
        with pytest.raises(StoreError, match="locked"):
            await desk.store.locked_read(queries.journal_head())
        assert await desk.store.rows(queries.all_of("host"))
        await other.run("ROLLBACK")
        await works(desk)


@on_sqlite
async def test_a_lock_that_is_given_back_in_time_is_waited_for(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk, bare(cloud_url) as other:
        await other.run("BEGIN IMMEDIATE")
        writing = asyncio.create_task(works(desk))
        await asyncio.sleep(0.1)
        assert not writing.done()
        await other.run("COMMIT")
        await writing


# SQLite: not to be written


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Be somebody who may not write everything, but owns this folder."""
    if os.geteuid() != 0:
        yield
        return
    nobody = pwd.getpwnam("nobody").pw_uid
    for path in (folder, *folder.iterdir()):
        os.chown(path, nobody, -1)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that anybody reaches, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


async def test_a_file_that_may_not_be_written_is_an_error(public: Path) -> None:
    url = sqlite_url(public / "interlock.db")
    store = await Store.open(url)
    await store.put(tiny().rows())
    await store.close()
    # Everything is imported now: nobody may not even be allowed to read our code.
    async with clerk(url) as desk:
        await works(desk, "first")
    (public / "interlock.db").chmod(0o444)
    with as_nobody(public):
        async with clerk(url) as desk:
            await fails(desk, "readonly", "right to write")
    for path in public.iterdir():
        path.chmod(0o644)
    async with clerk(url) as desk:
        await works(desk, "second", 11)


async def test_a_folder_that_may_not_be_written_is_an_error(public: Path) -> None:
    public.chmod(0o555)
    with as_nobody(public), pytest.raises(StoreError, match=r"cannot open .*interlock\.db"):
        await Store.open(str(public / "interlock.db"))
    public.chmod(0o755)


async def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"the folder .*nowhere is not there"):
        await Store.open(str(tmp_path / "nowhere" / "interlock.db"))
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_not_to_be_made_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="interlock init"):
        await Store.open(str(tmp_path / "interlock.db"), create=False)
    assert list(tmp_path.iterdir()) == []


async def test_a_file_of_something_else_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam,\n" * 100)
    with pytest.raises(StoreError, match="not a database"):
        await Store.open(str(path))
    assert path.read_text() == "Dear Sir or Madam,\n" * 100


async def test_a_database_of_somebody_else_is_not_taken_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE things (id INTEGER)")
    other.close()
    with pytest.raises(StoreError, match="no Interlock database"):
        await Store.open(str(path), create=False)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/x", "SQLite and PostgreSQL"),
        ("sqlite://", "in-memory"),
        ("sqlite:///:memory:", "in-memory"),
        ("://", "not a database URL"),
    ],
)
async def test_what_is_no_database_of_ours_is_an_error(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        await Store.open(url)


@pytest.mark.parametrize("what", ["nowhere/interlock.db", "letter.txt"])
async def test_an_opening_that_fails_leaves_no_thread(tmp_path: Path, what: str) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam,\n" * 100)
    before = set(threading.enumerate())
    with pytest.raises(StoreError):
        await Store.open(str(tmp_path / what))
    assert set(threading.enumerate()) <= before


# SQLite: full


@on_sqlite
async def test_a_full_database_is_an_error_and_goes_on_when_there_is_room(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk:
        await works(desk, "first")
        pages = await _pragma(desk, "page_count")
        most = await _pragma(desk, "max_page_count")
        await _pragma(desk, f"max_page_count = {pages}")
        before = await contents(cloud_url)
        await fails(desk, "full", "make room")
        assert await contents(cloud_url) == before
        await _pragma(desk, f"max_page_count = {most}")
        await works(desk, "second", 11)
    async with bare(cloud_url) as database:
        await assert_sound(database)
        assert await value(database, "SELECT count(*) FROM vm") == 2


async def _pragma(desk: Clerk, words: str) -> int:
    """Ask or tell the writing connection."""
    [[found]] = await desk.store._writer.between(lambda database: database.read(f"PRAGMA {words}"))
    return int(found)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_an_error_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    url = sqlite_url(small_disk / "interlock.db")
    store = await Store.open(url)
    await store.put(tiny().rows())
    await store.close()
    async with clerk(url) as desk:
        await works(desk, "first")
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        before = await contents(url)
        await fails(desk, "full", "make room")
        assert await contents(url) == before
        filler.unlink()
        await works(desk, "second", 11)
    async with bare(url) as database:
        await assert_sound(database)
        assert await value(database, "SELECT count(*) FROM vm") == 2


# PostgreSQL: stopped, restarted, cut off


async def test_a_server_that_does_not_listen_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open"):
        await Store.open(f"postgresql://postgres@/interlock?host={tmp_path}")


async def test_a_database_that_the_server_does_not_have_is_an_error(server: Server) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        await Store.open(server.url("no_such_database"))


@on_postgresql
async def test_a_stopped_server_is_an_error_and_the_next_commit_after_its_restart_works(
    copy: Copy, server: Server
) -> None:
    async with copy("cloud") as url:
        async with clerk(url) as desk:
            await works(desk, "first")
            await asyncio.gather(*(desk.store.rows(queries.all_of("host")) for _ in range(4)))
            before = await contents(url)
            server.stop()
            try:
                await fails(desk, "PostgreSQL")
                with pytest.raises(StoreError):
                    await desk.store.rows(queries.all_of("host"))
                with pytest.raises(StoreError):
                    await desk.store.put({"account": [{"id": "new"}]})
            finally:
                server.start()
            assert await contents(url) == before
            await works(desk, "second", 11)
            assert len(await desk.store.rows(queries.all_of("host"))) == 2
        async with bare(url) as database:
            await assert_sound(database)


@on_postgresql
async def test_connections_that_were_cut_are_replaced(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk, bare(cloud_url) as other:
        await works(desk, "first")
        await asyncio.gather(*(desk.store.rows(queries.all_of("host")) for _ in range(4)))
        await other.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await asyncio.sleep(0.1)
        await works(desk, "second", 11)
        assert len(await desk.store.rows(queries.all_of("host"))) == 2


@on_postgresql
async def test_a_process_that_is_paused_in_the_middle_of_a_batch_does_not_stop_the_others(
    cloud_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the journal's lock, and its connection lives: only the server can tell that it stands still."""
    monkeypatch.setattr("interlock.engine.store.postgresql.IDLE_SECONDS", 0.3)
    async with clerk(cloud_url) as paused, clerk(cloud_url) as other:

        async def stands_still(driver: Any, ask: Any, end: str) -> Any:
            await asyncio.sleep(1.5)
            return await run(driver, ask, end)

        database = paused.store._writer.database
        run = database._run  # type: ignore[attr-defined]
        monkeypatch.setattr(database, "_run", stands_still)
        lost = asyncio.create_task(fails(paused, "PostgreSQL cannot do this now"))
        await asyncio.sleep(0.2)
        await asyncio.wait_for(works(other), 1.0)
        await lost
        monkeypatch.setattr(database, "_run", run)
        await works(paused, "two", 11)
        async with bare(cloud_url) as bare_hand:
            await assert_sound(bare_hand)


HALF = """
import asyncio, os, signal, sys
import asyncpg
from interlock.engine.store.postgresql import TAKE_LOCK

def rows():
    yield (1,)
    os.kill(os.getpid(), signal.SIGSTOP)
    yield (2,)

async def main():
    connection = await asyncpg.connect(host=sys.argv[1], user="postgres", database=sys.argv[2])
    async with connection.transaction():
        await connection.execute(TAKE_LOCK)
        await connection.executemany("INSERT INTO half (n) VALUES ($1)", rows())

asyncio.run(main())
"""


async def _reads(desk: Clerk) -> None:
    await desk.store.locked_read(queries.journal_head())


async def _puts(desk: Clerk) -> None:
    await desk.store.put_after(lambda places: {})


async def _joins(desk: Clerk) -> None:
    async with transaction(desk.store.engine):
        pass


@on_postgresql
@pytest.mark.parametrize("goes_on", [works, _reads, _puts, _joins], ids=["commit", "read", "put", "join"])
async def test_a_process_that_is_paused_in_the_middle_of_a_message_does_not_stop_the_others(
    cloud_url: str, monkeypatch: pytest.MonkeyPatch, goes_on: Callable[[Clerk], Awaitable[None]]
) -> None:
    """Its session is not idle for the server, which has been told half of what it is to do."""
    monkeypatch.setattr("interlock.engine.store.postgresql.IDLE_SECONDS", 1.5)
    address = make_url(cloud_url)
    async with clerk(cloud_url) as desk, bare(cloud_url) as other:
        await other.run("CREATE TABLE half (n BIGINT)")
        command = [sys.executable, "-c", HALF, str(address.query["host"]), str(address.database)]
        with subprocess.Popen(command, cwd=Path(__file__).parent.parent) as paused:
            try:
                while os.waitpid(paused.pid, os.WUNTRACED | os.WNOHANG) == (0, 0):  # noqa: ASYNC222 - it does not wait
                    await asyncio.sleep(0.05)
                await asyncio.wait_for(goes_on(desk), 20)
            finally:
                paused.kill()
        assert await other.rows("SELECT * FROM half") == []
        await assert_sound(other)


@on_postgresql
async def test_a_server_that_goes_away_while_a_connection_is_made_is_an_error(
    cloud_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first statement of a connection, which is ours, may be the one that is cut off."""
    async with clerk(cloud_url) as desk:
        monkeypatch.setattr("interlock.engine.store.postgresql.IDLE_SECONDS", -1)  # refused, as any error would be
        with pytest.raises(StoreError, match="cannot be read now"):
            await asyncio.gather(*(desk.store.rows(queries.all_of("host")) for _ in range(4)))


@on_postgresql
async def test_a_database_that_isolates_more_is_written_all_the_same(cloud_url: str) -> None:
    """The head of the journal must be read as it is after waiting for the lock, not as it was before."""
    async with bare(cloud_url) as database:
        name = await value(database, "SELECT current_database()")
        await database.run(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    async with clerk(cloud_url) as one, clerk(cloud_url) as other:
        await asyncio.gather(*(works((one, other)[n % 2], f"vm-{n}", 10 + n) for n in range(20)))


# Callers that give up


async def test_a_read_may_be_cancelled_again_and_again(cloud_url: str) -> None:
    """As cancel scopes do: at every turn of the loop, until the task has ended. A connection that was being closed
    for the first one, and stopped for the second, left a task that waited for ever, and a process that did not end."""
    threads, before = set(threading.enumerate()), asyncio.all_tasks()
    async with clerk(cloud_url) as desk:
        for turns in range(60):
            reading = asyncio.create_task(desk.store.rows(queries.all_of("zone")))
            for _ in range(turns):
                await asyncio.sleep(0)
            while not reading.done():
                reading.cancel()
                await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)
    assert set(threading.enumerate()) == threads


# What we borrow of others


async def test_aiosqlite_still_has_the_private_names_that_the_writer_uses(tmp_path: Path) -> None:
    """engine/store/sqlite.py runs a whole batch inside the driver's thread by these two."""
    async with aiosqlite.connect(tmp_path / "any.db") as found:
        connection: Any = found
        assert isinstance(connection._conn, sqlite3.Connection)
        raw = connection._conn
        assert await connection._execute(lambda: raw.execute("SELECT 42").fetchone()[0]) == 42
        assert connection._thread.is_alive()
