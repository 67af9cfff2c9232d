"""How a database is made and kept current: what the migrations make is what the tables say, on both dialects.

Opening is cheap and careful: a current database is left alone, a newer one refused, missing guards are put back.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.ext.asyncio import create_async_engine

import interlock.schema
from interlock.engine.store.migrate import HEAD, VERSION_TABLE, _upgrade
from interlock.engine.store.opening import normal
from interlock.engine.store.store import Store
from interlock.schema import guards
from interlock.schema.errors import StoreError
from interlock.schema.tables import metadata
from tests.bare import Bare, bare, literal, value
from tests.conftest import Copy

VERSIONS = Path(interlock.schema.__file__).parent / "migrations" / "versions"


async def opened(url: str, **how: Any) -> None:
    """Open a store and close it."""
    await (await Store.open(url, **how)).close()


def files() -> dict[str, str]:
    """The migrations: revision to the text of its file."""
    return {path.name[:4]: path.read_text() for path in sorted(VERSIONS.glob("[0-9]*.py"))}


def test_head_is_the_newest_migration() -> None:
    assert max(files()) == HEAD


def test_each_migration_follows_the_one_before() -> None:
    before: str | None = None
    for number, text in files().items():
        told = dict(re.findall(r"^(revision|down_revision)\b[^=]*= (.+)$", text, re.MULTILINE))
        assert told == {"revision": f'"{number}"', "down_revision": f'"{before}"' if before else "None"}
        before = number


# What is made


@pytest.mark.parametrize("how", ["made", "migrated"])
async def test_alembic_sees_no_difference_between_a_database_and_the_tables(empty_url: str, how: str) -> None:
    if how == "migrated":
        await _asked(empty_url, _upgrade)
    await opened(empty_url)

    def differences(connection: Connection) -> list[Any]:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    found = await _asked(empty_url, differences)
    assert [each for each in found if not _is_comment(each)] == []
    if empty_url.startswith("postgresql"):
        assert found == []


def _is_comment(difference: Any) -> bool:
    """SQLite keeps no comments."""
    change = difference[0] if isinstance(difference, list) else difference
    return "comment" in change[0]


async def test_the_migrations_make_what_the_tables_say_to_the_last_check(copy: Copy) -> None:
    async with copy(None) as migrated, copy(None) as made:
        await _asked(migrated, _upgrade)
        await opened(made)
        assert await _asked(migrated, shape) == await _asked(made, shape)


def shape(connection: Connection) -> dict[str, Any]:
    """All that a database says about our tables."""
    inspector = inspect(connection)
    return {name: _shape_of(inspector, name) for name in metadata.tables}


def _shape_of(inspector: Inspector, name: str) -> dict[str, Any]:
    return {
        # Columns that came later stand last: nobody may count on their order.
        "columns": sorted(told(inspector.get_columns(name))),
        "key": inspector.get_pk_constraint(name)["constrained_columns"],
        "references": sorted(told(inspector.get_foreign_keys(name))),
        "unique": sorted(told(inspector.get_unique_constraints(name))),
        "checks": sorted(told(inspector.get_check_constraints(name))),
        "indexes": sorted(told(inspector.get_indexes(name))),
    }


def told(thing: Any) -> Any:
    """Something reflected, as text that can be compared."""
    if isinstance(thing, dict):
        return str(sorted((key, told(value)) for key, value in thing.items()))
    return [told(each) for each in thing] if isinstance(thing, list) else str(thing)


async def _asked(url: str, question: Any) -> Any:
    engine = create_async_engine(normal(url))
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(question)
    finally:
        await engine.dispose()


async def test_the_guards_are_installed(empty_url: str) -> None:
    await opened(empty_url)
    async with bare(empty_url) as database:
        assert await value(database, "SELECT fingerprint FROM guard") == guards.fingerprint(database.dialect)
        assert await installed(database) == declared(database.dialect)


def declared(dialect: str) -> set[str]:
    """The triggers that should be there."""
    found = (re.match(r"CREATE TRIGGER (\w+)", statement) for statement in guards.statements(dialect))
    return {each[1] for each in found if each}


async def installed(database: Bare) -> set[str]:
    """The triggers that are there."""
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }[database.dialect]
    return {row[0] for row in await database.rows(query)}


# What is opened


async def test_guards_of_another_release_are_replaced(database_url: str) -> None:
    async with bare(database_url) as database:
        before = await installed(database)
        await database.run("UPDATE guard SET fingerprint = 'of another release'")
        if database.dialect == "sqlite":
            await database.run("DROP TRIGGER guard_vm_update")
            await database.run("CREATE TRIGGER ledger_vm_update_7 AFTER UPDATE ON vm BEGIN SELECT 1; END")
            await database.run("CREATE TRIGGER their_own AFTER UPDATE ON vm BEGIN SELECT 1; END")
        else:
            await database.run("DROP TRIGGER guard_vm_update ON vm")
            for name in ("ledger_vm_update_7", "their_own"):
                await database.run(
                    f"CREATE TRIGGER {name} AFTER UPDATE ON vm FOR EACH ROW EXECUTE FUNCTION ledger_vm_update()"
                )
    await opened(database_url)
    async with bare(database_url) as database:
        assert await installed(database) == before | {"their_own"}
        assert await value(database, "SELECT fingerprint FROM guard") == guards.fingerprint(database.dialect)


async def test_guards_that_were_never_installed_are(database_url: str) -> None:
    async with bare(database_url) as database:
        await database.run("DELETE FROM guard")
    await opened(database_url)
    async with bare(database_url) as database:
        assert await value(database, "SELECT count(*) FROM guard") == 1


async def test_a_newer_database_is_refused_and_left_as_it_is(database_url: str) -> None:
    async with bare(database_url) as database:
        await database.run("UPDATE interlock_version SET version_num = '9999'")
        await database.run("UPDATE guard SET fingerprint = 'of the newer release'")
    with pytest.raises(StoreError, match=r"newer release \(migration 9999, known: \d+\); install that one"):
        await opened(database_url)
    async with bare(database_url) as database:
        assert await value(database, "SELECT fingerprint FROM guard") == "of the newer release"


async def test_an_empty_database_is_not_made_unless_asked_to(empty_url: str) -> None:
    with pytest.raises(StoreError, match="interlock init"):
        await opened(empty_url, create=False)


async def test_opening_a_current_database_runs_no_ddl_and_writes_nothing(database_url: str) -> None:
    async with bare(database_url) as database:
        before = await _mark(database)
        await opened(database_url)
        await opened(database_url, create=False)
        assert await _mark(database) == before


async def _mark(database: Bare) -> Any:
    """Changes with whatever is written."""
    if database.dialect == "sqlite":
        return await value(database, "PRAGMA data_version"), await value(database, "PRAGMA schema_version")
    # Transaction numbers are given to what writes only.
    return await database.rows("SELECT xmin, fingerprint FROM guard"), await value(
        database, "SELECT count(*) FROM pg_class WHERE age(xmin) < age((SELECT xmin FROM guard))"
    )


async def test_many_may_open_an_empty_database_at_once(empty_url: str) -> None:
    await asyncio.gather(*(opened(empty_url) for _ in range(6)))
    async with bare(empty_url) as database:
        assert await value(database, "SELECT count(*) FROM guard") == 1
        assert await installed(database) == declared(database.dialect)


async def test_two_databases_may_be_made_at_once_in_one_process(copy: Copy) -> None:
    async with copy(None) as one, copy(None) as other:
        await asyncio.gather(opened(one), opened(other))
        for url in (one, other):
            async with bare(url) as database:
                assert await installed(database) == declared(database.dialect)


async def test_an_embedder_may_keep_its_own_migrations_in_the_same_database(empty_url: str) -> None:
    async with bare(empty_url) as database:
        await database.run("CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY)")
        await database.run("INSERT INTO alembic_version VALUES ('ae1027a6acf')")
    await opened(empty_url)
    await opened(empty_url)
    async with bare(empty_url) as database:
        assert await database.rows("SELECT * FROM alembic_version") == [("ae1027a6acf",)]


async def test_a_database_that_could_not_be_made_is_left_empty(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = guards.statements
    monkeypatch.setattr(guards, "statements", lambda dialect: [*right(dialect)[:5], "CREATE NONSENSE"])
    with pytest.raises(StoreError, match="NONSENSE"):
        await opened(empty_url)
    monkeypatch.undo()
    async with bare(empty_url) as database:
        tables = {
            "sqlite": "SELECT count(*) FROM sqlite_master",
            "postgresql": "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'",
        }
        assert await value(database, tables[database.dialect]) == 0
    await opened(empty_url)


SCRIPT = """
import asyncio, sys
from interlock import Engine

async def main():
    async with Engine.open({url}, create=False):
        pass

asyncio.run(main())
heavy = {heavy} & set(sys.modules)
assert not heavy, heavy
"""


async def test_opening_a_current_database_imports_no_alembic(database_url: str, tmp_path: Path) -> None:
    script = SCRIPT.format(url=literal(database_url), heavy={"alembic", "mako", "rich", "click"})
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
