"""Performs effects: hands commands to drivers, bounded per host, and turns whatever happens into an outcome.

Promises: never raises for what a driver does; an exception of a driver is its bug, logged, and taken as unknown.
No more than `PER_PLACE` commands are at one host or pool at a time; the rest wait here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from interlock.drivers.protocol import Driver
from interlock.engine.core.decision import Effect
from interlock.engine.orchestrator import log
from interlock.schema.commands import Outcome, Refusal, Refused, Scope

PER_PLACE = 32
"""Too low: a big host starts its guests in line; too high: a hypervisor is asked for more than it can do at once."""


class Performer:
    """Sends commands to drivers."""

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers
        self._places: dict[str, _Place] = {}

    async def perform(self, effect: Effect, fence: int) -> Outcome:
        """Perform one effect; waits its turn at the place it goes to."""
        command = effect.command
        driver = self._drivers.get(command.driver)
        if driver is None:
            return Refused(
                kind=Refusal.PERMANENT,
                scope=Scope.HOST,
                reason=f"{command.at}: no driver {command.driver} is open",
            )
        place = self._places.setdefault(command.at, _Place())
        place.users += 1
        try:
            async with place.turn:
                return await _outcome(driver, effect, fence)
        finally:
            place.users -= 1
            if place.users == 0:
                self._places.pop(command.at, None)


class _Place:
    """A host or pool that commands are at; kept only while there are some."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(PER_PLACE)
        self.users = 0


async def _outcome(driver: Driver, effect: Effect, fence: int) -> Outcome:
    try:
        return await driver.perform(effect.command, token=effect.token, fence=fence)
    except Exception as error:
        log.logger().exception("a driver raised: its bug", driver=effect.command.driver, token=effect.token)
        return Refused(kind=Refusal.UNKNOWN, scope=Scope.HOST, reason=f"{effect.command.at}: {error!r}")
