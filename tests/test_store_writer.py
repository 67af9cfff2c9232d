"""What comes into one batch: whoever is ready within a few turns of the loop; nobody waits for one who is not coming.

The database notes who came and after how many turns of the loop; no clock is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from interlock.engine.core.decision import Decision
from interlock.engine.store import writer as writers
from interlock.engine.store.commit import Counters, Written
from interlock.engine.store.verdict import Committed
from interlock.engine.store.writer import TURNS, Writer


class Noting:
    """In place of a database: every batch takes a turn of the loop."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.batches: list[list[object]] = []

    async def write(self, decisions: Sequence[object], is_stale: object, more: object) -> Written:
        self.batches.append(list(decisions))
        await asyncio.sleep(0)
        return Written([Committed(1) for _ in decisions], 0, 0, alone=False)


def writer_with(at_work: int) -> tuple[Writer, Noting]:
    noting = Noting()
    made = Writer(cast(Any, noting), lambda head: False, lambda *_: None)
    made.at_work = lambda: at_work
    return made, noting


async def hand_in(writer: Writer, what: str, after: int) -> None:
    """A decision that is made after so many turns of the loop."""
    for _ in range(after):
        await asyncio.sleep(0)
    await writer.commit(cast(Decision, what))


async def batches(at_work: int, *after: int) -> list[int]:
    """How many were in each batch, when one decision comes after each so many turns."""
    writer, noting = writer_with(at_work)
    await asyncio.gather(*(hand_in(writer, str(number), turns) for number, turns in enumerate(after)))
    return [len(batch) for batch in noting.batches]


async def test_who_is_alone_waits_for_nobody() -> None:
    writer, noting = writer_with(1)
    task = asyncio.create_task(hand_in(writer, "one", 0))
    for _ in range(3):  # the task's first turn, the writer's, and the one that every batch is given
        assert noting.batches == []
        await asyncio.sleep(0)
    assert noting.batches == [["one"]]
    await task


async def test_those_who_come_one_after_the_other_are_one_batch() -> None:
    assert await batches(4, 0, 1, 2, 3) == [4]
    assert await batches(4, 0, TURNS - 1, 2 * TURNS - 2, 3 * TURNS - 3) == [4]


class Locked(Noting):
    """Waits for a lock that others hold before each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()
        self.stale: list[bool] = []

    async def write(self, decisions: Sequence[object], is_stale: Any, more: Any) -> Written:
        await self.free.wait()
        written = await super().write([*decisions, *more()], is_stale, more)
        self.stale.append(is_stale(0))
        return written


async def test_who_comes_while_others_are_waited_for_goes_along_and_no_more_than_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writers, "BATCH", 4)
    locked, wrote = Locked(), list[int]()
    writer = Writer(cast(Any, locked), lambda head: False, lambda decisions, written: wrote.append(len(decisions)))
    tasks = [asyncio.create_task(hand_in(writer, "first", 0))]
    for _ in range(2 * TURNS):
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(hand_in(writer, str(number), 0)) for number in range(5)]
    for _ in range(2 * TURNS):
        await asyncio.sleep(0)
    writer.outdate()  # those that wait behind the first were decided on older figures
    locked.free.set()
    await asyncio.gather(*tasks)
    assert locked.batches == [["first", "0", "1", "2"], ["3", "4"]]
    assert (wrote, locked.stale) == ([4, 2], [True, True])


async def test_who_does_not_come_is_not_waited_for() -> None:
    assert await batches(100, 0, 0, 3 * TURNS) == [2, 1]


async def test_who_is_ahead_is_caught_up_with() -> None:
    """Five operations of which one is ahead: from the next commit on they go together."""
    writer, noting = writer_with(5)

    async def operation(name: str, after: int) -> None:
        await hand_in(writer, name, after)
        for _ in range(3):
            await hand_in(writer, name, 2)

    await asyncio.gather(*(operation(str(number), 0 if number == 0 else 2 * TURNS) for number in range(5)))
    sizes = [len(batch) for batch in noting.batches]
    assert sizes[0] == 1 and 5 in sizes and sum(sizes) == 20 and len(sizes) <= 6


async def test_a_full_batch_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "BATCH", 3)
    assert await batches(100, 0, 0, 0, 0, 0, 0, 2) == [3, 3, 1]
