"""The driver that a kit is about: how it is opened, what is in its world, and the places it is told of.

Promises: each check has a driver of its own in a fresh folder, an event loop of its own, and nothing in the world; when
it ends, all that was said is undone and the driver is closed. No pytest plug-in is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from interlock.drivers.protocol import Driver, Home
from interlock.schema.commands import AnyCommand
from interlock.testing.kits import promises as p
from interlock.testing.kits.broken import Broken
from interlock.testing.kits.lives import cancelled
from interlock.testing.kits.model import Model
from interlock.testing.kits.scene import Scene
from interlock.testing.kits.told import Told
from interlock.testing.seen import Seen, differences

Check = Callable[[Any, Told], Awaitable[None]]


def check(body: Check) -> Callable[[Any, Path], None]:
    """A check as a test: with a driver of its own in a fresh folder, in an event loop of its own."""

    def test(self: DriverUnderTest, tmp_path: Path) -> None:
        in_a_loop(self._with_driver(tmp_path, partial(body, self)))

    test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
    return test


def in_a_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop of its own; a failure comes without the frames of the kit, for its message says it all."""
    try:
        asyncio.run(work)
    except Broken as broken:
        raise broken.with_traceback(None) from broken.__cause__


class DriverUnderTest:
    """What a subclass says of its driver."""

    scene: ClassVar[Scene] = Scene()
    examples: ClassVar[int] = 25
    """Random sequences of commands, of about twenty each. Too few: rare orders are never met; 0: none, for drivers
    that are too slow."""
    patience: ClassVar[float] = 30.0
    """Seconds that one answer may take."""
    world_outlives: ClassVar[bool] = True
    """Whether the world is there when the driver is closed and opened again."""

    async def make(self, home: Home) -> Driver:
        """Open the driver; `home` says where it may keep files. Opened again with the same home, it is the same."""
        raise NotImplementedError(
            f"{type(self).__name__} must say how its driver is opened: async def make(self, home)"
        )

    async def observe(self, driver: Driver) -> Seen:
        """What is in the world, of all whose ids begin with `kit-`: not what the driver believes, but the truth."""
        raise NotImplementedError(
            f"{type(self).__name__} must say what is in the world: async def observe(self, driver)"
        )

    # Plumbing

    async def _with_driver(self, folder: Path, body: Callable[[Told], Awaitable[None]]) -> None:
        async with self._told(folder) as told:
            await body(told)

    @asynccontextmanager
    async def _told(self, folder: Path) -> AsyncIterator[Told]:
        open = partial(self._open, Home(folder, "kit"))
        told = Told(open, self.observe, self.scene, self.patience, await open())
        try:
            if wrong := differences(Seen(), await told.world()):
                raise AssertionError(f"observe() shows before anything was said: {'; '.join(wrong)}; leave it out")
            yield told
        finally:
            await told.tidy()
            await told.driver.close()

    async def _open(self, home: Home) -> Driver:
        driver = await self.make(home)
        await driver.attach(self.scene.hosts, self.scene.pools)
        return driver

    def _model(self, told: Told) -> Model:
        return Model(self.scene, told.driver.capabilities)

    def _life(self, told: Told) -> list[AnyCommand]:
        return self.scene.life(told.driver.capabilities)

    async def _ready(self, told: Told) -> None:
        """All is ready for a guest to start."""
        for command in self.scene.up()[:2]:
            await told.done(command, p.DONE_MEANS)

    async def _up(self, told: Told) -> None:
        for command in self.scene.up():
            await told.done(command, p.DONE_MEANS)

    async def _use(self, told: Told) -> None:
        await self._up(told)
        await cancelled(told, told.new(self.scene.reboot()), 1)
