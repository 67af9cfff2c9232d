"""Transactions that PostgreSQL gave up because of others: serialization failures and deadlocks. Retried, and counted.

Our own transactions cannot meet each other so: they follow one another by the journal's lock, and read what was
committed. Other programs on the database can: one that locks rows of a host and then asks for the lock, or a default of
the database that isolates more. Nothing was written then, and what is asked again finds the other one done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from interlock.schema.errors import StoreError

T = TypeVar("T")

TRIES = 10
"""Times something is asked. Too low: a busy neighbour makes errors of ours; too high: one that always fails stays
hidden."""
SERIALIZATION, DEADLOCK = "40001", "40P01"
"""SQLSTATEs."""


class Conflicts:
    """How often it happened, since the database was opened."""

    def __init__(self) -> None:
        self.serialization_failures = 0
        self.deadlocks = 0

    async def again(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do a transaction; again, when it was given up because of another.

        Raises:
            StoreError: it cannot be done now, or was given up time and again.
        """
        for _ in range(TRIES - 1):
            try:
                return await work()
            except StoreError as error:
                if not self._count(error):
                    raise
        return await work()

    def _count(self, error: BaseException) -> bool:
        """Whether the server gave up a transaction because of others."""
        state = _sqlstate(error)
        self.serialization_failures += state == SERIALIZATION
        self.deadlocks += state == DEADLOCK
        return state in (SERIALIZATION, DEADLOCK)


def _sqlstate(error: BaseException | None) -> str | None:
    """What the driver said, however deep it is wrapped."""
    while error is not None:
        for said in (error, getattr(error, "orig", None)):
            if isinstance(found := getattr(said, "sqlstate", None), str):
                return found
        error = error.__cause__
    return None
