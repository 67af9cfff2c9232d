"""SQLite's write-ahead log, switched on by whoever opens a file: an engine its database, a driver its own.

Promises: it is on, or the error is SQLite's own; others who are at the file are waited for as long as the connection's
timeout says. SQLite itself does not wait here: whoever switches a file while another process has its write lock hears
"database is locked" at once, whatever the timeout, and of several that open a new file in one moment one may.
"""

from __future__ import annotations

import sqlite3
import time

POLL = 0.01
"""Seconds between two tries. Too low: the other gets less of the processor; too high: opening takes longer."""


def switch_on(database: sqlite3.Connection) -> None:
    """Have the file written by a write-ahead log from now on; blocks meanwhile.

    Raises:
        sqlite3.Error: it cannot be, or others have it for longer than the connection's timeout.
    """
    (patience_ms,) = database.execute("PRAGMA busy_timeout").fetchone()
    until = time.monotonic() + patience_ms / 1000
    while not _is_on(database, until):
        time.sleep(POLL)


def _is_on(database: sqlite3.Connection, until: float) -> bool:
    try:
        database.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
            raise
        return False
    return True
