"""What embedders read of the journal: the part of `Engine` that tells what happened, and what happens.

Promises: what `Engine` promises. Rows come in the order of their commits, none missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress

from interlock.engine.store import queries
from interlock.engine.store.archive import archives
from interlock.engine.store.store import Store
from interlock.replay.source import pages
from interlock.schema.errors import EngineClosed, StoreError
from interlock.schema.transition import Transition

CHUNK = 500
"""Transitions a subscription reads at once. Too low: many reads after a pause; too high: memory per subscriber."""


class Told:
    """Mixed into `Engine`, which says when something was written and when it is closed."""

    _store: Store
    _listeners: set[asyncio.Event]
    _closed: bool

    async def history(self, vm_id: str) -> list[Transition]:
        """All transitions of a VM, its NICs, volumes and operations, in order."""
        return await self._store.journal(queries.journal_of(vm_id))

    async def history_of_cloud(self) -> AsyncIterator[Transition]:
        """All rows that tell of the cloud, in order: who wrote or removed which places and settings, and when."""
        version = 0
        while rows := await self._store.journal(queries.journal_of_cloud(version, CHUNK)):
            for row in rows:
                yield row
            version = rows[-1].version

    def journal(self, after: int = 0) -> AsyncIterator[list[Transition]]:
        """All committed transitions with a number above `after`, in order, a page at a time."""
        return pages(self._store, after)

    async def archived(self) -> bool:
        """Whether anything has left the database for an archive; `journal` reads it there."""
        return bool(await self._store.rows(archives()))

    async def history_of(self, entity_ids: Sequence[str]) -> list[Transition]:
        """All transitions of some entities (a page of them, of any machine) by id, in order."""
        return await self._store.journal(queries.journal_about(entity_ids))

    async def subscribe(
        self, after: int | None = None, *, poll: float | None = None
    ) -> AsyncGenerator[Transition, None]:
        """Transitions as they are committed, in order, none missed, for as long as the engine is open.

        Args:
            after: begin after this number; None: with the next one.
            poll: also look every so many seconds for what other processes have written, where they do not tell
                (SQLite). On PostgreSQL they do.
        """
        with suppress(StoreError):
            await self._store.listen()
        if self._store.listens:
            poll = None
        written = asyncio.Event()
        self._listeners.add(written)
        try:
            seq = await self._head() if after is None else after
            while not self._closed:
                written.clear()
                rows = await self._rows_after(seq)
                for row in rows:
                    yield row
                    seq = row.seq
                if not rows:
                    await _wait(written, poll)
        finally:
            self._listeners.discard(written)

    async def _rows_after(self, seq: int) -> list[Transition]:
        with suppress(EngineClosed):
            return await self._store.journal(queries.journal_after(seq, CHUNK))
        return []

    async def _head(self) -> int:
        return int((await self._store.rows(queries.journal_head()))[0][0])

    def _tell(self) -> None:
        for listener in self._listeners:
            listener.set()


async def _wait(written: asyncio.Event, poll: float | None) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(written.wait(), poll)
