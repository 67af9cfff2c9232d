"""A file that another process is just writing to, or making, is waited for when it is opened; SQLite alone does not."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from weakref import WeakSet

import pytest
from sqlalchemy import make_url

from interlock.drivers.libvirt.registry import Registry
from interlock.drivers.simulator.file import WorldFile
from interlock.engine.store import sqlite
from interlock.schema import wal


def of_engine(path: Path) -> None:
    async def open_and_close() -> None:
        connection = await sqlite.connect(make_url(f"sqlite+aiosqlite:///{path}"), 5.0, WeakSet())
        await connection.close()

    asyncio.run(open_and_close())


def of_simulator(path: Path) -> None:
    world = WorldFile(path, time.time)
    world.open()
    world.close()


def of_libvirt(path: Path) -> None:
    Registry(path).close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new.file"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process; here, another connection."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as made:
        yield made


@pytest.mark.parametrize("opened", [of_engine, of_simulator, of_libvirt])
def test_who_writes_while_a_file_is_opened_is_waited_for(
    opened: Callable[[Path], None], path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    switch_on = wal.switch_on

    def while_other_writes(database: sqlite3.Connection) -> None:
        other.execute("BEGIN IMMEDIATE")
        switch_on(database)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.execute("COMMIT")

    monkeypatch.setattr(wal, "switch_on", while_other_writes)
    monkeypatch.setattr(wal, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    opened(path)
    assert waits == [wal.POLL] * 3
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_who_never_ends_is_waited_for_as_long_as_the_connection_says(path: Path, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    with closing(sqlite3.connect(path, timeout=0.1)) as database:
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            wal.switch_on(database)
        assert time.monotonic() - began > 0.1


def test_what_is_no_database_is_not_waited_for(path: Path) -> None:
    path.write_text("a letter, and a long one, that somebody wrote" * 100)
    with closing(sqlite3.connect(path)) as database, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        wal.switch_on(database)
