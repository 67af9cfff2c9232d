"""The SQLite file that is the world: its tables, and transactions of many jobs.

Promises: a transaction is all there or not at all, also if the process is killed in it, for the journal is
a WAL and the system's page cache outlives the process. It need not outlive a power cut, so `synchronous` is
OFF. Several processes may have the file open: each transaction takes the write lock first (BEGIN
IMMEDIATE), and waits for it.

A batch of jobs is one transaction. If one of them raises, the batch is rolled back and each job runs in a
transaction of its own, so that the others never notice; that is a bug's path, since refusals do not raise.
If the lock or the disk fails, every job gets a StoreError.

Never used from two threads: `open`, `run` and `close` belong to one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from interlock.drivers.simulator import tables
from interlock.drivers.simulator.delivery import settle
from interlock.schema import wal
from interlock.schema.errors import StoreError

LOCK_SECONDS = 10.0
"""The wait for another process. Too low: a busy neighbour fails effects. Too high: a stuck one stalls us."""

STATEMENTS = 256
"""Compiled statements kept. Too low: each is compiled anew. Too high: nothing, there are about 70."""

Job: TypeAlias = Callable[[sqlite3.Cursor], Any]
"""Something to do in a transaction; called again if the batch it was in was rolled back.

All jobs have one cursor, for a connection makes one anew for each statement: what a statement found is fetched before
the next one is said."""


class WorldFile:
    """One connection to the file."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self.transactions = 0
        """How many were committed since the file was opened."""
        self._clock = clock
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, and make its tables if it is new.

        Raises:
            StoreError: it cannot be used; the message says why.
        """
        try:
            self._db = sqlite3.connect(
                self.path, timeout=LOCK_SECONDS, isolation_level=None, cached_statements=STATEMENTS
            )
            self._together([self._is_new])
            wal.switch_on(self._db)
            self._db.execute("PRAGMA synchronous = OFF")
            self._together([self._build])
            self.transactions = 0
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _is_new(self, db: sqlite3.Cursor) -> bool:
        """Whether the file is empty; asked before anything is written to what may be a stranger's file."""
        mark, format = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in tables.HEADERS)
        if (mark, format) == (tables.MARK, tables.FORMAT):
            return False
        if not mark and not format and db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            return True
        raise StoreError(
            f"{self.path} is no simulated world of format {tables.FORMAT}; move it away, or name another file"
        )

    def _build(self, db: sqlite3.Cursor) -> None:
        if self._is_new(db):
            for statement in tables.BUILD:
                db.execute(statement)

    def run(self, jobs: Sequence[Job]) -> list[Any]:
        """Do all jobs in one transaction; a job's answer is what it returned, or the exception it raised."""
        try:
            return self._together([self._settle, *jobs])[1:]
        except sqlite3.OperationalError as error:
            return [self._failed(error) for _ in jobs]
        except Exception:
            return [self._alone(job) for job in jobs]

    def _settle(self, db: sqlite3.Cursor) -> None:
        settle(db, self._clock())

    def _together(self, jobs: Sequence[Job]) -> list[Any]:
        db = self._connection().cursor()
        db.execute("BEGIN IMMEDIATE")
        try:
            answers = [job(db) for job in jobs]
            db.execute("COMMIT")
        finally:
            if db.connection.in_transaction:
                db.execute("ROLLBACK")
        self.transactions += 1
        return answers

    def _alone(self, job: Job) -> Any:
        try:
            return self._together([self._settle, job])[1]
        except sqlite3.Error as error:
            return self._failed(error)
        except Exception as error:
            return error

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError(f"the simulator's file {self.path} is not open")
        return self._db

    def _failed(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"the simulator's file {self.path} failed: {error}; is it writable, and not locked?")

    def close(self) -> None:
        """Let go of the file; once more does nothing."""
        if self._db is not None:
            self._db.close()
            self._db = None
