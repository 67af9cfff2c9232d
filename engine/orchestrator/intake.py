"""Takes what others only asked for: a worker's side of the queue.

Promises: no more than there is room for is taken, the oldest first, and no operation that another worker was given.
Nothing is asked of the database but when somebody says that there is something, or may be more, and there is room.

Races considered. The store cannot go on: it is waited out, like everywhere. The engine closes: what was taken and not
begun is given back with its lease. Another worker takes what this one has just found: it looks again at once, for
nobody says a second time that there is something.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.commits import Commits
from interlock.engine.store.workers import Workers
from interlock.schema.errors import EngineClosed

AT_ONCE = 128
"""Operations that are taken together at most. Too few: taking costs more than driving; too many: one worker takes what
another had time for."""
SHARE = 4
"""A worker that was full takes more when one of so many places is free. Too high: few at a time; too low: places stay
empty meanwhile."""


class Intake:
    """One per engine that drives what others asked for.

    Args:
        worker_id: this engine's.
        size: how many operations it drives at once.
        under_way: how many it does now.
        ensure: has the lease held.
        take: begins to drive one.
        spawn: starts a task that closing waits for.
    """

    def __init__(
        self,
        workers: Workers,
        commits: Commits,
        worker_id: str,
        size: Callable[[], int],
        under_way: Callable[[], int],
        ensure: Callable[[], Awaitable[None]],
        take: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._workers, self._commits, self._worker_id = workers, commits, worker_id
        self._size, self._under_way = size, under_way
        self._ensure, self._take, self._spawn = ensure, take, spawn
        self._more = self._taking = self._closed = False

    def heard(self) -> None:
        """There may be something."""
        self._more = True
        self.room()

    def room(self) -> None:
        """There may be room."""
        free = self._size() - self._under_way()
        if self._more and not self._taking and not self._closed and free >= max(1, self._size() // SHARE):
            self._taking = True
            self._spawn(self._take_some(), "interlock intake")

    def close(self) -> None:
        """Take no more."""
        self._closed = True

    async def _take_some(self) -> None:
        try:
            while self._more and not self._closed and (free := self._size() - self._under_way()) > 0:
                self._more = False
                await self._take_at_most(min(free, AT_ONCE))
        except EngineClosed:
            pass
        except Exception:
            log.say("exception", "what others asked for cannot be taken; it waits for the next word")
        finally:
            self._taking = False

    async def _take_at_most(self, most: int) -> None:
        await self._commits.patiently(self._ensure)
        taken, more = await self._commits.patiently(partial(self._workers.take, self._worker_id, most))
        self._more |= more
        for operation_id in taken:
            self._take(operation_id)
