"""The group commit: all decisions that wait at one moment go into one transaction.

Promises: decisions are written in the order they were handed in; each gets its own verdict; an acknowledged one is
durable. While nothing waits, nothing runs. Work handed to `between` runs on the writing connection between batches,
so that what it reads is exactly what has been committed. While the database waits for other writers, a batch grows.

What waits here is bounded by who hands in: so many requests as the door lets in, and one decision for each operation
under way (`engine/orchestrator/door.py`). Work between batches is done before each, so reads never wait for two.

Races considered. A caller that is cancelled while it waits does not take its decision back: it may already be
written, and whoever drives the operation next finds out. Closing writes what was handed in before, and refuses more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from interlock.engine.core.decision import Decision
from interlock.engine.store.commit import IsStale, Written
from interlock.engine.store.database import Database
from interlock.engine.store.verdict import Verdict
from interlock.schema.errors import EngineClosed

BATCH = 256
"""Decisions in one transaction at most. Too low: more fsyncs a second; too high: the first of a batch waits long."""


TURNS = 5
"""Turns of the loop in a row that a batch waits in vain for others. Too low: an operation that ends and is asked for
anew comes too late for the batch; too high: where drivers take their time, a commit waits for nothing."""


class Writer:
    """Owns the writing connection.

    Args:
        database: the connection.
        is_stale: told the journal's head before each batch; whether decisions were made on older figures.
        wrote: told after each batch what was in it and what became of it, before any caller learns its verdict.
    """

    def __init__(
        self, database: Database, is_stale: IsStale, wrote: Callable[[Sequence[Decision], Written], None]
    ) -> None:
        self.database = database
        self._is_stale = is_stale
        self._wrote = wrote
        self._waiting: list[tuple[Decision, asyncio.Future[Verdict]]] = []
        self._between: list[tuple[Callable[[Database], Awaitable[Any]], asyncio.Future[Any]]] = []
        self._outdated = 0
        """How many of those that wait were decided on figures that have been read again since."""
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.at_work: Callable[[], int] = lambda: 0
        """How many are at work, each of whom may hand in a decision soon."""

    async def commit(self, decision: Decision) -> Verdict:
        """Write one decision with the next batch.

        Raises:
            StoreError: the database cannot write now.
            EngineClosed: too late.
        """
        answer: asyncio.Future[Verdict] = self._future()
        self._waiting.append((decision, answer))
        self._wake()
        return await answer  # nobody but this caller has it: one that is cancelled takes only its own answer along

    async def between(self, work: Callable[[Database], Awaitable[Any]]) -> Any:
        """Do something on the writing connection between two batches."""
        answer: asyncio.Future[Any] = self._future()
        self._between.append((work, answer))
        self._wake()
        return await answer

    def outdate(self) -> None:
        """Figures have been read again: what waits now was decided on older ones."""
        self._outdated = len(self._waiting)

    @property
    def waiting(self) -> int:
        """How many decisions wait for the next batch."""
        return len(self._waiting)

    async def close(self) -> None:
        """Write what waits, then give the connection back."""
        self._closed = True
        while self._task is not None:
            await asyncio.shield(self._task)
        await self.database.close()

    def _future(self) -> asyncio.Future[Any]:
        if self._closed:
            raise EngineClosed("the engine is closed; open it again, and the work goes on")
        return asyncio.get_running_loop().create_future()

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="interlock writer")

    async def _run(self) -> None:
        await self._gather()
        while self._waiting or self._between:
            while self._between:
                work, answer = self._between.pop(0)
                await self._answer(work, answer)
            if self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._write(batch)
                await self._gather()
        self._task = None

    async def _gather(self) -> None:
        """Let what becomes ready together come into one batch: a turn of the loop, and more until all who are at work
        have handed in, or some turns in a row have brought nobody. Else a few that are ahead of the others would stay
        it, and each of the two had commits of its own for ever; and while one is written and the other decided, both
        wait for the interpreter's lock more than they gain."""
        in_vain = 0
        while in_vain < TURNS:
            there = len(self._waiting)
            await asyncio.sleep(0)
            if len(self._waiting) >= min(self.at_work(), BATCH):
                return
            in_vain = 0 if len(self._waiting) > there else in_vain + 1

    async def _answer(self, work: Callable[[Database], Awaitable[Any]], answer: asyncio.Future[Any]) -> None:
        try:
            result = await work(self.database)
        except Exception as error:
            _fail(answer, error)
        else:
            if not answer.done():
                answer.set_result(result)

    async def _write(self, batch: list[tuple[Decision, asyncio.Future[Verdict]]]) -> None:
        outdated = self._take_outdated(len(batch))

        def more() -> Sequence[Decision]:
            nonlocal outdated
            late, self._waiting = self._waiting[: BATCH - len(batch)], self._waiting[BATCH - len(batch) :]
            outdated |= self._take_outdated(len(late))
            batch.extend(late)
            return [decision for decision, _ in late]

        decisions = [decision for decision, _ in batch]
        try:
            written = await self.database.write(decisions, lambda head: self._is_stale(head) or outdated, more)
        except Exception as error:
            for _, answer in batch:
                _fail(answer, error)
            return
        self._wrote([decision for decision, _ in batch], written)
        for (_, answer), verdict in zip(batch, written.verdicts, strict=True):
            if not answer.done():
                answer.set_result(verdict)

    def _take_outdated(self, number: int) -> bool:
        """Whether some of the next so many that wait were decided on older figures."""
        found, self._outdated = self._outdated > 0, max(0, self._outdated - number)
        return found and number > 0


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    """Not as a StoreError unless it is one: those are waited out, and a defect of ours would be for ever."""
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # a caller that was cancelled will not fetch it; that is no reason for a warning
