"""Opening a database: what its URL means, the pool of connections, and the connection that writes.

Promises: a URL that cannot be meant is refused in words. Where opening fails, no connection and no thread is left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from interlock.engine.store.conflicts import Conflicts
from interlock.engine.store.database import Database
from interlock.engine.store.postgresql import Postgresql, limit_idling
from interlock.engine.store.sqlite import Sqlite, Threads, connect
from interlock.engine.store.statements import statements
from interlock.schema.errors import StoreError

BUSY_SECONDS = 10.0
"""How long SQLite waits for another process's write lock. Too low: needless errors; too high: a stuck one is hidden."""

JOIN_SECONDS = 5.0
"""How long closing waits for a connection's thread that has been told to end. Only a defect takes any time at all."""

TROUBLES = (DBAPIError, PoolTimeout, OSError)
"""What says that the database, or the way to it, is at fault."""


def said(error: Exception) -> object:
    """The driver's own words, without the statement around them."""
    return getattr(error, "orig", error)


def normal(url: str) -> URL:
    """The URL with the async driver filled in; a bare path is a SQLite file.

    Raises:
        StoreError: it is none, or of a database that Interlock does not speak.
    """
    try:
        # A bare path is taken as it is: a ? or % in it is part of a file's name.
        parsed = make_url(url) if "://" in url else URL.create("sqlite", database=url)
    except ArgumentError as error:
        raise StoreError(f"{url!r} is not a database URL; use a path, sqlite:///PATH or postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+asyncpg")
    if backend != "sqlite":
        raise StoreError(f"Interlock speaks SQLite and PostgreSQL, not {backend}")
    if parsed.query:
        raise StoreError(f"SQLite URLs of Interlock take no options, not {', '.join(parsed.query)}")
    if parsed.database in (None, "", ":memory:"):
        raise StoreError(
            "an in-memory SQLite database is lost with its connection; give a file, a temporary one will do"
        )
    return parsed.set(drivername="sqlite+aiosqlite")


def must_be_possible(path: Path, create: bool) -> None:
    """Say in words what SQLite would call "unable to open database file"."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder; name a file in it")
    if not path.exists() and not create:
        raise StoreError(f"there is no database {path}; make one with `interlock init CLOUD.toml`")
    if not path.parent.is_dir():
        raise StoreError(f"the folder {path.parent} is not there; make it first")


async def dispose(engine: AsyncEngine, threads: Threads) -> None:
    """Close all connections, and see their threads end: they have nothing left to do, so that takes no time."""
    await engine.dispose()
    for thread in list(threads):
        thread.join(JOIN_SECONDS)


def pool(url: URL, threads: Threads) -> AsyncEngine:
    """The connections to a database; of SQLite, `threads` has the thread of each."""
    try:
        if url.get_backend_name() == "sqlite":
            # The one that was used last is used next: what each keeps of the file is then kept once, not five times.
            engine = create_async_engine(
                url, async_creator=lambda: connect(url, BUSY_SECONDS, threads), pool_use_lifo=True
            )
            event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
            return engine
        engine = create_async_engine(url)
        event.listen(engine.sync_engine, "connect", limit_idling)
        event.listen(engine.sync_engine, "checkout", _replace_if_cut)
        return engine
    except NoSuchModuleError as error:
        raise StoreError(str(error)) from error


def _replace_if_cut(_connection: Any, record: Any, _proxy: Any) -> None:
    # A server that went away has closed what lay in the pool; asking the driver costs no round trip.
    if record.driver_connection.is_closed():
        raise DisconnectionError("the server has closed this connection")


async def writing(engine: AsyncEngine, name: str, conflicts: Conflicts) -> Database:
    """The connection that the group commit has for itself."""
    compiled = statements(engine.dialect.name)
    if engine.dialect.name == "postgresql":
        return Postgresql(engine, compiled, name, conflicts)
    return await Sqlite.open(engine, compiled)
