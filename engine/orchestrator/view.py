"""An open engine as an observer may look at it: what waits, what is held, and reads of its database.

Promises: the figures are read in memory and may be asked for from any thread; each is true of some moment, not all of
the same. `soon` may be called from any thread; what it runs ends before the engine is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select

from interlock.engine.orchestrator.books import AddressesNeeded
from interlock.engine.orchestrator.orchestrator import Orchestrator
from interlock.schema.cloud import Place

P = TypeVar("P", bound=Place)


class View:
    """Of one engine, from its event loop on."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._loop = asyncio.get_running_loop()

    @property
    def worker_id(self) -> str:
        """The engine's, as operations that it drives have it."""
        return self._orchestrator.worker_id

    @property
    def under_way(self) -> int:
        """Operations that are driven or wait to be."""
        return self._orchestrator.under_way

    @property
    def queued(self) -> int:
        """Those of them that wait."""
        return self._orchestrator.queued

    @property
    def waiting(self) -> int:
        """Decisions that wait to be written."""
        return self._orchestrator.store.waiting

    @property
    def spent(self) -> dict[str, int]:
        """What the commit path has cost, and what others have made it do again: the fields of `Counters` and
        `Conflicts`."""
        store = self._orchestrator.store
        return {**msgspec.structs.asdict(store.counters), **vars(store.conflicts)}

    def places(self, kind: type[P]) -> Collection[P]:
        """All places of a kind, with what is held of them by all that is decided."""
        return tuple(self._orchestrator.commits.inventory.all(kind))

    def addresses_held(self, network_id: str) -> int | None:
        """IPv4 addresses that are owned in a network; None: they have not been read here yet."""
        try:
            return self._orchestrator.commits.inventory.addresses(network_id).owned
        except AddressesNeeded:
            return None

    async def rows(self, query: Select[Any]) -> Sequence[Any]:
        """Run a read.

        Raises:
            StoreError: the database cannot be read now.
        """
        return await self._orchestrator.store.rows(query)

    def soon(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run something on the engine's event loop; nothing, if the engine is closed."""
        with suppress(RuntimeError):  # the loop is closed, and so is the engine
            self._loop.call_soon_threadsafe(self._run, work, name)

    def _run(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._orchestrator.aside(work, name)
