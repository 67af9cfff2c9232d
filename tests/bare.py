"""Bare SQL on a test's database: the driver's own connection, nothing of ours in between.

What a person with a client could do: on SQLite without the pragmas the store sets, on PostgreSQL as the owner.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from sqlalchemy.engine import URL, make_url


class Refused(Exception):
    """The database said no; the message is its own."""


class Bare(Protocol):
    """A connection without a transaction around its statements, unless one is begun."""

    dialect: str

    async def run(self, sql: str) -> None:
        """Run one statement; `Refused` if a constraint or trigger does not let it."""
        ...

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        ...


class _Sqlite:
    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def run(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except sqlite3.IntegrityError as error:
            raise Refused(str(error)) from error

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()


class _Postgresql:
    dialect = "postgresql"

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def run(self, sql: str) -> None:
        try:
            await self._connection.execute(sql)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise Refused(str(error)) from error

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self._connection.fetch(sql)]


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Bare]:
    """Connect; what is not committed is rolled back in the end."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(parsed.database), isolation_level=None, timeout=5)
        try:
            yield _Sqlite(connection)
        finally:
            connection.close()
    else:
        connect: Any = asyncpg.connect
        database = await connect(**_address(parsed))
        try:
            yield _Postgresql(database)
        finally:
            await database.close()


def _address(url: URL) -> dict[str, Any]:
    return {"host": url.query["host"], "user": url.username, "database": url.database}


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


def literal(value: object) -> str:
    """A value as SQL text."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


async def value(database: Bare, sql: str) -> Any:
    """The only value a query finds."""
    [[found]] = await database.rows(sql)
    return found


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)
