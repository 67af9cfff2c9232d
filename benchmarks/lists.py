"""What a deploy and a page of a list cost with few VMs and with many: `python -m benchmarks.lists`.

Databases of each size are filled in bulk (`filled.py`) and opened by an engine each. Then they take turns: some deploys
one at a time, some in flight together, a page of each list, the counts. Beside each figure stands the same on the
smallest database, in the same round. What is held is processor time, for a busy machine does not slow it; the time
that passed is told beside it in the detail. Opening is measured once a size, in a process of its own.

With `--postgresql` each is a database of one server. That works in processes of its own, so what is held is time.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import count
from operator import attrgetter
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from benchmarks import filled
from benchmarks.command import ROOT, Measured, Wrong, begin, ended, parser
from benchmarks.lab import PER_HOST
from benchmarks.result import Curve, Figure, figure, flat, line
from interlock import DeployVM, Engine
from interlock.drivers.simulator import Simulator
from interlock.engine.orchestrator.clock import now

SIZES = (1_000, 100_000)
FULL = 1_000_000
BEGAN = now()
WARM = 40
"""Deploys and pages before anything is measured. Too few: the first round pays for caches; too many: time."""
OPENING = """
import asyncio, time
from pathlib import Path
from interlock import Engine
async def main():
    began = time.perf_counter(), time.process_time()
    async with Engine.open({url!r}, recover=False):
        print([time.perf_counter() - began[0], time.process_time() - began[1],
               int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024])
asyncio.run(main())
"""


class Cost(msgspec.Struct, frozen=True):
    """Of one piece of work: processor time and time, in µs."""

    cpu: float
    wall: float


Work = Callable[["Lab"], Awaitable[object]]


class Lab:
    """One open engine on a database of a size."""

    def __init__(self, engine: Engine, vms: int) -> None:
        self.engine, self.vms = engine, vms
        self._names = count()

    async def deploy(self, deploys: int, in_flight: int) -> None:
        """VMs, one NIC and one volume each, until they run."""
        # A database from before has VMs of earlier runs.
        names = iter([f"new-{BEGAN}-{next(self._names)}" for _ in range(deploys)])

        async def each() -> None:
            for name in names:
                wish = DeployVM(name=name, offering="small", template="debian")
                await (await self.engine.deploy(wish)).wait()

        await asyncio.gather(*(each() for _ in range(in_flight)))

    @property
    def middle(self) -> str:
        """The id of a VM in the middle of all."""
        return filled._id(self.vms // 2, 0)

    @property
    def tenant(self) -> str:
        """An account in the middle."""
        return f"tenant-{self.vms // 2 // filled.TENANTS_OF}"

    @property
    def host(self) -> str:
        """A full host."""
        return f"host-{(self.vms - 1) // 2 // filled.CLUSTER_OF}-1"


PAGES: Mapping[str, Work] = {
    "the first page": lambda lab: lab.engine.vms(),
    "a page in the middle": lambda lab: lab.engine.vms(after=lab.middle),
    "the youngest": lambda lab: lab.engine.vms(order="youngest"),
    "a page by name": lambda lab: lab.engine.vms(prefix="old-00004"),
    "Running, in the middle": lambda lab: lab.engine.vms(state="Running", after=lab.middle),
    "of an account": lambda lab: lab.engine.vms(account=lab.tenant),
    "of a host": lambda lab: lab.engine.vms(host=lab.host),
    "on a network": lambda lab: lab.engine.vms(network="net-0"),
    "of an account, Stopped": lambda lab: lab.engine.vms(account=lab.tenant, state="Stopped", limit=40),
    "disks, in the middle": lambda lab: lab.engine.disks(after=filled._id(lab.vms // 2, 2)),
    "operations": lambda lab: lab.engine.all_operations(),
    "counts of all": lambda lab: lab.engine.counts(),
    "counts of an account": lambda lab: lab.engine.counts(account=lab.tenant),
    "one VM by name": lambda lab: lab.engine.vm(f"old-{lab.vms // 2:07}"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    begun = begin("lists", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: asyncio.run(_measured(options)))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("lists", __doc__)
    asked.add_argument(
        "--vms", type=int, nargs="+", default=list(SIZES), help="sizes, the smallest first (1000 100000)"
    )
    asked.add_argument("--full", action="store_true", help=f"with {FULL:,} VMs as well: 5 GB, and minutes to fill")
    asked.add_argument("--deploys", type=int, default=64, help="of a round and size, alone and together (64)")
    asked.add_argument("--pages", type=int, default=20, help="of a round, size and list (20)")
    asked.add_argument("--rounds", type=int, default=5, help="how often; medians are shown (5)")
    asked.add_argument("--filled", type=Path, help="a folder with databases from before, as VMS.db; taken as they are")
    asked.add_argument(
        "--postgresql",
        nargs="?",
        const="",
        metavar="URL",
        help="not SQLite: a PostgreSQL of its own, or the server of a database in which others may be made",
    )
    read = asked.parse_args(arguments)
    if read.postgresql is not None and read.filled is not None:
        asked.error("--filled keeps SQLite's files; a database of a server is filled each time")
    if min(*read.vms, read.deploys, read.pages, read.rounds) < 1:
        asked.error("--vms, --deploys, --pages and --rounds are at least 1")
    read.vms = sorted({*read.vms, *([FULL] if read.full else [])})
    return read


async def _measured(options: Namespace) -> Measured:
    with TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        async with AsyncExitStack() as stack:
            urls = await _urls(stack, options, folder)
            for vms, url in urls.items():
                await _fill(options, url, vms)
            opening = {vms: _opening(url) for vms, url in urls.items()}
            costs = await _costs(options, folder, urls)
    held = CPU if options.postgresql is None else WALL
    return Measured(
        figures=[*_figures(options, costs, held), *_of_opening(opening)],
        curves=[_curve(options.vms, costs, held)],
        settings={
            "database": "SQLite" if options.postgresql is None else "PostgreSQL",
            "sizes": ", ".join(f"{vms:,}" for vms in options.vms),
            "deploys a round": options.deploys,
        },
        detail={"wall µs": {str(vms): _walls(found) for vms, found in costs.items()}},
    )


async def _urls(stack: AsyncExitStack, options: Namespace, folder: Path) -> dict[int, str]:
    """Where the database of each size is."""
    if options.postgresql is None:
        return {vms: str(folder / f"{vms}.db") for vms in options.vms}
    from benchmarks.server import database, server

    named = stack.enter_context(server(options.postgresql or None))
    return {vms: await stack.enter_async_context(database(named)) for vms in options.vms}


async def _fill(options: Namespace, url: str, vms: int) -> None:
    spare = 2 + (2 * options.rounds * options.deploys + 2 * WARM) // PER_HOST
    known = options.filled / f"{vms}.db" if options.filled is not None else None
    if known is not None and _linked(url, known):
        return
    print(f"filling {vms:,} VMs …", file=sys.stderr)
    await filled.fill(url, vms, spare_hosts=spare)
    if known is not None:
        known.parent.mkdir(parents=True, exist_ok=True)
        copyfile(url, known)


def _linked(file: str, known: Path) -> bool:
    """Whether there is a database from before; it is taken as it is."""
    if not known.exists():
        return False
    Path(file).symlink_to(known.resolve())
    return True


def _opening(url: str) -> list[float]:
    """Seconds, processor seconds and MiB of a process that opens an engine."""
    told = [sys.executable, "-c", OPENING.format(url=url)]
    runs = [subprocess.run(told, capture_output=True, text=True, check=True, cwd=ROOT) for _ in range(3)]
    return min(json.loads(run.stdout) for run in runs)


Costs = dict[int, dict[str, list[Cost]]]
"""By size and work, of each round."""


async def _costs(options: Namespace, folder: Path, urls: Mapping[int, str]) -> Costs:
    costs: Costs = {vms: {} for vms in urls}
    async with AsyncExitStack() as stack:
        labs = [await _lab(stack, folder, url, vms) for vms, url in urls.items()]
        for lab in labs:
            await lab.deploy(WARM, 1)
            for work in PAGES.values():
                await work(lab)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            # Those who go first would always find the other's caches cold.
            for lab in labs if number % 2 else reversed(labs):
                await _round(options, lab, costs[lab.vms])
        for lab in labs:
            await _verify(lab)
    return costs


async def _lab(stack: AsyncExitStack, folder: Path, url: str, vms: int) -> Lab:
    simulator = await Simulator.at(folder / f"{vms}.simulator")
    stack.push_async_callback(simulator.close)
    opened = Engine.open(url, drivers={"simulator": simulator}, listen=False)
    return Lab(await stack.enter_async_context(opened), vms)


async def _round(options: Namespace, lab: Lab, costs: dict[str, list[Cost]]) -> None:
    counters = lab.engine.counters
    before = counters.statements
    for name, in_flight in (("a deploy, alone", 1), ("a deploy, in flight", 64)):

        async def deploys(lab: Lab, flying: int = in_flight) -> None:
            await lab.deploy(options.deploys, flying)

        costs.setdefault(name, []).append(await _timed(deploys, lab, options.deploys))
    executions = (counters.statements - before) / options.deploys / 2
    costs.setdefault("SQL executions of a deploy", []).append(Cost(executions, executions))
    for name, work in PAGES.items():

        async def pages(lab: Lab, work: Work = work) -> None:
            for _ in range(options.pages):
                await work(lab)

        costs.setdefault(name, []).append(await _timed(pages, lab, options.pages))


async def _timed(work: Work, lab: Lab, times: int) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    await work(lab)
    return Cost(*(1e6 * spent / times for spent in (time.process_time() - cpu, time.perf_counter() - wall)))


async def _verify(lab: Lab) -> None:
    """All that was asked for is there and sound.

    Raises:
        Wrong: it is not.
    """
    findings, counts = await lab.engine.check(), await lab.engine.counts(account="system")
    total = sum((await lab.engine.counts()).values())
    if findings or set(counts) != {"Running"} or total - counts["Running"] != lab.vms:
        raise Wrong(f"{lab.vms} VMs: the check says {findings or 'nothing'}, deployed are {counts}, of {total}")


# --- what it comes to


def name_of(work: str, vms: int) -> str:
    """Of a figure."""
    return f"{work}, {vms:,} VMs"


class Held(NamedTuple):
    """What of a cost is held."""

    unit: str
    of: Callable[[Cost], float]


CPU, WALL = Held("µs CPU", attrgetter("cpu")), Held("µs", attrgetter("wall"))


def _figures(options: Namespace, costs: Costs, held: Held) -> list[Figure]:
    least = options.vms[0]
    found = []
    for vms in options.vms:
        for work, rounds in costs[vms].items():
            unit = "" if work.startswith("SQL") else held.unit
            small = {f"with {least:,} VMs": [held.of(cost) for cost in costs[least][work]]} if vms != least else None
            found.append(figure(name_of(work, vms), unit, [held.of(cost) for cost in rounds], small))
    return found


def _of_opening(opening: Mapping[int, list[float]]) -> list[Figure]:
    return [
        figure(name_of(f"opening an engine: {what}", vms), unit, [found[place] * factor])
        for vms, found in opening.items()
        for place, (what, unit, factor) in enumerate(
            (("time", "ms", 1e3), ("processor time", "ms CPU", 1e3), ("memory of the process", "MiB", 1.0))
        )
    ]


def _curve(sizes: Sequence[int], costs: Costs, held: Held) -> Curve:
    drawn = ("a deploy, in flight", "a deploy, alone", "a page in the middle", "counts of all")
    lines = [line(work, {vms: [held.of(cost) for cost in costs[vms][work]] for vms in sizes}) for work in drawn]
    return Curve(
        name="sizes",
        title="What a deploy and a page cost, by how many VMs there are",
        x="VMs in the database",
        y=held.unit,
        lines=[*lines, flat(lines[0])],
        log_x=True,
    )


def _walls(costs: Mapping[str, list[Cost]]) -> dict[str, Any]:
    return {work: round(statistics.median(cost.wall for cost in rounds), 1) for work, rounds in costs.items()}


if __name__ == "__main__":
    sys.exit(main())
