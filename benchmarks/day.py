"""What a recorded day costs to decide again, and to play otherwise: `python -m benchmarks.day`.

    python -m benchmarks.day                              # 10,000 deploys; some five minutes
    python -m benchmarks.day --deploys 1000 --db day.db   # keep what was recorded, and play with it:
    interlock --db day.db replay --check
    interlock --db day.db replay --planner dispersing --svg day.svg

A day is recorded once (people.py). A round reads its journal alone, which is the floor; decides all of it again, where
each decision must come out as it was; reads it as a script; plays that without a change, then under another planner.
Times are of the processor.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks import people
from benchmarks.command import Measured, Wrong, begin, ended, parser
from benchmarks.result import Figure, figure
from interlock.engine.orchestrator import plugins
from interlock.replay.otherwise.compare import Comparison, Figures, compared
from interlock.replay.otherwise.script import Script
from interlock.replay.otherwise.simulation import Change, Simulation
from interlock.replay.past import Past
from interlock.replay.recheck import Recheck, Verdict
from interlock.replay.rules import Book
from interlock.replay.source import opened

T = TypeVar("T")
READ = "reading the journal alone"
TIMES = {
    "decided": "decided again",
    "script": "read as a script",
    "same": "played without a change",
    "otherwise": "played under another planner",
}
"""Field of a round → what took so long."""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """Processor seconds of each, and what came of it."""

    transitions: int
    decisions: int
    read: float
    decided: float
    """Reading included, as in `script`; playing reads nothing."""
    script: float
    same: float
    otherwise: float
    usual: Comparison
    found: Comparison


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    begun = begin("day", arguments)
    asked = parser("day", __doc__)
    asked.add_argument("--deploys", type=int, default=10_000, help="VMs that are asked for (10000)")
    asked.add_argument("--seed", type=int, default=1, help="of what is asked (1)")
    asked.add_argument("--planner", default="dispersing", help="that it is played under (dispersing)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    asked.add_argument("--db", type=Path, help="a new SQLite file to keep the day in; by default it is removed")
    options = asked.parse_args(begun.arguments)
    if options.db is not None and options.db.exists():
        asked.error(f"{options.db} is there already; name another")
    return ended(begun, options, lambda: _measured(options))


def _measured(options: Namespace) -> Measured:
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        database = options.db or Path(folder) / "day.db"
        running = asyncio.run(people.record(database, options.deploys, options.seed))
        print(f"recorded; {running} VMs run at the day's end", file=sys.stderr)
        rounds = [_round(database, options.planner) for _ in range(options.rounds)]
    return Measured(
        figures=[*_costs(rounds), *_counts(rounds[0])],
        settings={
            "deploys": options.deploys,
            "seed": options.seed,
            "transitions": rounds[0].transitions,
            "decisions": rounds[0].decisions,
            "another planner": options.planner,
        },
    )


def _costs(rounds: Sequence[Round]) -> list[Figure]:
    def each(field: str) -> list[float]:
        return [getattr(taken, field) / taken.transitions * 1e6 for taken in rounds]

    floor = {READ: each("read")}
    costs = [figure(f"{what}: processor time of a transition", "µs", each(name), floor) for name, what in TIMES.items()]
    return [*costs, figure("decisions made again", "1/CPU s", [taken.decisions / taken.decided for taken in rounds])]


def _counts(taken: Round) -> list[Figure]:
    was, would_be = taken.found.recorded, taken.found.otherwise
    usual, found, fails = taken.usual, taken.found, {"failed, as recorded": [was.failed]}
    return [
        figure("VMs elsewhere without a change", "", [len(usual.moved)], {"all VMs": [usual.vms]}),
        figure("VMs elsewhere under another planner", "", [len(found.moved)], {"all VMs": [found.vms]}),
        figure("hosts in use under another planner", "", [_used(would_be)], {"in use, as recorded": [_used(was)]}),
        figure("operations that failed, and not under another planner", "", [len(found.succeeds)], fails),
        figure("operations that fail under another planner alone", "", [len(found.fails)], fails),
    ]


def _used(side: Figures) -> int:
    return len(side.shares("cpu"))


# --- a round


def _round(database: Path, planner: str) -> Round:
    book = Book(plugins.planners({}), plugins.gurus({}))
    read, transitions = _timed(lambda: asyncio.run(_read(database)))
    decided, decisions = _timed(lambda: asyncio.run(_decided(database, book)))
    scripted, script = _timed(lambda: asyncio.run(_script(database)))
    same, usual = _timed(lambda: _played(script, book, Change()))
    otherwise, found = _timed(lambda: _played(script, book, Change(planner=planner)))
    print(f"round: read {read:.1f} CPU s, decided {decided:.1f}, played {otherwise:.1f}", file=sys.stderr)
    return Round(
        transitions=transitions,
        decisions=decisions,
        read=read,
        decided=decided,
        script=scripted,
        same=same,
        otherwise=otherwise,
        usual=usual,
        found=found,
    )


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


async def _read(database: Path) -> int:
    async with opened(str(database)) as pages:
        return sum([len(page) async for page in pages])


async def _decided(database: Path, book: Book) -> int:
    """How many decisions there are, each as it was written.

    Raises:
        Wrong: one is not.
    """
    recheck = Recheck(Past(), book)
    async with opened(str(database)) as pages:
        async for page in pages:
            for _ in recheck.add(page):
                pass
    for _ in recheck.end():
        pass
    if set(recheck.counted) != {Verdict.SAME}:
        raise Wrong(f"not all was decided as it was written: {dict(recheck.counted)}")
    return recheck.counted[Verdict.SAME]


async def _script(database: Path) -> Script:
    script = Script()
    async with opened(str(database)) as pages:
        async for page in pages:
            script.add(page)
    script.end()
    return script


def _played(script: Script, book: Book, change: Change) -> Comparison:
    simulation = Simulation(script, book, change)
    simulation.run()
    return compared(script, simulation)


if __name__ == "__main__":
    sys.exit(main())
