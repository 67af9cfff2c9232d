"""Operations that other engines drive and somebody here waits for.

Promises: whoever waits is woken when the operation may have ended. On PostgreSQL nothing is asked until another engine
says that it has written; then one read tells of all that ended since, however many wait. On SQLite, where nobody says
anything, each wait looks again every so often. With nobody waiting nothing runs.

Races considered. The operation ends between the caller's look at it and its wait: the caller says that it is going to
wait before it looks, and an engine that did not listen until then does so before that. Two who begin at once say so one
after the other, or the second would pass over what ended for the first. It begins to be driven here meanwhile: the
caller looks for that, too, once it has said so. The word is lost with a connection: the first word after it says that
anything may have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.errors import EngineClosed, StoreError

LOOK = 0.1
"""Seconds between looks where nobody tells. Too low: needless reads; too high: it is noticed late."""
LOOK_ANYHOW = 30.0
"""Seconds between looks where somebody would tell. Too low: needless reads; too high: who waits through a connection
that broke without a word does so for long."""


class Elsewhere:
    """One per engine.

    Args:
        spawn: starts a task that closing waits for.
    """

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None], str], object]) -> None:
        self._store = store
        self._spawn = spawn
        self._waiting: dict[str, set[asyncio.Event]] = {}
        """By operation, an event for each who waits."""
        self._read_to = 0
        self._beginning = asyncio.Lock()
        self._reading = self._again = False

    @asynccontextmanager
    async def watched(self, operation_id: str) -> AsyncIterator[asyncio.Event]:
        """Have an event set when an operation may have ended."""
        with suppress(StoreError):
            await self._store.listen()
        news = asyncio.Event()
        async with self._beginning:
            if not self._waiting and self._store.dialect == "postgresql":
                self._read_to = await self._head()
            self._waiting.setdefault(operation_id, set()).add(news)
        try:
            yield news
        finally:
            self._waiting[operation_id].discard(news)
            if not self._waiting[operation_id]:
                del self._waiting[operation_id]

    async def pause(self, news: asyncio.Event) -> None:
        """Wait until it is time to look at the operation again."""
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), LOOK_ANYHOW if self._store.listens else LOOK)

    def wake(self, operation_id: str) -> None:
        """Something happened to one of them here."""
        for news in self._waiting.get(operation_id, ()):
            news.set()

    def wake_all(self) -> None:
        """The engine closes."""
        for operation_id in self._waiting:
            self.wake(operation_id)

    def heard(self) -> None:
        """Another engine has written, and perhaps an operation has ended."""
        self._again = bool(self._waiting)
        if self._again and not self._reading:
            self._reading = True
            self._spawn(self._read(), "interlock elsewhere")

    async def _read(self) -> None:
        try:
            while self._again:
                self._again = False
                for operation_id in await self._ended():
                    self.wake(operation_id)
        except StoreError:
            self.wake_all()
        except EngineClosed:
            pass
        finally:
            self._reading = False

    async def _ended(self) -> list[str]:
        rows = await self._store.rows(queries.ended(self._read_to))
        self._read_to = rows[-1][0] if rows else self._read_to
        return [operation_id for _, operation_id in rows]

    async def _head(self) -> int:
        return int((await self._store.rows(queries.journal_head()))[0][0])
