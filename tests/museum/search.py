"""How an exhibit is sought: seeds 0, 1, 2, … are played with the bug put in, until a promise is broken.

Promises: a seed that finds it passes without the bug; else it was not the bug that was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from interlock.testing.fuzz import run
from interlock.testing.fuzz.events import Event
from interlock.testing.fuzz.ground import setting
from interlock.testing.fuzz.run import Outcome, play, replay
from interlock.testing.fuzz.shrink import shrink
from tests.museum import books, deciding, driving, unwinding, working  # noqa: F401 - what hangs in them
from tests.museum.exhibit import Exhibit, Fired
from tests.museum.planting import swapped

SEEDS = 200
"""Seeds that are played before an exhibit counts as not found. Too few: chance decides; too many: a blind oracle is
noticed late."""
SEED = "0"
"""What is counted are the runs of this one."""
PATIENCE = 3000
"""Events after which a run without faults counts as one that never ends, instead of the fuzzer's 20,000: with bugs
that never end, most time went there. Too low: one that ends counts as one that does not; the longest have 700."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """How an exhibit was found.

    `seeds`: how many were needed, the last of which found it; `events`: of that run, until then; `fired`: how often
    the bug had made a difference in it.
    """

    seeds: int
    events: int
    fired: int
    promise: str
    message: str
    run: tuple[Event, ...]

    @property
    def seed(self) -> str:
        """The one that found it."""
        return str(self.seeds - 1)


def find(exhibit: Exhibit, seeds: Iterable[int] = range(SEEDS)) -> Found | None:
    """Play until a promise is broken; None if none was."""
    for seed in seeds:
        fired = Fired()
        with exhibit.plant(fired):
            outcome = _played(seed)
        if outcome.violation is not None:
            return Found(
                seeds=seed + 1,
                events=outcome.count,
                fired=fired.count,
                promise=outcome.violation.promise,
                message=str(outcome.violation),
                run=outcome.events,
            )
    return None


def passes(seed: int | str) -> bool:
    """Whether the product without any bug keeps all promises on a seed."""
    return _played(seed).violation is None


def _played(seed: int | str) -> Outcome:
    with swapped(run, REST_MOST=PATIENCE):
        return play(setting(), SEED, int(seed))


def timeline(exhibit: Exhibit, found: Found) -> list[Event]:
    """The shortest story, as far as leaving out goes, in which the exhibit breaks the same promise."""

    def fails(events: Sequence[Event]) -> Sequence[Event] | None:
        with exhibit.plant(Fired()), swapped(run, REST_MOST=PATIENCE):
            outcome = replay(setting(), events)
        same = outcome.violation is not None and outcome.violation.promise == found.promise
        return outcome.events if same else None

    return shrink(found.run, fails)
