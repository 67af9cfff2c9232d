"""A hunt: many runs of one seed, on several processes, until the events are used up or a promise is broken.

Promises: the result follows from seed, ground and budget alone, however many processes take part: runs are numbered,
and counted in the order of their numbers.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import msgspec

from interlock.testing.fuzz.coverage import Cell, Coverage
from interlock.testing.fuzz.events import Event
from interlock.testing.fuzz.run import Outcome, play, replay
from interlock.testing.fuzz.shrink import shrink
from interlock.testing.fuzz.universe import Setting
from interlock.testing.fuzz.violation import Violation

BATCH = 8
"""Runs of one task. Too few: processes talk more than they run; too many: the last task is waited for."""
AHEAD = 4
"""Tasks that wait for each process. Too few: it idles; too many: more is run than is counted in the end."""

MakeSetting = Callable[[], Setting]
"""Makes what a run is about, in each process anew: a function that stands in a module."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A run that breaks a promise."""

    number: int
    outcome: Outcome

    @property
    def violation(self) -> Violation:
        """What is broken."""
        assert self.outcome.violation is not None
        return self.outcome.violation


class Hunted(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a hunt."""

    runs: int
    events: int
    seconds: float
    digest: str
    """Of all journals: the same for the same seed, ground and budget."""
    coverage: Coverage
    found: Found | None


Part = tuple[list[Outcome], list[tuple[Cell, int]]]


def hunt(
    make: MakeSetting,
    seed: str,
    *,
    events: int,
    first: int = 0,
    jobs: int = 1,
    told: Callable[[int, int], None] = lambda runs, events: None,
) -> Hunted:
    """Run until `events` have happened, or a promise is broken.

    Args:
        make: what runs are about.
        seed: of the hunt.
        events: how many, at least.
        first: the number of the first run.
        jobs: processes; 1: this one.
        told: how far it is, from time to time.
    """
    begun, coverage, digest = time.perf_counter(), Coverage(), hashlib.sha256()
    runs = count = 0
    found: Found | None = None
    for outcomes, cells in _parts(make, seed, first, jobs):
        coverage.add(cells)
        for outcome in outcomes:
            digest.update(outcome.digest.encode())
            if outcome.violation is not None:
                found = Found(number=first + runs, outcome=outcome)
            runs += 1
            count += outcome.count
            if found is not None or count >= events:
                break
        told(runs, count)
        if found is not None or count >= events:
            break
    seconds = time.perf_counter() - begun
    return Hunted(runs=runs, events=count, seconds=seconds, digest=digest.hexdigest(), coverage=coverage, found=found)


def _parts(make: MakeSetting, seed: str, first: int, jobs: int) -> Iterator[Part]:
    if jobs == 1:
        setting = make()
        while True:
            yield _part(setting, seed, first)
            first += BATCH
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            yield from _in_order(pool, make, seed, first, jobs * AHEAD)
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, make: MakeSetting, seed: str, first: int, ahead: int) -> Iterator[Part]:
    waiting: list[Future[Part]] = []
    while True:
        while len(waiting) < ahead:
            waiting.append(pool.submit(_made_part, make, seed, first))
            first += BATCH
        yield waiting.pop(0).result()


_settings: dict[MakeSetting, Setting] = {}
"""What each process has made."""


def _made_part(make: MakeSetting, seed: str, first: int) -> Part:
    if make not in _settings:
        _settings[make] = make()
    return _part(_settings[make], seed, first)


def _part(setting: Setting, seed: str, first: int) -> Part:
    coverage = Coverage()
    outcomes = []
    for number in range(first, first + BATCH):
        outcomes.append(play(setting, seed, number, coverage=coverage))
        if outcomes[-1].violation is not None:
            break
    return outcomes, list(coverage.cells.items())


def shrunk(setting: Setting, found: Outcome) -> Outcome:
    """The shortest run that breaks the same promise, as far as leaving out goes."""
    assert found.violation is not None
    promise = found.violation.promise

    def fails(events: Sequence[Event]) -> Sequence[Event] | None:
        outcome = replay(setting, events)
        same = outcome.violation is not None and outcome.violation.promise == promise
        return outcome.events if same else None

    return replay(setting, shrink(found.events, fails))
