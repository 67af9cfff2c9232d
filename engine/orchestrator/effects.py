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
from interlock.schema.commands import AnyCommand, AtPool, Done, LookForDomain, Outcome, Refusal, Refused, Scope
from interlock.schema.reports import Found, Power
from interlock.schema.words import clean

PER_PLACE = 64
"""Too low: a big host or a shared pool is asked in line, and what is in flight falls into groups with commits of their
own; too high: a hypervisor is asked for more than it can do at once, by a driver that has no limit of its own."""


class Performer:
    """Sends commands to drivers.

    Args:
        look_within: seconds that a host has to say what is there. All else takes as long as it takes, until its
            deadline; but a host that does not even say that counts as not answering.
    """

    def __init__(self, drivers: Mapping[str, Driver], look_within: float) -> None:
        self._drivers = drivers
        self._look_within = look_within
        self._places: dict[str, _Place] = {}

    async def perform(self, effect: Effect, fence: int) -> Outcome:
        """Perform one effect; waits its turn at the place it goes to."""
        command = effect.command
        driver = self._drivers.get(command.driver)
        if driver is None:
            scope = Scope.POOL if isinstance(command, AtPool) else Scope.HOST
            reason = f"{command.at}: no driver {command.driver} is open; install it and open the engine again"
            return Refused(kind=Refusal.PERMANENT, scope=scope, reason=reason)
        place = self._places.setdefault(command.at, _Place())
        place.users += 1
        try:
            async with place.turn:
                return await self._within(driver, effect, fence)
        finally:
            place.users -= 1
            if place.users == 0:
                self._places.pop(command.at, None)

    async def _within(self, driver: Driver, effect: Effect, fence: int) -> Outcome:
        if not isinstance(effect.command, LookForDomain):
            return await _outcome(driver, effect, fence)
        try:
            async with asyncio.timeout(self._look_within):
                return await _outcome(driver, effect, fence)
        except TimeoutError:
            reason = f"{effect.command.at}: it does not say within {self._look_within} s what is there"
            return Refused(kind=Refusal.UNKNOWN, scope=Scope.HOST, reason=reason)


class _Place:
    """A host or pool that commands are at; kept only while there are some."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(PER_PLACE)
        self.users = 0


async def _outcome(driver: Driver, effect: Effect, fence: int) -> Outcome:
    try:
        return _checked(effect.command, await driver.perform(effect.command, token=effect.token, fence=fence))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return _bug(effect, error)  # nobody cancelled us: it comes out of the driver
    except Exception as error:
        return _bug(effect, error)


def _checked(command: AnyCommand, answer: object) -> Outcome:
    """The outcome, if it is one: what drivers say goes into records."""
    if isinstance(answer, Refused):
        return Refused(kind=Refusal(answer.kind), scope=Scope(answer.scope), reason=clean(answer.reason))
    if isinstance(answer, Done) and not isinstance(command, LookForDomain):
        return answer
    if isinstance(answer, Done) and isinstance(answer.found, Found):
        return Done(found=Found(Power(answer.found.power), clean(answer.found.reason)))
    if isinstance(answer, Done):
        raise TypeError("perform of LookForDomain must say what was found: Done(found=Found(…))")
    raise TypeError(f"perform must answer Done or Refused, not {answer!r}")


def _bug(effect: Effect, error: BaseException) -> Outcome:
    command = effect.command
    log.say("exception", "a driver raised: its bug", driver=command.driver, token=effect.token)
    reason = clean(f"{command.at}: driver {command.driver}: {error!r}")
    # A look changes nothing, and a bug in it says nothing about the host: nobody is to be taken for lost by it.
    kind = Refusal.PERMANENT if isinstance(command, LookForDomain) else Refusal.UNKNOWN
    return Refused(kind=kind, scope=Scope.HOST, reason=reason)
