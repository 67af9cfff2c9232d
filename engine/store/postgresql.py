"""The writing connection on PostgreSQL: a batch in one transaction on the bare asyncpg connection.

An advisory lock taken first makes batches of all workers follow one another: journal numbers have no gaps, come in
commit order, and two batches can never deadlock over host rows. What is lost in parallelism is won back by batching.
The lock's holder may be paused, or its machine be gone without a word: the server gives the lock on (`IDLE_SECONDS`).
A broken connection is replaced by a new one at the next batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, TypeVar, cast

from asyncpg.exceptions import (
    DataError,
    IntegrityConstraintViolationError,
    InterfaceError,
    InternalClientError,
    LockNotAvailableError,
    PostgresError,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from interlock.engine.core.decision import Decision
from interlock.engine.store.commit import Ask, Asked, Conversation, Counters, IsStale, RowRefused, Written, commit
from interlock.engine.store.conflicts import Conflicts
from interlock.engine.store.database import More
from interlock.engine.store.listening import Word, telling
from interlock.engine.store.script import script
from interlock.engine.store.statements import Statements
from interlock.schema.errors import StoreError

T = TypeVar("T")

JOURNAL_LOCK = 0x1_7E41_0C4
"""The advisory lock under which the journal grows; any number that no other program on the database uses."""
TAKE_LOCK = f"SELECT pg_advisory_xact_lock({JOURNAL_LOCK})"
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Whatever the database's default: a stricter one would read the journal as it was before the lock was waited for."""

IDLE_SECONDS = 10.0
"""How long the server lets a transaction of ours stand still. A process that is paused or cut off in the middle of a
batch holds the lock for which all others wait: the server ends its session then, and the batch with it. Too low: a busy
machine writes its batches twice; too high, above all higher than a lease: others cannot take over in time."""

FEW = 64
"""Rows that go as one script. Too low: a commit of few operations is many round trips, with the lock held; too high:
the server parses what it has compiled already."""

CUT_OFF = """
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = 0 AND objid::bigint = $2 AND granted
    AND datname = current_database() AND state = 'active' AND wait_event = 'ClientRead'
    AND greatest(query_start, state_change) < clock_timestamp() - $1 * interval '1 second'
"""
"""Ends the session of a holder of the lock that was paused in the middle of a message: the server waits for the rest of
it, which it does not count as idling. Nobody else's session waits so, however long its transaction takes."""

_REFUSALS = (IntegrityConstraintViolationError, DataError)
"""What running a row may raise that is about this row: a rule refuses it, or no column can hold a value of it."""
_TROUBLES = (PostgresError, InterfaceError, InternalClientError, DBAPIError, OSError)
"""What says that the server, or the way to it, is at fault."""


def limit_idling(connection: Any, _record: Any) -> None:
    """Have the server end a new connection's session when a transaction of it stands still."""
    # Not as a startup parameter, which poolers such as PgBouncer refuse; and by a cursor, not on the bare driver: its
    # errors are those that SQLAlchemy knows, should the server go away just now.
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = {int(IDLE_SECONDS * 1000)}")
    cursor.close()
    connection.commit()


@lru_cache(maxsize=64)
def _numbered(sql: str) -> str:
    """SQL as PostgreSQL wants its parameters. The driver keeps a statement by its text: with values in it, it would ask
    the server anew what the statement is, each time."""
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{text}" for number, text in enumerate(rest, 1))


def _beginning() -> str:
    """A message that begins a transaction with the lock, which is waited for no longer than somebody who is alive would
    keep it."""
    return f"{BEGIN}; SET LOCAL lock_timeout = {int(2000 * IDLE_SECONDS)}; {TAKE_LOCK}"


def _word(name: str, decisions: Sequence[Decision]) -> Word:
    midway = all(decision.outcome is None for decision in decisions)
    return Word(by=name, wrote=True, midway=midway, queued=any(map(_is_queued, decisions)))


def _is_queued(decision: Decision) -> bool:
    """Whether it makes an operation that is left to whoever takes it."""
    return decision.operation.state == "Queued" and decision.operation.worker_id is None


class Postgresql:
    """One writer on one connection.

    Args:
        name: who tells others that something was written.
        conflicts: counts what was given up because of others.
    """

    def __init__(self, engine: AsyncEngine, statements: Statements, name: str, conflicts: Conflicts) -> None:
        self.counters = Counters()
        self._engine = engine
        self._statements = statements
        self._conflicts = conflicts
        self._name = name
        self._connection: AsyncConnection | None = None

    async def write(self, decisions: Sequence[Decision], is_stale: IsStale, more: More) -> Written:
        """See `Database.write`."""
        batch = list(decisions)
        written = await self._with_the_lock(lambda: self._write(batch, is_stale, more))
        self.counters.statements += 1
        self.counters.commits += 1
        self.counters.decisions += len(batch)
        self.counters.retried_alone += written.alone
        return written

    async def _write(self, batch: list[Decision], is_stale: IsStale, more: More) -> Written:
        """`batch` grows by what came while the lock was waited for: else engines that take turns have small ones."""
        begin = _beginning()
        async with self._driver() as driver:
            await driver.execute(begin)
            batch += more()
            end = f"{telling(_word(self._name, batch))}; COMMIT"
            talk = commit(batch, is_stale, self._statements, (f"ROLLBACK; {begin}",))
            written = await self._converse(driver, talk, end)
            if driver.is_in_transaction():
                await driver.execute(end)
            return written

    async def _with_the_lock(self, work: Callable[[], Awaitable[T]]) -> T:
        """Work that takes the lock; once more, if its holder was paused."""
        try:
            return await self._conflicts.again(work)
        except StoreError as error:
            if not isinstance(error.__cause__, LockNotAvailableError):
                raise
        await self._cut_off_the_paused()
        return await self._conflicts.again(work)

    async def _cut_off_the_paused(self) -> None:
        async with self._driver() as driver:
            await driver.fetch(CUT_OFF, IDLE_SECONDS, JOURNAL_LOCK)

    async def run(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """See `Database.run`."""
        async with self._driver() as driver:
            await driver.executemany(sql, rows)
        self.counters.statements += 1
        self.counters.commits += 1

    async def read(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """See `Database.read`."""
        self.counters.statements += 1
        async with self._driver() as driver:
            return cast(Sequence[Sequence[Any]], await driver.fetch(_numbered(sql) if values else sql, *values))

    async def locked_read(self, sql: str) -> Sequence[Sequence[Any]]:
        """See `Database.locked_read`."""
        self.counters.statements += 2
        return await self._with_the_lock(lambda: self._locked_read(sql))

    async def _locked_read(self, sql: str) -> Sequence[Sequence[Any]]:
        async with self._driver() as driver:
            await driver.execute(_beginning())
            found = await driver.fetch(sql)
            await driver.execute("COMMIT")
            return cast(Sequence[Sequence[Any]], found)

    async def close(self) -> None:
        """See `Database.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        """The bare connection; after any error it is thrown away, because nobody knows its state; and with it what was
        begun and has not been committed."""
        try:
            yield await self._connected()
        except BaseException as error:
            await self._forget()
            if not isinstance(error, _TROUBLES):
                raise
            raise StoreError(f"PostgreSQL cannot do this now: {error}; is it up, and reachable?") from error

    async def _connected(self) -> Any:
        if self._connection is not None:
            raw = await self._connection.get_raw_connection()
            if not cast(Any, raw.driver_connection).is_closed():
                return raw.driver_connection
            await self._forget()
        self._connection = await self._engine.connect()
        return (await self._connection.get_raw_connection()).driver_connection

    async def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def _converse(self, driver: Any, talk: Conversation, end: str) -> Written:
        try:
            ask = next(talk)
            while True:
                try:
                    answer = await self._run(driver, ask, end)
                except _REFUSALS as error:
                    if isinstance(ask, Ask):
                        raise
                    ask = talk.throw(RowRefused(str(error)))
                else:
                    ask = talk.send(answer)
        except StopIteration as said:
            return cast(Written, said.value)

    async def _run_all(self, driver: Any, asks: Sequence[Ask], end: str) -> None:
        self.counters.statements += len(asks)
        if sum(len(ask.rows) for ask in asks) <= FEW and (said := script((ask.sql, ask.rows) for ask in asks)):
            # A batch as a whole is the last of its transaction: it is ended in the same message.
            await driver.execute(f"{said}; {end}" if asks[0].together is not None else said)
            return
        for ask in asks:
            await driver.executemany(ask.sql, ask.rows)

    async def _run(self, driver: Any, ask: Asked, end: str) -> Any:
        if not isinstance(ask, Ask):
            await self._run_all(driver, ask, end)
            return None
        if ask.sql.startswith("SELECT"):
            self.counters.statements += 1
            return await driver.fetchval(ask.sql)
        return await driver.execute(ask.sql)
