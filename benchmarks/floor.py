"""The floor: a tape played again in a plain synchronous sqlite3 loop, on a copy of the database it began with.

Two floors, both with the schema, triggers, indexes, checks, WAL and synchronous=FULL of the engine's own database, the
parameter rows lying ready in memory:

    same statements   every call of the tape, in its transactions: reads, savepoints, the journal's head, the lease
    rows alone        only the calls that write rows, in the same batches: BEGIN IMMEDIATE, rows, COMMIT

The engine measured before has its statements compiled and its pages warm, so the floor may compile all of its own, and
rehearse its first transaction and roll it back, before the clock starts. `same_content` then proves that the floor did
the same work: each table but the leases is, row for row, what the engine left.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from benchmarks.tape import Call, Transaction
from interlock.schema.tables import metadata

STATEMENTS = 1000
"""Compiled ones that are kept: all."""
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
"""As the store opens its own connections; a test holds that the floor is as durable as the engine."""


def play(start: Path, onto: Path, transactions: Sequence[Transaction]) -> float:
    """Play `transactions` on a copy of `start`, left in `onto`; returns the seconds they took."""
    copy(start, onto)
    with closing(connect(onto)) as database:
        _compile(database, transactions)
        _rehearse(database, transactions[0])
        began = time.perf_counter()
        for transaction in transactions:
            for call in transaction:
                _run(database, call)
        return time.perf_counter() - began


def rows_alone(transactions: Iterable[Transaction]) -> list[Transaction]:
    """The tape without anything but the rows that were written, in the same batches."""
    return list(_rows_alone(transactions))


def _rows_alone(transactions: Iterable[Transaction]) -> Iterator[Transaction]:
    for transaction in transactions:
        writes = [call for call in transaction if call.writes_rows and not call.refused]
        if writes:
            yield (Call("BEGIN IMMEDIATE"), *writes, Call("COMMIT"))


def _compile(database: sqlite3.Connection, transactions: Iterable[Transaction]) -> None:
    """Have each statement compiled and kept: run it once with nothing in its rows."""
    calls = {call.sql: call for transaction in transactions for call in transaction if not call.controls}
    database.execute("BEGIN")
    for sql, call in calls.items():
        with suppress(sqlite3.IntegrityError):
            database.execute(sql, [None] * len(call.parameters if call.rows is None else call.rows[0]))
    database.execute("ROLLBACK")


def _rehearse(database: sqlite3.Connection, transaction: Transaction) -> None:
    for call in transaction:
        if call.sql not in ("COMMIT", "ROLLBACK"):
            _run(database, call)
    if database.in_transaction:
        database.execute("ROLLBACK")


def _run(database: sqlite3.Connection, call: Call) -> None:
    try:
        if call.rows is None:
            database.execute(call.sql, call.parameters).fetchall()
        else:
            database.executemany(call.sql, call.rows)
    except sqlite3.IntegrityError:
        if not call.refused:
            raise


def connect(file: Path) -> sqlite3.Connection:
    """A bare connection with the engine's settings."""
    database = sqlite3.connect(file, isolation_level=None, cached_statements=STATEMENTS)
    for pragma in PRAGMAS:
        database.execute(f"PRAGMA {pragma}")
    return database


def copy(source: Path, target: Path) -> None:
    """Copy a database that nobody is writing to. Its WAL is folded in first, so that both go on with an empty one."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        old.backup(new)


def same_content(one: Path, other: Path) -> bool:
    """Whether two databases hold the same rows in every table but `worker`, which holds leases."""
    names = [name for name in metadata.tables if name != "worker"]
    with closing(sqlite3.connect(one)) as first, closing(sqlite3.connect(other)) as second:
        return all(_rows(first, name) == _rows(second, name) for name in names)


def _rows(database: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
