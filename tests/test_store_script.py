"""Rows as one script write what `executemany` writes, or refuse what it refuses, whatever is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from asyncpg.exceptions import PostgresError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from interlock.engine.store import postgresql
from interlock.engine.store.script import script
from tests.clerk import a_vm, clerk
from tests.postgres import Server

INSERT = "INSERT INTO t (id, said, n, share, yes) VALUES ($1::BIGINT, $2::VARCHAR, $3::INTEGER, $4::FLOAT, $5::BOOLEAN)"
UPDATE = "UPDATE t SET said=$1::VARCHAR, n=$2::INTEGER WHERE t.id = $3::BIGINT"
TABLE = """
    CREATE TEMPORARY TABLE t (
        id BIGINT PRIMARY KEY, said VARCHAR, n INTEGER CHECK (n <> 13), share DOUBLE PRECISION, yes BOOLEAN
    )
"""
on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["'", "\\", "\\'; DROP TABLE t; --", "$1", "''\\\\''", "E'", "a\nb", "\u2028", "NULL"]
)
NUMBERS = st.integers(-(2**31), 2**31 - 1) | st.just(13)
BIG = st.integers(0, 5) | st.sampled_from([-(2**63), 2**63 - 1])
ROWS = st.lists(
    st.tuples(BIG, st.none() | TEXTS, st.none() | NUMBERS, st.none() | st.floats(), st.none() | st.booleans()),
    max_size=12,
)
CHANGES = st.lists(st.tuples(st.none() | TEXTS, st.none() | NUMBERS, BIG), max_size=6)


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[asyncpg.Connection]:
    """With a table of its own."""
    made = await asyncpg.connect(server.url("postgres").replace("postgresql+asyncpg", "postgresql"))
    await made.execute(TABLE)
    yield made
    await made.close()


async def outcome(connection: asyncpg.Connection, write: Callable[[], Awaitable[Any]]) -> Any:
    """What the table holds after it, or with which code it was refused; nothing of it is left then."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await write()
        return [tuple(row) for row in await connection.fetch("SELECT id, said, n, share::text, yes FROM t ORDER BY id")]
    except PostgresError as error:
        return error.as_dict()["sqlstate"]
    finally:
        await transaction.rollback()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, changes=CHANGES, conforming=st.booleans())
@example(rows=[(1, "\\", 1, 0.1, True)], changes=[("it's \\ 'so'", -1, 1)], conforming=False)
async def test_what_is_written_or_refused_is_the_same(
    connection: asyncpg.Connection, rows: list[Any], changes: list[Any], conforming: bool
) -> None:
    await connection.execute(f"SET standard_conforming_strings = {'on' if conforming else 'off'}")
    said = script([(INSERT, rows), (UPDATE, changes)])
    assert said is not None  # and empty, where there are no rows

    async def one_by_one() -> None:
        await connection.executemany(INSERT, rows)
        await connection.executemany(UPDATE, changes)

    assert await outcome(connection, lambda: connection.execute(said or "SELECT")) == await outcome(
        connection, one_by_one
    )


@pytest.mark.parametrize("value", ["a\0b", "\ud800", b"bytes", object()], ids=["NUL", "surrogate", "bytes", "object"])
def test_there_is_no_script_for_what_no_literal_can_say(value: object) -> None:
    assert script([(UPDATE, [("well", 1, 2), (value, 1, 3)])]) is None


def test_parameters_are_told_apart_and_what_looks_like_one_in_a_value_is_left() -> None:
    said = script([("UPDATE t SET a=$2, b=$11, c=$1 WHERE id = $12::BIGINT", [("$2", -2, *range(3, 13))])])
    assert said == "UPDATE t SET a='-2', b='11', c='$2' WHERE id = '12'::BIGINT"


@on_postgresql
async def test_a_commit_of_few_rows_is_one_message_and_many_rows_are_not(
    cloud_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts: list[str | None] = []

    def noted(work: Any) -> str | None:
        scripts.append(script(work))
        return scripts[-1]

    monkeypatch.setattr(postgresql, "script", noted)
    async with clerk(cloud_url) as desk:
        await desk.store.commit(await desk.ask(a_vm("one")))
        assert len(scripts) == 1
        assert scripts[0] is not None
        assert scripts[0].startswith("INSERT INTO journal")
        monkeypatch.setattr(postgresql, "FEW", 3)
        await desk.store.commit(await desk.ask(a_vm("two")))
        assert len(scripts) == 1
