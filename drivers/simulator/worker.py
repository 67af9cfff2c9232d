"""Group commit: jobs that wait at one moment go to one thread together, as one transaction.

Promises: one hop into the thread per batch and one thread per worker; while a batch is there, others gather
for the next. With nothing to do, nothing runs. A job whose caller was cancelled before the hop is left out,
after it its answer is dropped; either way the others get theirs. After `close` no thread is left.

Races considered. Jobs run in the order they were submitted, across batches too, for there is one thread.
`close` waits for a batch that is in the thread even if all its callers were cancelled: it queues behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from sqlite3 import Cursor
from typing import Any, TypeAlias, TypeVar

from interlock.drivers.simulator.file import Job, WorldFile

BATCH = 1000
"""Most jobs in one transaction. Too low: more commits. Too high: other processes wait longer for the file."""

T = TypeVar("T")

Waiting: TypeAlias = tuple[Job, asyncio.Future[Any]]
"""A job, and who waits for its answer."""


class Worker:
    """The thread that owns a world's file."""

    def __init__(self, file: WorldFile) -> None:
        self.file = file
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="interlock-simulator")
        self._queue: list[Waiting] = []
        self._busy = False
        self._closing = asyncio.Lock()
        self._closed = False

    async def open(self) -> None:
        """Open the file; if that fails or is cancelled, no thread is left."""
        try:
            await self._loop.run_in_executor(self._thread, self.file.open)
        except BaseException:
            self._thread.submit(self.file.close)
            self._thread.shutdown()
            raise

    def submit(self, job: Callable[[Cursor], T]) -> asyncio.Future[T]:
        """Have a job done, with the others of this moment; its answer comes when it is committed."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.append((job, answer))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._send)
        return answer

    def _send(self) -> None:
        """Take what waits into the thread."""
        waiting = [one for one in self._queue if not one[1].cancelled()]
        batch, self._queue = waiting[:BATCH], waiting[BATCH:]
        self._busy = bool(batch)
        if batch:
            self._thread.submit(self._run, batch)

    def _run(self, batch: list[Waiting]) -> None:
        """In the thread: do a batch, and hop back with its answers."""
        answers = self.file.run([job for job, _ in batch])
        self._loop.call_soon_threadsafe(self._answer, batch, answers)

    def _answer(self, batch: list[Waiting], answers: list[Any]) -> None:
        for (_, waits), answer in zip(batch, answers, strict=True):
            if waits.cancelled():
                continue
            if isinstance(answer, Exception):
                waits.set_exception(answer)
            else:
                waits.set_result(answer)
        self._send()

    async def close(self) -> None:
        """Close the file and end the thread; once more does nothing."""
        async with self._closing:
            if not self._closed:
                await self._loop.run_in_executor(self._thread, self.file.close)
                self._thread.shutdown()
                self._closed = True
