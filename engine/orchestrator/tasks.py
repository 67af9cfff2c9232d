"""The tasks of one engine: all that runs beside its callers is begun here, so that closing leaves nothing behind.

Promises: after `end` none is left. What a task raises is for whoever waits for it; a caller that gave up is not warned.

Races considered. A task is cancelled by somebody else's code from within: what it did is as lost as after a crash, and
whoever cares is told at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LEFT_BEHIND = 60.0
"""Seconds that closing waits for effects under way. Too low: they are repeated later; too high: closing hangs."""


class Tasks:
    """One per engine, on one event loop.

    Args:
        cut_off: is told when one of them was cancelled.
    """

    def __init__(self, cut_off: Callable[[], None]) -> None:
        self._cut_off = cut_off
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin one.

        Args:
            name: what it is called where tasks are listed.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._reaped)
        return task

    def _reaped(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._cut_off()
        else:
            task.exception()  # whoever waits has it; a caller that gave up does not want a warning

    async def end(self) -> None:
        """Wait until all have ended; those that take too long are cancelled."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=LEFT_BEHIND)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
