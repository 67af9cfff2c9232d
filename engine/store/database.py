"""What the store needs of a database's writing connection: the protocol that `sqlite.py` and `postgresql.py` fulfil.

All of it raises `StoreError` for what the database as a whole cannot do now (locked, full, gone). Nothing was written
then; or, if the connection broke during the commit itself, perhaps all was: who retries finds its own rows there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from interlock.engine.core.decision import Decision
from interlock.engine.store.commit import Counters, IsStale, Written

More: TypeAlias = Callable[[], Sequence[Decision]]
"""Hands over what has come since; asked at most once for each time that the lock was waited for."""


class Database(Protocol):
    """One writing connection."""

    counters: Counters

    async def write(self, decisions: Sequence[Decision], is_stale: IsStale, more: More) -> Written:
        """Commit all decisions in one transaction, each accepted or refused on its own; and those that have come while
        others were waited for (`more`), whose verdicts follow. Where nobody is waited for, it need not be asked."""
        ...

    async def run(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run one statement for each row, in one transaction of its own."""
        ...

    async def read(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """All rows of a query, with `values` for its parameters (`?`, or as the database writes them): between two
        batches, never during one. What changes something is a transaction of its own."""
        ...

    async def locked_read(self, sql: str) -> Sequence[Sequence[Any]]:
        """Like `read`, after every other writer's open transaction has ended."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...
