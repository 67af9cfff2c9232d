"""The pytest plug-in: a fixture that fuzzes the lifecycle with one's own planner, guru or driver, and options for it.

    def test_nothing_breaks_with_my_planner(lifecycle):
        lifecycle(my_ground)

`my_ground` is a function that makes a `Setting` (docs/fuzzing.md). A broken promise fails the test with the shortest
timeline that breaks it, and the command line that repeats it. Loaded by pytest wherever Interlock is installed: it
imports nothing of Interlock until the fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from interlock.testing.fuzz.hunt import Hunted, MakeSetting

EVENTS = 20_000
"""Events of one hunt, unless the command line says otherwise. Too few: rare races are missed; too many: one waits."""

Lifecycle = Callable[["MakeSetting"], "Hunted"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Seed and budget."""
    group = parser.getgroup("interlock", "the lifecycle fuzzer")
    group.addoption("--interlock-seed", default="0", metavar="SEED", help="Seed of the hunts. Default 0.")
    group.addoption(
        "--interlock-events", default=EVENTS, type=int, metavar="N", help=f"Events of each hunt. Default {EVENTS}."
    )


@pytest.fixture
def lifecycle(request: pytest.FixtureRequest) -> Lifecycle:
    """Hunts on a ground, and fails the test with the story of what it finds; returns what was hunted otherwise."""
    seed, events = request.config.getoption("--interlock-seed"), request.config.getoption("--interlock-events")

    def hunted_on(make: MakeSetting) -> Hunted:
        from interlock.testing.fuzz.hunt import hunt, shrunk
        from interlock.testing.fuzz.timeline import timeline

        hunted = hunt(make, seed, events=events)
        if hunted.found is not None:
            setting = make()
            short = shrunk(setting, hunted.found.outcome)
            story = "\n".join(timeline(setting, short.events))
            ground = f"{make.__module__}:{make.__qualname__}"
            repeat = f"interlock fuzz --seed {seed} --ground {ground} --run {hunted.found.number}"
            pytest.fail(f"{hunted.found.violation}\n\n{story}\n\nTo repeat it: {repeat}", pytrace=False)
        return hunted

    return hunted_on
