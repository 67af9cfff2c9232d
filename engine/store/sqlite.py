"""The writing connection on SQLite: a whole batch in one hop into the driver's thread.

`BEGIN IMMEDIATE` takes the only write lock first, so nothing read in the transaction can be overtaken, and a deferred
read can never fail to become a write.

aiosqlite's `_execute`, `_conn` and `_thread` are the private names we need (docs/decisions/0004); a test holds them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any, TypeAlias, TypeVar, cast
from weakref import WeakSet

import aiosqlite
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from interlock.engine.core.decision import Decision
from interlock.engine.store import setwise
from interlock.engine.store.commit import Ask, Asked, Conversation, Counters, IsStale, RowRefused, Written, commit
from interlock.engine.store.database import More
from interlock.engine.store.statements import Statements
from interlock.schema import wal
from interlock.schema.errors import StoreError

T = TypeVar("T")

BEGIN_AGAIN = ("ROLLBACK", "BEGIN IMMEDIATE")

_REFUSALS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError, UnicodeError)
"""What running a row may raise that is about this row: a rule refuses it, or no column can hold a value of it."""


Threads: TypeAlias = "WeakSet[Thread]"
"""The threads of connections; aiosqlite has one for each (`_thread`)."""


class _Connection(aiosqlite.Connection):
    """Stops once. A caller that is cancelled again and again, as cancel scopes do it, has SQLAlchemy stop a connection
    that is being closed: whoever closes it would wait for ever for the second stop of a thread that has ended."""

    _stopping: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        """See aiosqlite; who asks again waits for the same."""
        if self._stopping is None:
            self._stopping = super().stop()
        return self._stopping


async def connect(url: URL, busy_seconds: float, threads: Threads) -> aiosqlite.Connection:
    """A connection as the engine wants it; if there can be none, no thread is left either."""
    [file], given = sqlite_dialect.aiosqlite.dialect().create_connect_args(url)
    options: dict[str, Any] = {"timeout": busy_seconds, **given}
    options |= {"isolation_level": None, "cached_statements": setwise.KEPT}
    connection = _Connection(lambda: sqlite3.connect(file, **options), iter_chunk_size=64)
    connection._thread.daemon = True
    threads.add(connection._thread)
    try:
        await connection
        await cast(Any, connection)._execute(_prepare, connection._conn)
    except BaseException:
        await connection.close()
        raise
    return connection


def _prepare(database: sqlite3.Connection) -> None:
    # isolation_level None: Python's sqlite3 would begin transactions by itself, late and deferred; we say when.
    wal.switch_on(database)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        database.execute(f"PRAGMA {pragma}")


class Sqlite:
    """The one writer of this process."""

    def __init__(self, connection: AsyncConnection, driver: Any, statements: Statements) -> None:
        self.counters = Counters()
        self._connection = connection
        self._driver = driver
        self._statements = statements

    @classmethod
    async def open(cls, engine: AsyncEngine, statements: Statements) -> Sqlite:
        """Take a connection of the engine's for writing."""
        connection = await engine.connect()
        raw = await connection.get_raw_connection()
        return cls(connection, raw.driver_connection, statements)

    async def write(self, decisions: Sequence[Decision], is_stale: IsStale, more: More) -> Written:
        """See `Database.write`. Other processes are waited for in the driver's thread, where nothing can be asked."""

        def work(database: sqlite3.Connection) -> Written:
            database.execute("BEGIN IMMEDIATE")
            written = self._converse(database, commit(decisions, is_stale, self._statements, BEGIN_AGAIN))
            database.execute("COMMIT")
            return written

        written = await self._hop(work)
        self.counters.commits += 1
        self.counters.decisions += len(decisions)
        self.counters.retried_alone += written.alone
        return written

    async def run(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """See `Database.run`."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(sql, rows)
            database.execute("COMMIT")

        await self._hop(work)
        self.counters.statements += 1
        self.counters.commits += 1

    async def read(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """See `Database.read`."""
        self.counters.statements += 1
        return await self._hop(lambda database: database.execute(sql, values).fetchall())

    async def locked_read(self, sql: str) -> Sequence[Sequence[Any]]:
        """See `Database.locked_read`."""

        def work(database: sqlite3.Connection) -> Sequence[Sequence[Any]]:
            database.execute("BEGIN IMMEDIATE")
            rows = database.execute(sql).fetchall()
            database.execute("COMMIT")
            return rows

        self.counters.statements += 1
        return await self._hop(work)

    async def close(self) -> None:
        """See `Database.close`."""
        await self._connection.close()

    async def _hop(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def safely() -> T:
            database: sqlite3.Connection = self._driver._conn
            try:
                return work(database)
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

        try:
            return cast(T, await self._driver._execute(safely))
        except sqlite3.Error as error:
            raise StoreError(f"SQLite cannot write: {error}; {_hint(str(error))}") from error

    def _converse(self, database: sqlite3.Connection, talk: Conversation) -> Written:
        try:
            ask = next(talk)
            while True:
                try:
                    answer = self._run(database, ask)
                except _REFUSALS as error:
                    if isinstance(ask, Ask):
                        raise
                    ask = talk.throw(RowRefused(str(error)))
                else:
                    ask = talk.send(answer)
        except StopIteration as end:
            return cast(Written, end.value)

    def _run_all(self, database: sqlite3.Connection, asks: Sequence[Ask]) -> None:
        for ask in asks:
            if ask.together is not None and len(ask.rows) >= setwise.LEAST:
                for sql, values in setwise.calls(ask.together, ask.rows):
                    self.counters.statements += 1
                    database.execute(sql, values)
            else:
                self.counters.statements += 1
                database.executemany(ask.sql, ask.rows)

    def _run(self, database: sqlite3.Connection, ask: Asked) -> Any:
        if not isinstance(ask, Ask):
            self._run_all(database, ask)
            return None
        self.counters.statements += ask.sql.startswith("SELECT")
        row = database.execute(ask.sql).fetchone()
        return row[0] if row else None


def _hint(message: str) -> str:
    if "locked" in message or "busy" in message:
        return "another process holds its write lock; try again when it is done"
    if "full" in message:
        return "make room on the disk"
    if "readonly" in message:
        return "give this user the right to write the file and its folder"
    return "nothing of this was written"
