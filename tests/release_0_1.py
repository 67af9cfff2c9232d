"""A database as release 0.1 left it: its tables, its rows with their true hashes, its guards.

The rows and the guards in `golden/` were written by that release itself, on two clusters, one with overcommit; VMs of
two accounts run, stand still, are destroyed, expunged, failed, half started and just asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

import interlock.schema
from interlock.engine.store.migrate import VERSION_TABLE
from interlock.engine.store.opening import normal
from tests.bare import bare

GOLDEN = Path(__file__).parent / "golden"
MIGRATIONS = Path(interlock.schema.__file__).parent / "migrations"

Rows = dict[str, list[dict[str, Any]]]
"""By table."""


async def make_old(url: str, *more: str) -> None:
    """Fill an empty database; `more` is SQL that runs before the guards are there."""
    await asked(url, _first_migration)
    async with bare(url) as database:
        await database.run("BEGIN")
        for statement in (*_lines("release-0.1.sql"), *more, *_lines(f"release-0.1-guards-{database.dialect}.sql")):
            await database.run(statement)
        await database.run("COMMIT")


def _lines(name: str) -> list[str]:
    return [line for line in (GOLDEN / name).read_text().splitlines() if not line.startswith("--")]


def _first_migration(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    command.upgrade(config, "0001")


async def asked(url: str, question: Any) -> Any:
    """What a function of a connection says, in a transaction of its own."""
    engine = create_async_engine(normal(url))
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(question)
    finally:
        await engine.dispose()


def everything(connection: Connection) -> Rows:
    """All rows of all tables, in the order of their keys."""
    return {name: _rows(connection, name) for name in inspect(connection).get_table_names()}


def _rows(connection: Connection, name: str) -> list[dict[str, Any]]:
    found = [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
    return sorted(found, key=lambda row: str(next(iter(row.values()))).zfill(9))
