"""How a database is made and kept current: Alembic for the tables, then the guards, which are derived.

Promises: opening a current database asks two questions and changes nothing. An older one is brought forward in one
transaction; a newer one is refused, because this release does not know its rules. Alembic is imported only to work.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, column, delete, insert, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncEngine

from interlock.engine.store.postgresql import TAKE_LOCK
from interlock.schema import guards
from interlock.schema.errors import StoreError
from interlock.schema.tables import guard

HEAD = "0002"
"""The newest migration in schema/migrations/versions; a test holds it to what is there."""
VERSION_TABLE = "interlock_version"
"""Where Alembic notes the migration; not its default, which an embedder's own migrations use."""
_NO_TABLE = "no tables"
_MIGRATING = threading.Lock()


async def bring_up_to_date(engine: AsyncEngine, *, create: bool) -> None:
    """Make or migrate the database, and install the guards where they are missing or others.

    Raises:
        StoreError: there is no Interlock database and `create` is false, or it is of a newer release.
    """
    async with engine.connect() as connection:
        found = await connection.run_sync(_revision)
        current = found == HEAD and await connection.run_sync(_guarded)
    if current:
        return
    if found == _NO_TABLE and not create:
        raise StoreError(f"{engine.url.render_as_string()} holds no Interlock database; make one with `interlock init`")
    async with _one_at_a_time(), engine.begin() as connection:
        await connection.run_sync(_lock)
        # Somebody else may have been faster.
        if await connection.run_sync(_revision) != HEAD or not await connection.run_sync(_guarded):
            await connection.run_sync(_migrate)


@asynccontextmanager
async def _one_at_a_time() -> AsyncIterator[None]:
    """Alembic keeps what it works on in globals: only one database of this process is migrated at a time."""
    while not _MIGRATING.acquire(blocking=False):  # noqa: ASYNC110 - the other may be in another thread's loop
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        _MIGRATING.release()


def _lock(connection: Connection) -> None:
    """Exclude every other writer until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(TAKE_LOCK)
    else:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table(VERSION_TABLE):
        return _NO_TABLE
    found = str(connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE))))
    if found > HEAD:
        raise StoreError(f"this database is of a newer release (migration {found}, known: {HEAD}); install that one")
    return found


def _guarded(connection: Connection) -> bool:
    return connection.scalar(select(guard.c.fingerprint)) == guards.fingerprint(connection.dialect.name)


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    import interlock.schema

    config = Config()
    config.set_main_option("script_location", str(Path(interlock.schema.__file__).parent / "migrations"))
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    command.upgrade(config, "head")
    dialect = connection.dialect.name
    earlier = connection.exec_driver_sql(guards.earlier(dialect)).scalars().all()
    for statement in (*earlier, *guards.statements(dialect)):
        connection.exec_driver_sql(statement)
    connection.execute(delete(guard))
    connection.execute(insert(guard).values(id=1, fingerprint=guards.fingerprint(dialect)))
