"""Many rows by one statement write what `executemany` writes, or refuse what it refuses, and find their rows by key."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.store import setwise
from interlock.engine.store.statements import Statement, Statements, statements

COLUMNS = ("id", "then", "n")
INSERT = Statement('INSERT INTO t (id, "then", n) VALUES (?, ?, ?)', COLUMNS, "t")
UNLESS = Statement(f"{INSERT.sql} ON CONFLICT DO NOTHING", COLUMNS, "t", unless="ON CONFLICT DO NOTHING")
UPDATE = Statement('UPDATE t SET "then"=?, n=? WHERE t.id = ?', ("then", "n", "id"), "t", key="id")

IDS = st.sampled_from([f"id-{number}" for number in range(40)])
VALUES = st.none() | st.text(max_size=3) | st.integers(-5, 5)
ROWS = st.lists(st.tuples(IDS, VALUES, st.integers(0, 9)), max_size=300)


def table() -> sqlite3.Connection:
    """A table that refuses some, and counts in what order of one record it was changed."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, "then", n INTEGER NOT NULL CHECK (n < 9))')
    database.execute("CREATE TABLE seen (id, was, became)")
    database.execute(
        "CREATE TRIGGER t_update AFTER UPDATE ON t BEGIN INSERT INTO seen VALUES (NEW.id, OLD.n, NEW.n); END"
    )
    return database


def contents(database: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
    changes = "SELECT * FROM seen ORDER BY id, rowid"  # in the order of each record's own
    return database.execute("SELECT * FROM t ORDER BY id").fetchall(), database.execute(changes).fetchall()


def by_sets(database: sqlite3.Connection, statement: Statement, rows: list[tuple[Any, ...]]) -> None:
    for sql, values in setwise.calls(statement, rows):
        database.execute(sql, values)


def outcome(database: sqlite3.Connection, write: Any) -> str | None:
    """What a refusal says; nothing of it is left then."""
    database.execute("BEGIN")
    try:
        write()
    except sqlite3.IntegrityError as error:
        database.execute("ROLLBACK")
        return str(error)
    database.execute("COMMIT")
    return None


@pytest.mark.parametrize("statement", [INSERT, UNLESS], ids=["insert", "unless there"])
@given(rows=ROWS)
def test_what_is_inserted_or_refused_is_the_same(statement: Statement, rows: list[tuple[Any, ...]]) -> None:
    with closing(table()) as one, closing(table()) as other:
        said = outcome(one, lambda: one.executemany(statement.sql, rows))
        assert outcome(other, lambda: by_sets(other, statement, rows)) == said
        assert contents(one) == contents(other)


@given(rows=ROWS)
def test_what_is_updated_is_the_same_and_each_record_in_its_order(rows: list[tuple[Any, ...]]) -> None:
    changes = [(then, n, id) for id, then, n in rows]
    with closing(table()) as one, closing(table()) as other:
        for each in (one, other):
            each.executemany(
                INSERT.sql, [(f"id-{number}", None, 0) for number in range(30)]
            )  # the others are not there
        said = outcome(one, lambda: one.executemany(UPDATE.sql, changes))
        assert outcome(other, lambda: by_sets(other, UPDATE, changes)) == said
        assert contents(one) == contents(other)


@given(rows=st.lists(st.tuples(IDS, VALUES, st.integers(0, 8)), min_size=1, max_size=600))
def test_no_statement_is_larger_than_may_be_and_sizes_are_few(rows: list[tuple[Any, ...]]) -> None:
    found = list(setwise.calls(INSERT, rows))
    sizes = [len(values) // len(COLUMNS) for _, values in found]
    assert all(size <= setwise.MOST and size & (size - 1) == 0 for size in sizes)
    assert len(found) == -(-len(rows) // setwise.MOST)
    assert next(values for _, values in found)[: len(COLUMNS)] == list(rows[0])


# On the real schema


def all_of(compiled: Statements) -> list[Statement]:
    kinds = (compiled.inserts, compiled.updates, compiled.rewrites)
    return [compiled.journal, compiled.group, *(each for kind in kinds for each in kind.values())]


@pytest.fixture
def current(files: Path, tmp_path: Path) -> Path:
    """A database in which VMs live."""
    return Path(shutil.copyfile(files / "lived", tmp_path / "current.db"))


def test_every_statement_of_the_commit_path_has_such_a_form(current: Path) -> None:
    with closing(sqlite3.connect(current, isolation_level=None)) as database:
        before = list(database.iterdump())
        for statement in all_of(statements("sqlite")):
            sql = setwise.sql_for(statement, 4)
            database.execute(sql, [None] * 4 * len(statement.order))  # rows of nothing
        assert list(database.iterdump()) == before


@pytest.mark.parametrize("analysed", [False, True])
def test_an_update_looks_its_rows_up_by_key_whatever_the_tables_hold(current: Path, analysed: bool) -> None:
    with closing(sqlite3.connect(current, isolation_level=None)) as database:
        if analysed:
            database.execute("ANALYZE")
        compiled = statements("sqlite")
        for statement in (*compiled.updates.values(), *compiled.rewrites.values()):
            for size in (4, setwise.MOST):
                values = [None] * size * len(statement.order)
                sql = f"EXPLAIN QUERY PLAN {setwise.sql_for(statement, size)}"
                plan = [row[3] for row in database.execute(sql, values)]
                [search] = [step for step in plan if statement.table in step.split()]
                assert search.startswith("SEARCH") and search.endswith(f"sqlite_autoindex_{statement.table}_1 (id=?)")
