"""How many events the fuzzer plays, with the oracle on and off: `python -m benchmarks.events`; a minute.

An event is what `interlock fuzz` counts: a request that is admitted and written, a decision, a commit, a command that
reaches the hypervisor, a crash, a cancel, time that goes by, and so on (docs/fuzzing.md). Requests that are refused are
decided as well, and are not counted.

A round plays one seed again and again: in one process with the oracle, without it, and with a clock around `decide`;
then in a process for each core, with the oracle and without. All must leave the same journals, or there are no figures.
What an event costs without the fuzzer stands beside: deciding alone, and looking its transitions up in the compiled
tables alone. Rates by the clock of several processes include starting them.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence

import msgspec

from benchmarks.command import Measured, Wrong, begin, ended, parser
from benchmarks.result import Figure, figure
from benchmarks.watched import Account, account, blind
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.hunt import Hunted, MakeSetting, hunt

ON, OFF = "oracle on", "oracle off"
DECIDED, DISPATCHED = "decide alone", "the compiled tables alone"
WARM = 1_000
"""Events before the clock starts. Too few: the first round pays for what is compiled once."""


class Played(msgspec.Struct, frozen=True):
    """A hunt, and what it took. Seconds of the clock, and of the processors."""

    events: int
    seconds: float
    cpu_seconds: float
    digest: str

    @property
    def rate(self) -> float:
        """Events per second of the clock."""
        return self.events / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Events per second of a processor."""
        return self.events / self.cpu_seconds


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One seed, played in each way."""

    on: Played
    off: Played
    many_on: Played
    many_off: Played
    decided: float
    """Events per processor second, were deciding all."""
    dispatched: float
    """The same, were it looking up transitions."""
    kinds: dict[str, int]
    skipped: int
    decisions: int
    transitions: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the target is met, if that was asked for."""
    begun = begin("events", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("events", __doc__)
    asked.add_argument("--events", type=int, default=30_000, help="of each hunt (30000)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    asked.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    read = asked.parse_args(arguments)
    if min(read.events, read.rounds, read.jobs) < 1:
        asked.error("--events, --rounds and --jobs are at least 1")
    return read


def _measured(options: Namespace) -> Measured:
    for make in (ground.setting, blind):
        hunt(make, "warm", events=min(WARM, options.events))
    rounds = [_round(options, f"round {number}") for number in range(options.rounds)]
    kinds: Counter[str] = sum((Counter(each.kinds) for each in rounds), Counter())
    return Measured(
        figures=_figures(options, rounds),
        settings={
            "events of a hunt": options.events,
            "processes": options.jobs,
            "events by kind, of 100": _shares(kinds),
            "requests refused and the like, for 100 events": _per(100, [each.skipped for each in rounds], rounds),
            "decisions of an event": _per(1, [each.decisions for each in rounds], rounds),
            "transitions of an event": _per(1, [each.transitions for each in rounds], rounds),
        },
        detail={"rounds": rounds},
    )


def _round(options: Namespace, seed: str) -> Round:
    on = _played(ground.setting, seed, options.events, 1)
    off = _played(blind, seed, options.events, 1)
    with account() as kept:
        counted = _played(blind, seed, options.events, 1)
    many_on = _played(ground.setting, seed, options.events, options.jobs)
    many_off = _played(blind, seed, options.events, options.jobs)
    if len({each.digest for each in (on, off, counted, many_on, many_off)}) > 1:
        raise Wrong(f"seed {seed!r} has left other journals with the oracle or in several processes")
    return _of(on, off, many_on, many_off, kept)


def _of(on: Played, off: Played, many_on: Played, many_off: Played, kept: Account) -> Round:
    return Round(
        on=on,
        off=off,
        many_on=many_on,
        many_off=many_off,
        decided=on.events / kept.decided,
        dispatched=on.events / kept.dispatched(),
        kinds=dict(kept.kinds),
        skipped=kept.skipped,
        decisions=kept.decisions,
        transitions=len(kept.moves),
    )


def _played(make: MakeSetting, seed: str, events: int, jobs: int) -> Played:
    before, began = os.times(), time.process_time()
    hunted: Hunted = hunt(make, seed, events=events, jobs=jobs)
    spent, after = time.process_time() - began, os.times()
    if hunted.found is not None:
        raise Wrong(f"run {hunted.found.number} of seed {seed!r} breaks a promise: {hunted.found.violation}")
    spent += after.children_user + after.children_system - before.children_user - before.children_system
    return Played(hunted.events, hunted.seconds, spent, hunted.digest)


def _figures(options: Namespace, rounds: Sequence[Round]) -> list[Figure]:
    one, many = "one process", "a process for each core"
    off = {OFF: [each.off.cpu_rate for each in rounds]}
    bare = {DECIDED: [each.decided for each in rounds], DISPATCHED: [each.dispatched for each in rounds]}
    return [
        figure(f"events, {ON}, {one}", "1/CPU s", [each.on.cpu_rate for each in rounds], {**off, **bare}),
        figure(f"events, {ON}, {one}, by the clock", "1/s", [each.on.rate for each in rounds]),
        figure(
            f"events, {ON}, {many}, by the clock",
            "1/s",
            [each.many_on.rate for each in rounds],
            {
                f"{ON}, {one}": [each.on.rate for each in rounds],
                f"{OFF}, {many}": [each.many_off.rate for each in rounds],
            },
        ),
        figure(
            f"events, {ON}, {many}",
            "1/CPU s",
            [each.many_on.cpu_rate for each in rounds],
            {f"{ON}, {one}": [each.on.cpu_rate for each in rounds]},
        ),
    ]


def _shares(kinds: Counter[str]) -> str:
    """By kind, the commonest first."""
    return ", ".join(f"{kind.lower()} {100 * count / kinds.total():.2g}" for kind, count in kinds.most_common())


def _per(events: int, counts: Sequence[int], rounds: Sequence[Round]) -> float:
    return round(events * sum(counts) / sum(each.on.events for each in rounds), 2)


if __name__ == "__main__":
    sys.exit(main())
