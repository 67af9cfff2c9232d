"""Many rows by one statement, on SQLite: INSERT … SELECT and UPDATE … FROM over a list of values.

Python's sqlite3 takes the interpreter's lock again after each row that `executemany` writes, and waits for it for
milliseconds while other threads are at work. One statement for all rows lets go of it until all are written, so a
batch is written while the next one is decided. The database does the same: a row each, triggers and all.

Promises: what is written is what `executemany` would have written, or nothing with the same refusal. A record that is
changed twice is changed by two statements, in order. Only the order among different records is the database's own, so
this is for rows that do not depend on their order; where one is refused for it, the caller writes them one by one.

A statement is compiled for each number of rows that it takes: a power of two, filled up with rows of NULL, which
insert and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from interlock.engine.store.statements import Statement

LEAST = 4
"""Rows that are worth it. Too low: rare sizes are compiled for nothing; too high: a small batch waits row by row."""
MOST = 128
"""Rows of one statement, a power of two. Too low: more of them; too high: compiled ones take a MiB each."""
KEPT = 512
"""Compiled statements that a connection keeps: all there are. Too low: each batch compiles some anew, for a millisecond
each; too high: nothing."""

Row = tuple[Any, ...]


def calls(statement: Statement, rows: Sequence[Row]) -> Iterator[tuple[str, list[Any]]]:
    """SQL and parameters that write `rows`, each a row of the statement's own parameters."""
    for part in _parts(statement, rows):
        size = 1 << (len(part) - 1).bit_length()
        values = list(chain.from_iterable(part))
        values += [None] * (size * len(statement.order) - len(values))
        yield sql_for(statement, size), values


def _parts(statement: Statement, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for some in _unrepeated(rows) if statement.key else (rows,):
        for begin in range(0, len(some), MOST):
            yield some[begin : begin + MOST]


def _unrepeated(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Runs of rows that each change another record; the key is the last parameter."""
    if len({row[-1] for row in rows}) == len(rows):
        yield rows
        return
    some: dict[Any, Row] = {}
    for row in rows:
        if row[-1] in some:
            yield list(some.values())
            some = {}
        some[row[-1]] = row
    yield list(some.values())


@lru_cache(maxsize=KEPT)
def sql_for(statement: Statement, size: int) -> str:
    """The SQL that writes `size` rows."""
    row = f"({', '.join('?' * len(statement.order))})"
    values = f"(VALUES {', '.join([row] * size)})"
    if not statement.key:
        names = ", ".join(f'"{name}"' for name in statement.order)
        # With WHERE, the parser does not take what may follow for the condition of a join.
        picked = f"SELECT * FROM {values} WHERE column1 IS NOT NULL"  # noqa: S608
        return f"INSERT INTO {statement.table} ({names}) {picked} {statement.unless}".rstrip()
    *changed, _ = statement.order
    set_to = ", ".join(f'"{name}" = v.column{number}' for number, name in enumerate(changed, 1))
    where = f"{statement.table}.{statement.key} = v.column{len(statement.order)}"
    return f"UPDATE {statement.table} SET {set_to} FROM {values} AS v WHERE {where}"  # noqa: S608
