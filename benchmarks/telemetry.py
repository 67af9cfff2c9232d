"""What it costs to be watched: `python -m benchmarks.telemetry`.

Three engines are open at once, each on a database of its own: one that nobody watches, one with metrics, one with
metrics and traces (the SDK's, which nobody exports). They deploy in turns of a few dozen, so that whatever else the
machine does meanwhile is spread over all of them; what is compared is the processor time of the process. A round is
all turns of all three, on fresh databases. And what a scrape takes, with a large cloud in memory.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import permutations
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest

from benchmarks.command import Measured, begin, ended, parser
from benchmarks.lab import Lab, cloud, database_in
from benchmarks.result import Figure, figure
from interlock import Engine
from interlock.drivers.simulator import Simulator
from interlock.engine.observer import Observer
from interlock.telemetry.metrics import Metrics
from interlock.telemetry.traces import Traces

OFF, METRICS, TRACES = "watched by nobody", "metrics", "metrics and traces"
WATCHED: dict[str, Callable[[], list[Observer]]] = {
    OFF: list,
    METRICS: lambda: [Metrics(CollectorRegistry())],
    TRACES: lambda: [Metrics(CollectorRegistry()), Traces(TracerProvider())],
}
ORDERS = list(permutations(WATCHED))
"""In which they take turns: each comes after each other one as often."""
TURN = 32
"""Deploys in a turn, all in flight together. Too few: opening and ending batches is most of it; too many: the machine
changes between two turns."""
SCRAPES = 5
"""Of a round; the median counts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    begun = begin("telemetry", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("telemetry", __doc__)
    asked.add_argument("--turns", type=int, default=12, help=f"of {TURN} deploys each, in a round (12)")
    asked.add_argument("--hosts", type=int, default=10_000, help="of the cloud that is scraped (10000)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    read = asked.parse_args(arguments)
    if min(read.turns, read.hosts, read.rounds) < 1:
        asked.error("--turns, --hosts and --rounds are at least 1")
    return read


def _measured(options: Namespace) -> Measured:
    rounds = [asyncio.run(_round(options)) for _ in range(options.rounds)]
    off = [each[OFF] for each in rounds]
    costs = [_cost(name, [each[name] for each in rounds], off) for name in (METRICS, TRACES)]
    scrapes = [asyncio.run(_scrape(options)) for _ in range(options.rounds)]
    scrape = figure(f"a scrape, {options.hosts:,} hosts", "ms CPU", scrapes)
    return Measured(figures=[*costs, scrape], settings={"deploys in a round, each": options.turns * TURN})


def _cost(name: str, values: list[float], off: list[float]) -> Figure:
    return figure(f"a deploy, {name}", "ms CPU", values, {OFF: off})


async def _round(options: Namespace) -> dict[str, float]:
    """Milliseconds of processor time that a deploy takes, by who watches."""
    spent = dict.fromkeys(WATCHED, 0.0)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        hosts = options.turns * TURN // 64 + 2
        labs = {name: await stack.enter_async_context(_lab(folder, name, hosts)) for name in WATCHED}
        for opened in labs.values():
            await opened.deploy(TURN, TURN)  # the first also takes the lease, and compiles statements
        for turn in range(options.turns):
            for name in ORDERS[turn % len(ORDERS)]:
                gc.collect()  # nobody pays for what another has left
                began = time.process_time()
                await labs[name].deploy(TURN, TURN)
                spent[name] += time.process_time() - began
        for opened in labs.values():
            await opened.verify()
    return {name: 1000 * seconds / (options.turns * TURN) for name, seconds in spent.items()}


@asynccontextmanager
async def _lab(folder: Path, name: str, hosts: int) -> AsyncIterator[Lab]:
    own = folder / name.replace(" ", "-")
    own.mkdir()
    simulator = await Simulator.at(own / "lab.simulator")
    try:
        drivers, observers = {"simulator": simulator}, WATCHED[name]()
        async with Engine.open(str(database_in(own)), drivers=drivers, observers=observers) as engine:
            await engine.load(cloud(hosts))
            yield Lab(engine, simulator, own, None, "vm-")
    finally:
        await simulator.close()


async def _scrape(options: Namespace) -> float:
    """Milliseconds of processor time that a scrape takes."""
    registry, taken = CollectorRegistry(), []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        simulator = await Simulator.at(Path(folder) / "lab.simulator")
        try:
            named, drivers = str(database_in(Path(folder))), {"simulator": simulator}
            async with Engine.open(named, drivers=drivers, observers=[Metrics(registry)]) as engine:
                await engine.load(cloud(options.hosts))
                for _ in range(SCRAPES):
                    began = time.process_time()
                    await asyncio.to_thread(generate_latest, registry)
                    taken.append(1000 * (time.process_time() - began))
        finally:
            await simulator.close()
    return sorted(taken)[SCRAPES // 2]


if __name__ == "__main__":
    sys.exit(main())
