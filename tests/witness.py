"""Drivers around the simulator that see what the engine asks: one notes it, one does everything twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from interlock.drivers.simulator import Simulator
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Outcome

R = TypeVar("R", bound="Recorder")


class Recorder:
    """A driver that notes what it is asked."""

    def __init__(self, simulator: Simulator) -> None:
        self.inner = simulator
        self.seen: list[str] = []

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The simulator's."""
        return self.inner.capabilities

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        await self.inner.attach(hosts, pools)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        self.seen.append(type(command).__name__)
        return await self.inner.perform(command, token=token, fence=fence)

    async def close(self) -> None:
        """The test closes the simulator."""


class Twice(Recorder):
    """Performs everything twice, and holds that the second time changes nothing and answers the same."""

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        first = await self.inner.perform(command, token=token, fence=fence)
        before = await self.inner.world()
        second = await self.inner.perform(command, token=token, fence=fence)
        assert second == first
        assert await self.inner.world() == before
        self.seen.append(type(command).__name__)
        return second


def noted(kind: type[R]) -> tuple[list[R], type[R]]:
    """The witness that a world will make of its simulator, in a list, and the class to hand to the world."""
    made: list[R] = []

    class Noted(kind):  # type: ignore[valid-type, misc]
        def __init__(self, simulator: Simulator) -> None:
            super().__init__(simulator)
            made.append(self)

    return made, Noted
