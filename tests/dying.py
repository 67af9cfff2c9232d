"""Engines that die: an open world is left as a kill leaves it, and its lease made to have run out.

`Holding` is a driver that does not answer one command, so that an operation is known to be under way at the kill.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock.drivers.protocol import Tell
from interlock.drivers.simulator import Simulator
from interlock.engine.orchestrator import tasks
from interlock.engine.orchestrator.lease import Lease
from interlock.engine.store.listening import Word, telling
from interlock.schema.commands import AnyCommand, Outcome
from interlock.schema.reports import HostReport
from tests.bare import bare
from tests.witness import Recorder
from tests.world import World, world

BEFORE, AFTER = "before", "after"
"""When an effect is held: not done yet, or done but not heard of."""


class Holding(Recorder):
    """Holds commands of some kinds until it is let go; other engines' drivers are not held."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.holds: set[str] = set()
        self.when = BEFORE
        self.held = asyncio.Event()
        self.let_go = asyncio.Event()
        self.answers: list[Outcome] = []
        """What the held commands came to."""

    def hold(self, *commands: str, when: str = BEFORE) -> None:
        """Hold all of these kinds from here on."""
        self.holds, self.when = set(commands), when

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        self.seen.append(type(command).__name__)
        if type(command).__name__ not in self.holds:
            return await self.inner.perform(command, token=token, fence=fence)
        if self.when == AFTER:
            await self.inner.perform(command, token=token, fence=fence)
        self.held.set()
        await self.let_go.wait()
        self.answers.append(await self.inner.perform(command, token=token, fence=fence))
        return self.answers[-1]


class Telling(Holding):
    """The same, and what the simulator reports is heard."""

    def listen(self, tell: Tell) -> Callable[[], None]:
        return self.inner.listen(tell)

    async def survey(self) -> Sequence[HostReport]:
        return await self.inner.survey()


async def expire(url: str) -> None:
    """All leases have run out. Engines know when that is to be, and look then: here it is at once."""
    async with bare(url) as database:
        await database.run("UPDATE worker SET lease_until = 0")
        if database.dialect == "postgresql":
            await database.run(telling(Word(lease_until=0)))


@asynccontextmanager
async def doomed(folder: Path, url: str, wrap: type[Any] | None = None, **options: Any) -> AsyncIterator[World]:
    """A world whose engine dies at the end: it commits nothing more, waits for nothing, and keeps its lease's row,
    which has run out by then."""
    with pytest.MonkeyPatch.context() as patch:
        async with world(folder, url=url, wrap=wrap, **options) as lab:
            yield lab
            patch.setattr(tasks, "LEFT_BEHIND", 0.0)
            patch.setattr(Lease, "give_up", _nothing)
    await expire(url)


async def _nothing(lease: Lease) -> None:
    lease.rest()
