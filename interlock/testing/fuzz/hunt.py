"""A hunt: many runs of one seed, on several processes, until the events are used up or a promise is broken.

Promises: the result follows from seed, ground and budget alone, however many processes take part: runs are numbered,
and counted in the order of their numbers.
"""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain
from itertools import count as numbers
from multiprocessing import get_context

import msgspec

from interlock.testing.fuzz.coverage import Cell, Coverage
from interlock.testing.fuzz.events import Event
from interlock.testing.fuzz.run import Outcome, play, replay
from interlock.testing.fuzz.shrink import shrink
from interlock.testing.fuzz.universe import Setting
from interlock.testing.fuzz.violation import Violation

BATCH = 4
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


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a process tells of a run: no more than is needed, for it is all copied to another."""

    count: int
    digest: str
    cells: list[tuple[Cell, int]]
    broken: Outcome | None
    """The run, if it broke a promise."""


Part = list[Told]


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
    for run in chain.from_iterable(_parts(make, seed, first, jobs)):
        coverage.add(run.cells)
        digest.update(run.digest.encode())
        if run.broken is not None:
            found = Found(number=first + runs, outcome=run.broken)
        runs += 1
        count += run.count
        told(runs, count)
        if found is not None or count >= events:
            break
    seconds = time.perf_counter() - begun
    return Hunted(runs=runs, events=count, seconds=seconds, digest=digest.hexdigest(), coverage=coverage, found=found)


def _parts(make: MakeSetting, seed: str, first: int, jobs: int) -> Iterator[Part]:
    if jobs == 1:
        setting = make()
        yield from ([_told(setting, seed, number)] for number in numbers(first))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_deaf) as pool:
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


def _deaf() -> None:
    """Ctrl-C reaches all processes of a terminal; that of the hunt hears it, and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_settings: dict[MakeSetting, Setting] = {}
"""What each process has made."""


def _made_part(make: MakeSetting, seed: str, first: int) -> Part:
    if make not in _settings:
        _settings[make] = make()
    part: Part = []
    for number in range(first, first + BATCH):
        part.append(_told(_settings[make], seed, number))
        if part[-1].broken is not None:
            break
    return part


def _told(setting: Setting, seed: str, number: int) -> Told:
    coverage = Coverage()
    outcome = play(setting, seed, number, coverage=coverage)
    return Told(
        count=outcome.count,
        digest=outcome.digest,
        cells=list(coverage.cells.items()),
        broken=outcome if outcome.violation is not None else None,
    )


def shrunk(setting: Setting, found: Outcome, told: Callable[[], None] = lambda: None) -> Outcome:
    """The shortest run that breaks the same promise, as far as leaving out goes; `told` before each that is tried."""
    assert found.violation is not None
    promise = found.violation.promise

    def fails(events: Sequence[Event]) -> Sequence[Event] | None:
        told()
        outcome = replay(setting, events)
        same = outcome.violation is not None and outcome.violation.promise == promise
        return outcome.events if same else None

    return replay(setting, shrink(found.events, fails))
