"""How a database is made and kept current: its tables as they are now, or Alembic from what they were; then the guards,
which are derived.

Promises: a database that is made equals one that was migrated all the way, but for the order of columns. Opening a
current database asks two questions and changes nothing. An older one is brought forward in one transaction; a newer one
is refused, because this release does not know its rules. Alembic is imported only to migrate. The guards of the older
release are dropped first: migrations move rows in ways that no machine allows. Places that an older release wrote
without a word are told in the journal then, so that from here on the journal alone gives the tables.

On SQLite most changes of a table are made by copying it, dropping it and giving the copy its name. That must not be
taken for the loss of what others refer to: references are not checked meanwhile, but all of them in the end. Triggers
of others on such a table would be lost with it and are made again; their views, and triggers that only mention the
table, stay as they are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, column, delete, insert, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from interlock.engine.core.decision import Author
from interlock.engine.orchestrator.clock import now
from interlock.engine.store import cloud
from interlock.engine.store.postgresql import TAKE_LOCK
from interlock.schema import guards
from interlock.schema.errors import StoreError
from interlock.schema.tables import metadata
from interlock.schema.tables.derived import guard
from interlock.schema.transition import OURS

HEAD = "0007"
"""The newest migration in schema/migrations/versions; a test holds it to what is there."""
VERSION_TABLE = "interlock_version"
"""Where Alembic notes the migration; not its default, which an embedder's own migrations use."""
_NO_TABLE = "no tables"
_MIGRATING = threading.Lock()
UNCHECKED = ("PRAGMA foreign_keys=OFF", "PRAGMA legacy_alter_table=ON")
"""How SQLite lets a table be replaced; the second has it leave alone what mentions the table by name."""
CHECKED = ("PRAGMA foreign_keys=ON", "PRAGMA legacy_alter_table=OFF")
"""How the engine's connections are at all other times."""


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
    async with _one_at_a_time(), engine.connect() as connection, _references_unchecked(connection):
        await connection.run_sync(_lock)
        # Somebody else may have been faster.
        if await connection.run_sync(_revision) != HEAD or not await connection.run_sync(_guarded):
            await connection.run_sync(_migrate)
        await connection.commit()


@asynccontextmanager
async def _one_at_a_time() -> AsyncIterator[None]:
    """Alembic keeps what it works on in globals: only one database of this process is migrated at a time."""
    while not _MIGRATING.acquire(blocking=False):  # noqa: ASYNC110 - the other may be in another thread's loop
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        _MIGRATING.release()


@asynccontextmanager
async def _references_unchecked(connection: AsyncConnection) -> AsyncIterator[None]:
    """Let SQLite drop tables that others refer to; what is not committed is rolled back in the end."""
    await connection.run_sync(_between_transactions, UNCHECKED)
    try:
        yield
    finally:
        await connection.rollback()
        await connection.run_sync(_between_transactions, CHECKED)


def _between_transactions(connection: Connection, pragmas: Sequence[str]) -> None:
    """Run what SQLite takes outside of transactions only."""
    if connection.dialect.name == "sqlite":
        for statement in ("COMMIT", *pragmas, "BEGIN"):
            connection.exec_driver_sql(statement)


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
    dialect = connection.dialect.name
    for statement in connection.exec_driver_sql(guards.earlier(dialect)).scalars().all():
        connection.exec_driver_sql(statement)
    found = _revision(connection)
    if found == _NO_TABLE:
        _make(connection)
    elif found != HEAD:
        (_upgrade_by_copies if dialect == "sqlite" else _upgrade)(connection)
        # Not in the migration, which is frozen: a row tells of all columns there are when it is written.
        cloud.begin(connection, Author(at=now(), operation_id=None, actor=OURS))
    for statement in guards.statements(dialect):
        connection.exec_driver_sql(statement)
    connection.execute(delete(guard))
    connection.execute(insert(guard).values(id=1, fingerprint=guards.fingerprint(dialect)))


def _make(connection: Connection) -> None:
    """All tables, at the newest migration: to walk there from the first release takes longer than to make them."""
    metadata.create_all(connection)
    version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))
    version.create(connection)
    connection.execute(insert(version).values(version_num=HEAD))


def _upgrade(connection: Connection) -> None:
    """Walk from the migration found to the newest."""
    from alembic import command
    from alembic.config import Config

    import interlock.schema

    config = Config()
    config.set_main_option("script_location", str(Path(interlock.schema.__file__).parent / "migrations"))
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    command.upgrade(config, "head")


def _upgrade_by_copies(connection: Connection) -> None:
    before = _triggers(connection)
    _upgrade(connection)
    for name in before.keys() - _triggers(connection).keys():
        connection.exec_driver_sql(before[name])
    found = connection.exec_driver_sql("PRAGMA foreign_key_check")
    broken = {row.table for row in found if row.parent in metadata.tables}
    if broken:
        raise StoreError(f"rows of {', '.join(sorted(broken))} refer to what is not there; mend them, then open again")


def _triggers(connection: Connection) -> dict[str, str]:
    """The triggers there are, with their text."""
    found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {row.name: row.sql for row in found}
