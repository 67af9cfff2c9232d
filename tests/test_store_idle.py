"""An open engine with nothing to do asks the database nothing: no polling, no lease, no clock that ticks in SQL.

Counted from outside: SQLite tells of every statement on every connection of this process, PostgreSQL when each of its
backends last began a query. Both databases are watched at once, because watching takes time.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from tests.bare import bare
from tests.conftest import copied_database, copied_file
from tests.postgres import Server
from tests.world import World, world

IDLE = 10.5
"""Seconds; longer than a lease goes without renewal."""


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that SQLite runs in this process from now on."""
    found: list[str] = []
    connect = sqlite3.connect

    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(found.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", watched)
    return found


Mark = Callable[[], Awaitable[object]]
"""Something that changes whenever a statement runs."""


@asynccontextmanager
async def on_sqlite(models: Path, folder: Path, statements: list[str]) -> AsyncIterator[tuple[World, Mark]]:
    """An engine on SQLite; its simulator is watched as well."""

    async def mark() -> object:
        return len(statements)

    async with copied_file(models, folder, "current") as url, world(folder / "sqlite", url=url) as lab:
        yield lab, mark


@asynccontextmanager
async def on_postgresql(server: Server, folder: Path) -> AsyncIterator[tuple[World, Mark]]:
    """An engine on PostgreSQL."""
    async with copied_database(server, "current") as url, bare(server.url("postgres")) as watcher:

        async def mark() -> object:
            backends = f"datname = '{make_url(url).database}' AND backend_type = 'client backend'"
            found = await watcher.rows(f"SELECT pid, query_start, state FROM pg_stat_activity WHERE {backends}")
            assert found
            return sorted(found)

        async with world(folder / "postgresql", url=url) as lab:
            yield lab, mark


async def test_an_engine_with_nothing_to_do_runs_no_sql(
    files: Path, server: Server, tmp_path: Path, statements: list[str]
) -> None:
    for name in ("sqlite", "postgresql"):
        (tmp_path / name).mkdir()
    async with (
        on_sqlite(files, tmp_path, statements) as (one, one_mark),
        on_postgresql(server, tmp_path) as (other, other_mark),
    ):
        fresh = await one_mark(), await other_mark()
        await asyncio.gather(one.deploy("web"), other.deploy("web"))
        assert await one_mark() != fresh[0]
        assert await other_mark() != fresh[1]
        await asyncio.gather(one.engine.idle(), other.engine.idle())
        await asyncio.sleep(0.2)
        before = await one_mark(), await other_mark()
        await asyncio.sleep(IDLE)
        assert (await one_mark(), await other_mark()) == before
        assert [await lab.engine.counts() for lab in (one, other)] == [{"Running": 1}] * 2
        assert await one_mark() != before[0]


async def test_an_engine_that_was_just_opened_runs_no_sql(
    files: Path, server: Server, tmp_path: Path, statements: list[str]
) -> None:
    for name in ("sqlite", "postgresql"):
        (tmp_path / name).mkdir()
    async with (
        on_sqlite(files, tmp_path, statements) as (one, one_mark),
        on_postgresql(server, tmp_path) as (other, other_mark),
    ):
        await asyncio.gather(one.engine.idle(), other.engine.idle())  # the look at the hosts, with which it begins
        before = await one_mark(), await other_mark()
        await asyncio.sleep(0.5)
        assert (await one_mark(), await other_mark()) == before
