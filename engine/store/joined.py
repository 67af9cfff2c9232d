"""Writing inside somebody else's transaction: an embedder's rows and a request's rows commit or roll back together.

The same conversation as the group commit, held on the embedder's SQLAlchemy connection. The journal's lock is taken
first and kept until the embedder ends the transaction, so it should be short: all other commits wait for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from asyncpg.exceptions import LockNotAvailableError
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from interlock.engine.core.decision import Decision
from interlock.engine.store import postgresql
from interlock.engine.store.commit import Ask, Asked, RowRefused, Written, commit
from interlock.engine.store.postgresql import CUT_OFF, JOURNAL_LOCK, TAKE_LOCK
from interlock.engine.store.statements import Statements, statements
from interlock.engine.store.verdict import Verdict
from interlock.schema.errors import InvalidRequest, StoreError

TAKE_WRITE_LOCK = "UPDATE guard SET id = id"
"""SQLite has no lock statement: a write that changes nothing takes the write lock, or waits for it."""


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that excludes every other writer from its beginning to its end.

    What is raised inside comes out as it is, also when the connection is gone by then and cannot be rolled back.

    Raises:
        StoreError: the database cannot be written now, and nothing was; or the connection broke while the transaction
            was being committed, and perhaps all was.
    """
    said: BaseException | None = None
    try:
        async with engine.begin() as connection:
            # The lock first: on SQLite, what begins by reading may find itself unable to write.
            await take_lock(connection)
            try:
                yield connection
            except BaseException as error:
                said = error
                raise
    except (DBAPIError, PoolTimeout, OSError) as error:
        if said is not None:
            raise said from None
        raise StoreError(f"the transaction cannot be begun or ended: {getattr(error, 'orig', error)}") from error


async def take_lock(connection: AsyncConnection) -> None:
    """Exclude every other writer until the embedder's transaction ends.

    Raises:
        InvalidRequest: the connection speaks another database than ours.
        StoreError: another transaction does not let go of it.
    """
    dialect = connection.dialect.name
    if dialect not in ("sqlite", "postgresql"):
        raise InvalidRequest(f"the connection speaks {dialect}; it must be one to the engine's own database")
    try:
        if dialect == "sqlite":
            await connection.exec_driver_sql(TAKE_WRITE_LOCK)
        elif not await _taken_in_time(connection):
            await connection.exec_driver_sql(CUT_OFF, (postgresql.IDLE_SECONDS, JOURNAL_LOCK))
            await connection.exec_driver_sql(TAKE_LOCK)
    except DBAPIError as error:
        raise StoreError(f"the database cannot be locked in this transaction: {error.orig}") from error


async def _taken_in_time(connection: AsyncConnection) -> bool:
    """Take PostgreSQL's lock; False if its holder does not let go, and may be paused. The timeout is the lock's alone:
    what the transaction does afterwards waits as it always did."""
    try:
        async with connection.begin_nested():
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(2000 * postgresql.IDLE_SECONDS)}")
            await connection.exec_driver_sql(TAKE_LOCK)
            await connection.exec_driver_sql("SET LOCAL lock_timeout = DEFAULT")
    except DBAPIError as error:
        if not isinstance(getattr(error.orig, "__cause__", None), LockNotAvailableError):
            raise
        return False
    return True


async def write_joined(connection: AsyncConnection, decision: Decision) -> Verdict:
    """Write a decision on the embedder's connection, which holds the lock, without ending its transaction.

    Raises:
        StoreError: the database cannot be written now.
    """
    try:
        written = await _converse(connection, decision, statements(connection.dialect.name))
    except DBAPIError as error:
        raise StoreError(f"the request cannot be written in this transaction: {error.orig}") from error
    return written.verdicts[0]


async def _converse(connection: AsyncConnection, decision: Decision, compiled: Statements) -> Written:
    talk = commit([decision], lambda head: False, compiled)
    try:
        ask = next(talk)
        while True:
            try:
                answer = await _run(connection, ask)
            except DBAPIError as error:
                if isinstance(ask, Ask) or not _is_about_the_row(error):
                    raise
                ask = talk.throw(RowRefused(str(error.orig)))
            else:
                ask = talk.send(answer)
    except StopIteration as end:
        return cast(Written, end.value)


def _is_about_the_row(error: DBAPIError) -> bool:
    """Whether a rule refuses the row, or no column can hold a value of it (SQLSTATE class 22)."""
    return isinstance(error, IntegrityError) or str(getattr(error.orig, "sqlstate", "")).startswith("22")


async def _run_all(connection: AsyncConnection, asks: Sequence[Ask]) -> None:
    for ask in asks:
        await connection.exec_driver_sql(ask.sql, ask.rows)


async def _run(connection: AsyncConnection, ask: Asked) -> Any:
    if not isinstance(ask, Ask):
        await _run_all(connection, ask)
        return None
    result = await connection.exec_driver_sql(ask.sql)
    return result.scalar() if result.returns_rows else None
