"""How fast a journal is read, verified and rebuilt, and what memory that takes.

    python -m benchmarks.journal                          # 200,000 transitions
    python -m benchmarks.journal --transitions 1000000
    python -m benchmarks.journal --check                  # exit code 1 when memory grows or a ratio is missed

Each figure is taken in a process of its own, over a file of so many transitions and over one of a tenth of it: memory
is flat when both take the same. The floor reads the lines of the same file, decodes each as plain JSON and hashes it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import msgspec

from benchmarks.command import Measured, Wrong, begin, ended, parser
from benchmarks.result import Figure, figure
from benchmarks.story import life, story
from interlock.engine.core.rebuild import Rebuild
from interlock.engine.store import files
from interlock.engine.store.refill import refill
from interlock.engine.store.store import Store
from interlock.replay.crew import verify_together
from interlock.replay.export import export
from interlock.replay.rewind import Moment, rewound
from interlock.replay.source import opened
from interlock.replay.verify import Verified, verify_file
from interlock.schema.transition import Transition

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SMALL = 10
"""The short file is so many times shorter."""
TENTH = "a tenth as long"


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one run took."""

    transitions: int
    seconds: float
    cpu_seconds: float
    """Of all its processes."""
    peak_mib: float
    """Of all its processes, each at its most."""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """One tool, over the long file and over the short one."""

    what: str
    long: Cost
    short: Cost


# --- what is measured


def _floor(file: Path) -> int:
    count = 0
    with file.open("rb") as lines:
        for line in lines:
            json.loads(line)
            sha256(line).hexdigest()
            count += 1
    return count - 2


def _read(file: Path) -> int:
    return asyncio.run(_counted(file))


async def _counted(file: Path) -> int:
    async with opened(str(file)) as pages:
        return sum([len(page) async for page in pages])


def _alone(file: Path) -> int:
    with file.open("rb") as opened_file:
        return _true(verify_file(opened_file))


def _crew(file: Path) -> int:
    return _true(verify_together(str(file), CORES))


def _true(verified: Verified) -> int:
    if verified.findings:
        raise Wrong(f"{verified.findings[0]}")
    return verified.count


def _packed(file: Path) -> int:
    return _alone(file.with_suffix(".jsonl.zst"))


def _rebuilt(file: Path) -> int:
    async def all_rows() -> int:
        rebuilt = Rebuild()
        async with opened(str(file)) as pages:
            async for page in pages:
                for row in page:
                    rebuilt.add(row)
        return rebuilt.head

    return asyncio.run(all_rows())


def _rewound(file: Path) -> int:
    async def to_the_end() -> int:
        async with opened(str(file)) as pages:
            fleet = await rewound(pages, {}, Moment())
        return fleet.last.seq if fleet.last else 0

    return asyncio.run(to_the_end())


def _imported(file: Path) -> int:
    """Into a new database."""

    async def filled(folder: str) -> int:
        store = await Store.open(f"{folder}/copy.db")
        try:
            async with opened(str(file)) as pages:
                rebuilt = await refill(store, pages)
            return rebuilt.head
        finally:
            await store.close()

    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        return asyncio.run(filled(folder))


MEASURED: dict[str, Callable[[Path], int]] = {
    "json.loads and sha256 of each line": _floor,
    "read": _read,
    "verify, one process": _alone,
    "verify, a process for each core": _crew,
    "verify packed, one process": _packed,
    "rebuild in memory": _rebuilt,
    "rewind to the last": _rewound,
    "import into SQLite": _imported,
}
FLOOR, READ, ALONE, CREW, PACKED, *_ = MEASURED
"""The others keep every record that there ever was, because their result has them: their memory grows with these."""


# --- how


def measured(what: str, file: Path, transitions: int) -> Cost:
    """Run it in a new process, and see that it read all."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        cost = pool.submit(_measure, what, file).result()
    if cost.transitions != transitions:
        raise Wrong(f"{what} read {cost.transitions} of {transitions} transitions")
    return cost


def _measure(what: str, file: Path) -> Cost:
    began, spent = time.perf_counter(), _cpu()
    count = MEASURED[what](file)
    seconds, cpu_seconds = time.perf_counter() - began, _cpu() - spent
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    peak = _own_peak_mib() + children * (CORES if what == CREW else 0)
    return Cost(transitions=count, seconds=seconds, cpu_seconds=cpu_seconds, peak_mib=peak)


def _cpu() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _own_peak_mib() -> float:
    """Not ru_maxrss, which a process has from its parent."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def written(lived: list[Transition], transitions: int, file: Path) -> int:
    """Make a journal of about so many transitions, plain and packed; how many there are."""
    rows, last = story(lived, transitions), 0

    async def pages() -> AsyncIterator[list[Transition]]:
        nonlocal last
        for page in _paged(rows):
            last = page[-1].seq
            yield page

    with files.written(file) as plain, files.written(file.with_suffix(".jsonl.zst")) as packed:
        asyncio.run(export(pages(), lambda line: (plain(line), packed(line))))
    return last


def _paged(rows: Iterator[Transition]) -> Iterator[list[Transition]]:
    while page := list(islice(rows, 1000)):
        yield page


# --- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    begun = begin("journal", arguments)
    asked = parser("journal", __doc__)
    asked.add_argument("--transitions", type=int, default=200_000, help="of the long journal (200,000)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    options = asked.parse_args(begun.arguments)
    return ended(begun, options, lambda: _measured(options.transitions, options.rounds, options.folder))


def _measured(transitions: int, rounds: int, place: Path) -> Measured:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        return measure(transitions, rounds, Path(folder))


def measure(transitions: int, rounds: int, folder: Path) -> Measured:
    """Make both journals and run everything over them."""
    lived, long, short = life(), folder / "long.jsonl", folder / "short.jsonl"
    counts = {short: written(lived, transitions // SMALL, short), long: written(lived, transitions, long)}
    played = [_round(long, short, counts) for _ in range(rounds)]
    return Measured(
        figures=figures(played),
        settings={
            "transitions": counts[long],
            "MiB": round(long.stat().st_size / 2**20, 1),
            "MiB packed": round(long.with_suffix(".jsonl.zst").stat().st_size / 2**20, 1),
            "of the short one": counts[short],
        },
        detail={"rounds": msgspec.to_builtins(played)},
    )


def _round(long: Path, short: Path, counts: Mapping[Path, int]) -> list[Costs]:
    taken = []
    for what in MEASURED:
        costs = {file: measured(what, file, count) for file, count in counts.items()}
        taken.append(Costs(what=what, long=costs[long], short=costs[short]))
        print(f"{what}: {costs[long].seconds:.1f} s", file=sys.stderr)
    return taken


def figures(rounds: Sequence[Sequence[Costs]]) -> list[Figure]:
    """Of each tool its processor time beside the floor's, its rate by the clock, its memory beside a tenth as much."""
    found = []
    floors = [next(each for each in costs if each.what == FLOOR) for costs in rounds]
    for what in MEASURED:
        taken = [next(each for each in costs if each.what == what) for costs in rounds]
        floor = {} if what == FLOOR else {FLOOR: [_each(costs.long) for costs in floors]}
        found.append(figure(f"{what}: processor time of a transition", "µs", [_each(c.long) for c in taken], floor))
        found.append(figure(f"{what}: rate", "1/s", [c.long.transitions / c.long.seconds for c in taken]))
        tenth = {TENTH: [costs.short.peak_mib for costs in taken]}
        found.append(figure(f"{what}: peak memory", "MiB", [costs.long.peak_mib for costs in taken], tenth))
    return found


def _each(cost: Cost) -> float:
    return cost.cpu_seconds / cost.transitions * 1e6


if __name__ == "__main__":
    sys.exit(main())
