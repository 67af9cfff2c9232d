"""Picks up what others left, and what this engine lost itself: asks who is gone, has the core decide, takes over.

Promises: it looks when the engine opens, when a living worker's lease ends, when a drive broke off (with growing
waits), and whenever something shows that there may be something to find: others have written, or somebody here waits
for, asks for or is refused because of an operation that is not driven here. On PostgreSQL a worker tells the others
until when its lease holds, and when it gives it up: they look then, also those that have nothing to do. Otherwise there
is no timer and no SQL (docs/decisions/0018-recovery.md, 0027-workers.md). What was only asked for, and given to nobody,
is left to the engines that serve while there is one.

Races considered. Two engines that look at once both mean to take the same: each claim is a compare-and-set, one wins.
A look that fails, for the store is in trouble, is repeated with growing waits. The engine may die while it recovers:
what it had claimed is its own by then, and is taken over from it in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Container, Coroutine, Iterable
from typing import Any

from interlock.engine.core.backoff import SECOND, doubled
from interlock.engine.core.recovery import Standing, rest_after, take_over
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.clock import now
from interlock.engine.orchestrator.lease import Worker, is_gone, worker_of
from interlock.engine.store.workers import Workers
from interlock.schema.errors import EngineClosed, InterlockError

MARGIN = 0.1
"""Seconds after the moment something is due. Too low: one looks before it is so; too high: it waits for nothing."""
PAUSE = 1.0
"""Seconds between looks because somebody waits. Too low: needless reads; too high: what a dead engine left waits."""
FAILED, FAILED_MOST = 1.0, 60.0
"""Seconds before looking again after a look that failed; doubled each time, up to the second. Too low: a sick store is
hammered; too high: what was left waits when it is well again."""


class Recovery:
    """One per engine.

    Args:
        workers: where operations stand, and who else is there.
        worker_id: this engine's.
        driven: the operations that are driven here.
        take: begins to drive one.
        spawn: starts a task that closing waits for.
    """

    def __init__(
        self,
        workers: Workers,
        worker_id: str,
        driven: Collection[str],
        take: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._workers = workers
        self._worker_id = worker_id
        self._driven = driven
        self._take = take
        self._spawn = spawn
        self._broken: dict[str, tuple[int, int]] = {}
        """Operations whose drive broke off here: how often in a row, and until when they are left alone."""
        self._failures = 0
        self._looked_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._asked = False
        """Whether this engine is to take over what others left."""
        self._looking = False
        self._closed = False

    async def look(self) -> int:
        """Take over the operations that no living worker drives; returns how many."""
        self._asked = self._looking = True
        self._looked_at = asyncio.get_running_loop().time()
        try:
            at, before = now(), tuple(self._broken)
            found = [(row[0], worker_of(row[1:])) for row in await self._workers.driven()]
            workers = {worker.id: worker for _, worker in found if worker is not None}
            plan = take_over(
                (_standing(operation_id, worker) for operation_id, worker in found),
                at,
                driven=self._driven,
                dead={self._worker_id, *(each.id for each in workers.values() if is_gone(each))},
                resting={operation_id: until for operation_id, (_, until) in self._broken.items()},
            )
        finally:
            self._looking = False
        self._failures = 0
        self._forget_ended(before, {operation_id for operation_id, _ in found})
        for operation_id in plan.take:
            self._take(operation_id)
        if plan.look_at is not None:
            self.look_in((plan.look_at - at) / SECOND + MARGIN)
        return len(plan.take)

    def _forget_ended(self, before: Iterable[str], found: Container[str]) -> None:
        """Of those that broke off here before the look, others have ended what is not found any more."""
        for operation_id in before:
            if operation_id not in found:
                self._broken.pop(operation_id, None)

    def glance(self) -> None:
        """Somebody here minds an operation that is not driven here: look, though not without end."""
        if self._asked and not self._looking:
            self.look_in(max(0.0, self._looked_at + PAUSE - asyncio.get_running_loop().time()))

    def others_wrote(self) -> None:
        """Something may have been left: look, unless that is going to happen anyhow."""
        if self._asked and not self._looking and self._alarm is None:
            self.look_in(0.0)

    def look_at(self, until: int) -> None:
        """A worker holds its lease until then, µs since 1970: should it not be renewed, there may be something."""
        if self._asked:
            self.look_in(max(0.0, (until - now()) / SECOND + MARGIN))

    def broke_off(self, operation_id: str) -> None:
        """A drive ended that should not have: it is looked for, later each time."""
        times = self._broken.get(operation_id, (0, 0))[0] + 1
        rest = rest_after(operation_id, times)
        self._broken[operation_id] = times, now() + rest
        self.look_in(rest / SECOND + MARGIN)

    def settled(self, operation_id: str) -> None:
        """A drive ended as it should, or somebody else drives it: what was before does not count any more."""
        self._broken.pop(operation_id, None)

    def look_in(self, seconds: float) -> None:
        """Look after so many seconds, or sooner if that was wanted already."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._alarm is not None:
            if self._alarm.when() <= due:
                return
            self._alarm.cancel()
        self._alarm = loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._looking = True
        self._spawn(self._look_again(), "interlock recovery")

    async def _look_again(self) -> None:
        try:
            await self.look()
        except EngineClosed:
            pass
        except InterlockError:
            log.say("exception", "looking for abandoned operations failed; trying again")
            self._failures += 1
            self.look_in(doubled(FAILED, FAILED_MOST, self._worker_id, self._failures) / SECOND)

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def _standing(operation_id: str, worker: Worker | None) -> Standing:
    if worker is None:
        return Standing(operation_id=operation_id, worker_id=None, lease_until=0)
    return Standing(operation_id=operation_id, worker_id=worker.id, lease_until=worker.lease_until)
