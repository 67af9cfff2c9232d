"""A performer of which observers are told: when a driver is called, and what it answers.

Promises: an effect that is cut off (its deadline, the engine's end) is told of as well. What it waits for its turn at
its place is not counted as the driver's time. Never changes what is performed or answered.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.drivers.protocol import Driver
from interlock.engine.core.decision import Effect
from interlock.engine.observer import Observers
from interlock.engine.orchestrator.effects import Performer
from interlock.schema.commands import Outcome


def performer(drivers: Mapping[str, Driver], look_within: float, observer: Observers | None) -> Performer:
    """One of which the observer is told; without any, a plain one."""
    if observer is None:
        return Performer(drivers, look_within)
    return Watched(drivers, look_within, observer)


class Watched(Performer):
    """See `Performer`."""

    def __init__(self, drivers: Mapping[str, Driver], look_within: float, observer: Observers) -> None:
        super().__init__(drivers, look_within)
        self._observer = observer

    async def _within(self, driver: Driver, effect: Effect, fence: int) -> Outcome:
        finish, outcome = self._observer.performing(effect, fence), None
        try:
            outcome = await super()._within(driver, effect, fence)
            return outcome
        finally:
            finish(outcome)
