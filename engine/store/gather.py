"""Gathers what is asked at one moment, and has it answered together.

Promises: each question gets its own answer, or its own error. While one batch is being answered, others gather for the
next. With nothing asked, nothing runs: the task ends with the last answer.

Races considered. A caller that gives up while it waits costs the others nothing; its answer is dropped. An error that
is about the batch (the database cannot be read) is everybody's. Closing waits for what was asked; who asks later hears
from the database that it is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Gather(Generic[Q, A]):
    """One per kind of question.

    Args:
        answer: answers a batch in order; an answer that is an exception is raised to the one who asked.
        most: questions of one batch. Too low: more round trips; too high: memory, and the first waits for the last.
        name: the task's.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]], most: int, name: str):
        self._answer, self._most, self._name = answer, most, name
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The answer; raises what `answer` raised or gave for it."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)
        return await answer

    async def close(self) -> None:
        """Return when nobody waits any more."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        # One turn of the loop first, so that everything that became ready together is in the first batch.
        await asyncio.sleep(0)
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._tell([(question, answer) for question, answer in batch if not answer.done()])
        self._task = None

    async def _tell(self, batch: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        if not batch:
            return
        try:
            found = await self._answer([question for question, _ in batch])
        except Exception as error:
            found = [error] * len(batch)
        for (_, answer), each in zip(batch, found, strict=True):
            if answer.done():
                continue
            if isinstance(each, Exception):
                answer.set_exception(each)
            else:
                answer.set_result(each)
