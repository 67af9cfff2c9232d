"""The triggers that hold the rules inside the database, made from the tables of states, interlocks and holdings.

`rules.py` says what is refused, as conditions in SQL that both dialects share; `sqlite.py` and `postgresql.py` put
them into triggers. They are derived, not migrated: the store installs them again whenever their text has changed.

Promises: however an UPDATE, INSERT or DELETE arrives, a state moves only along the transition table and its
interlocks, only together with its journal row, and only from the version that was read; the journal only grows;
`used` follows what is held. What they cannot hold: somebody who drops the triggers first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from interlock.schema.guards import postgresql, sqlite


def statements(dialect: str) -> Sequence[str]:
    """The DDL that installs all guards where there are none, in order."""
    return postgresql.statements() if dialect == "postgresql" else sqlite.statements()


def earlier(dialect: str) -> str:
    """A query for the DDL that drops all guards there are, of whatever release."""
    return postgresql.EARLIER if dialect == "postgresql" else sqlite.EARLIER


def fingerprint(dialect: str) -> str:
    """Changes when any guard changes."""
    return hashlib.sha256("\n".join(statements(dialect)).encode()).hexdigest()
