"""Archives what has ended when setting `journal.retention.days` has passed for it, where a folder is set for archives.

Promises: between two deadlines there is one timer, and no SQL; none at all while nothing is to be archived by itself.
What is due is asked of the database, so nothing here can be wrong for longer than until the next look. An engine that
only looks (`begin` was not called) archives nothing.

Races considered. Several engines on one database find the same: one of them does it, the others are told that it is
gone and look again later (`engine/store/archive.py`). A folder that is not there, or not here: it is said in the log,
and tried again; nothing was removed. The clock jumps: a look too early finds nothing due, one too late archives later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from interlock.engine.core.decision import Decision
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.clock import now
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.lease import SECOND
from interlock.engine.store.archive import NOBODY, archive_ripe, oldest_ended
from interlock.engine.store.store import Store
from interlock.schema.errors import EngineClosed
from interlock.schema.settings import ARCHIVE_FOLDER, NO_FOLDER, RETENTION

NEVER = -1
"""The retention that says so."""
DAY = 86_400 * SECOND
AGAIN = 600.0
"""Seconds until a look that failed, or left something that is not ripe as a whole, is taken again. Too low: a folder
that is full is hammered; too high: the database stays large for longer."""
PAUSE = 1.0
"""Seconds between two batches. Too low: those who commit wait for one after the other; too high: it takes long."""


class Archival:
    """One per engine.

    Args:
        spawn: runs work in a task that closing waits for.
    """

    def __init__(
        self, store: Store, inventory: Inventory, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._spawn = spawn
        self._on = False
        self._looking = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From now on, until `close`."""
        self._on = True
        self.look()

    def close(self) -> None:
        """Nothing more is archived; a batch under way ends by itself."""
        self._on = False
        self._silence()

    def ended(self, decision: Decision) -> None:
        """An operation has ended here."""
        vm = decision.vm
        if vm is not None and vm.state == "Expunged" and self._timer is None and self._retention is not None:
            self._ring_in((vm.since + self._retention - now()) / SECOND)

    def look(self) -> None:
        """See what is due, now or when settings have changed."""
        if self._on and self._retention is not None:
            self._spawn(self._look(), "interlock archival")
        elif self._on:
            self._silence()

    @property
    def _retention(self) -> int | None:
        """In µs; None: nothing is archived by itself."""
        days, folder = self._inventory.setting(RETENTION), self._inventory.setting(ARCHIVE_FOLDER)
        return None if days == NEVER or folder == NO_FOLDER else days * DAY

    async def _look(self) -> None:
        async with self._looking:
            self._silence()
            retention = self._retention
            if not self._on or retention is None:
                return
            try:
                await self._archive(retention)
            except EngineClosed:
                pass
            except Exception as error:
                log.say("error", "archiving what has ended failed; trying again", error=str(error))
                self._ring_in(AGAIN)

    async def _archive(self, retention: int) -> None:
        """Archive a batch; know when the next is due."""
        at, folder = now(), Path(self._inventory.setting(ARCHIVE_FOLDER))
        made = await archive_ripe(self._store, folder, before=at - retention, at=at, made_by=NOBODY)
        if made is not None:
            log.say("info", "archived what has ended", file=str(made.path), transitions=made.count)
            self._ring_in(PAUSE)
            return
        oldest = await self._store.rows(oldest_ended())
        if oldest:
            self._ring_in(max(AGAIN, (oldest[0][0] + retention - now()) / SECOND))

    # --- the timer

    def _ring_in(self, seconds: float) -> None:
        if self._on:
            self._silence()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.look()

    def _silence(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
