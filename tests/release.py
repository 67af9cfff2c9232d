"""A database and a world as release 0.2 or a later one left them when it was killed: `make_release.py` wrote them.

The rows, the guards and the simulator's world in `golden/` are that release's own, with operations of every kind cut
off in every direction. `Clock` sets the engine's clock to just after the kill, or to long after it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

import interlock.schema
from interlock.drivers.simulator import Simulator
from interlock.engine.orchestrator import clock
from interlock.engine.store.migrate import VERSION_TABLE
from tests.bare import bare, value
from tests.release_0_1 import asked

GOLDEN = Path(__file__).parent / "golden"
MIGRATIONS = Path(interlock.schema.__file__).parent / "migrations"
REVISION = {"0.2": "0002"}
"""The migration each release was at."""

PLUGGED = ("plugged_nic", "plugged_volume")
"""Tables of the world which did not say on which host the guest is, because it was on one only."""

MADE_BY_MIGRATIONS = ("domain_above", "domain")
"""Tables that are not empty in an empty database."""


async def make_old(url: str, release: str) -> None:
    """Fill an empty database."""

    def migrated(connection: Connection) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes.update(connection=connection, version_table=VERSION_TABLE)
        command.upgrade(config, REVISION[release])

    await asked(url, migrated)
    async with bare(url) as database:
        await database.run("BEGIN")
        for table in MADE_BY_MIGRATIONS:
            await database.run(f"DELETE FROM {table}")
        for name in (f"release-{release}.sql", f"release-{release}-guards-{database.dialect}.sql"):
            for statement in _statements(name):
                await database.run(statement)
        await database.run("COMMIT")


async def make_world(path: Path, release: str) -> None:
    """The simulator's file beside it."""
    await (await Simulator.at(path)).close()
    with sqlite3.connect(path) as world:
        for table in PLUGGED:  # a temporary table hides the one of the file
            world.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM {table}")
        for statement in _statements(f"release-{release}-world.sql"):
            world.execute(statement)
        for table in PLUGGED:
            world.execute(f"UPDATE {table} SET host = (SELECT host FROM domain WHERE vm = {table}.vm)")
            world.execute(f"INSERT INTO main.{table} SELECT * FROM temp.{table}")


def _statements(name: str) -> list[str]:
    return [each for each in (GOLDEN / name).read_text().split(";\n") if each]


async def killed_at(url: str) -> int:
    """When the release wrote its last journal row (µs since 1970)."""
    async with bare(url) as database:
        return int(await value(database, "SELECT max(at) FROM journal WHERE machine <> 'cloud'"))


@contextmanager
def clock_at(micros: int) -> Iterator[None]:
    """The engine's clock goes on from there."""
    behind = time.time_ns() - micros * 1000

    class Shifted:
        @staticmethod
        def time_ns() -> int:
            return time.time_ns() - behind

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", Shifted)
        yield
