"""Whether anything grows that should not: `python -m benchmarks.soak --operations 1000000`.

VMs live side by side, each through the same operations from deploy to expunge (lives.py), through the whole stack in
one process, the simulator at latency 0. Every so many operations all of them pause, and what the process holds is read:
memory, open files, threads, tasks, timers, objects of our own, and the files on the disk. After the warm-up nothing of
that may grow but the files, which hold what happened. 200,000 operations, as by default, take some eight minutes; a
million three quarters of an hour.

What memory stands beside: the same process after the warm-up, and before its first operation.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.command import Measured, Wrong, begin, ended, parser
from benchmarks.lives import Led, Lives, cloud
from benchmarks.readings import Reading, Table, quiet, read, tables
from benchmarks.result import Curve, Figure, Line, figure, flat, line
from interlock import Engine
from interlock.drivers.simulator import Simulator

MEMORY = "resident memory, most after the warm-up"
WARM, COLD = "after the warm-up", "before the first operation"
CONSTANT = ("files", "threads", "tasks")
"""What may not change at all after the warm-up."""
READERS = 16
"""Reads at once, before anything is measured: so many connections as there may ever be are opened, and those that are
kept are there from the beginning."""
LEAST_ROWS = 100
"""Tables with fewer rows are places, and do not grow."""
DATABASE, SIMULATOR = "soak.db", "soak.simulator"


class Soaked(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to."""

    led: Led
    curve: list[Reading]
    """Before the first operation, then after each sample."""
    tables: Mapping[str, Table]
    """Of the engine's database at the end."""
    simulated: Mapping[str, Table]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    begun = begin("soak", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("soak", __doc__)
    asked.add_argument("--operations", type=int, default=200_000, help="in all (200000)")
    asked.add_argument("--warm", type=int, default=50_000, help="of these, before what is held is compared (50000)")
    asked.add_argument("--sample", type=int, default=10_000, help="operations between two readings (10000)")
    asked.add_argument("--in-flight", type=int, default=64, help="operations at once (64)")
    asked.add_argument("--population", type=int, default=256, help="VMs alive at once (256)")
    asked.add_argument("--grow", action="store_true", help="lives stop before their end: VMs become ever more")
    read = asked.parse_args(arguments)
    if min(read.operations - read.warm, read.warm, read.sample, read.in_flight, read.population) < 1:
        asked.error("all numbers are at least 1, and --operations is more than --warm")
    return read


def _measured(options: Namespace) -> Measured:
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="soak-") as place:
        folder = Path(place)
        led, curve = asyncio.run(_soak(options, folder))
        soaked = Soaked(led=led, curve=curve, tables=tables(folder / DATABASE), simulated=tables(folder / SIMULATOR))
    return Measured(
        figures=figures(soaked, options.warm),
        curves=list(_curves(curve)),
        settings={
            "operations": led.operations,
            "in flight": options.in_flight,
            "VMs, in all": led.begun,
            "VMs alive at the end": led.alive,
        },
        detail=msgspec.to_builtins(soaked),
    )


# --- the run


async def _soak(options: Namespace, folder: Path) -> tuple[Led, list[Reading]]:
    simulator = await Simulator.at(folder / SIMULATOR)
    try:
        async with Engine.open(str(folder / DATABASE), drivers={"simulator": simulator}) as engine:
            await engine.load(cloud(options.operations // 12 if options.grow else options.population))
            lives = Lives(engine, in_flight=options.in_flight, population=options.population, grow=options.grow)
            await asyncio.gather(*(engine.counts() for _ in range(READERS)))
            curve = await _curve(options, folder, engine, lives)
            await _verify(engine, simulator, lives.led)
            return lives.led, curve
    finally:
        await simulator.close()


async def _curve(options: Namespace, folder: Path, engine: Engine, lives: Lives) -> list[Reading]:
    began = time.perf_counter()

    async def reading() -> Reading:
        await engine.idle()
        await quiet()
        done = lives.led
        return read(done.operations, done.alive, began, folder / DATABASE, folder / SIMULATOR)

    print(_HEAD, file=sys.stderr)
    curve = [await reading()]
    while (left := options.operations - curve[-1].operations) > 0:
        await lives.lead(min(options.sample, left))
        curve.append(await reading())
        print(_told(curve[-1]), file=sys.stderr, flush=True)
    return curve


async def _verify(engine: Engine, simulator: Simulator, led: Led) -> None:
    """What lives is there, what has ended is gone, and nothing is off; else the figures are void."""
    counts = await engine.counts()
    there = sum(count for state, count in counts.items() if state != "Expunged")
    findings = await engine.check()
    guests = len((await simulator.world()).domains)
    if findings or there != led.alive or guests != counts.get("Running", 0):
        raise Wrong(f"{led.alive} VMs live, of {counts}, {guests} guests run; the check says {findings or 'nothing'}")


_HEAD = (
    f"{'operations':>11}{'VMs':>8}{'RSS MiB':>9}{'files':>7}{'threads':>9}{'tasks':>7}{'timers':>8}{'blocks':>10}"
    f"{'objects':>9}{'db MiB':>9}{'WAL':>7}{'world':>8}{'CPU ms/op':>11}{'seconds':>9}"
)


def _told(each: Reading) -> str:
    return (
        f"{each.operations:>11,}{each.vms:>8,}{each.rss_mib:>9.1f}{each.files:>7}{each.threads:>9}{each.tasks:>7}"
        f"{each.timers:>8}{each.blocks:>10,}{sum(each.objects.values()):>9,}{each.database_mib:>9.0f}"
        f"{each.wal_mib:>7.1f}{each.simulator_mib:>8.0f}{1000 * each.cpu_seconds / each.operations:>11.2f}"
        f"{each.seconds:>9.0f}"
    )


# --- what it comes to


def figures(soaked: Soaked, warm: int) -> list[Figure]:
    """What is held against the first reading after the warm-up, what an operation costs, and what it leaves."""
    after = [each for each in soaked.curve if each.operations >= warm]
    most = max(each.rss_mib for each in after)
    last, operations = after[-1], soaked.led.operations
    return [
        figure(MEMORY, "MiB", [most], {WARM: [after[0].rss_mib], COLD: [soaked.curve[0].rss_mib]}),
        *(figure(changes(name), "", [_change(after, name)]) for name in CONSTANT),
        figure("objects of Python, change after the warm-up", "", [last.blocks - after[0].blocks]),
        figure(
            "processor time of an operation",
            "ms CPU",
            [1000 * (last.cpu_seconds - soaked.curve[0].cpu_seconds) / operations],
        ),
        figure("write-ahead log, most", "MiB", [max(each.wal_mib for each in soaked.curve)]),
        figure("database, of an operation", "B", [_bytes(soaked.tables) / operations]),
        figure("database, of a VM's whole life", "B", [_bytes(soaked.tables) / soaked.led.begun]),
        *_of_tables("", soaked.tables),
        *_of_tables("simulator's ", soaked.simulated),
    ]


def changes(name: str) -> str:
    """The figure's name: the most of something after the warm-up, less the least of it."""
    return f"{name}, change after the warm-up"


def _change(after: Sequence[Reading], name: str) -> float:
    seen: list[float] = [getattr(each, name) for each in after]
    return max(seen) - min(seen)


def _bytes(found: Mapping[str, Table]) -> float:
    return sum(each.bytes for each in found.values())


def _of_tables(whose: str, found: Mapping[str, Table]) -> Iterator[Figure]:
    for name, each in sorted(found.items(), key=lambda item: -item[1].bytes):
        if each.rows >= LEAST_ROWS:
            indexes = {"of these, indexes": [each.index_bytes / each.rows]} if each.index_bytes else {}
            yield figure(f"{whose}{name}, of a row ({each.rows:,} rows)", "B", [each.bytes / each.rows], indexes)


def _curves(curve: Sequence[Reading]) -> Iterator[Curve]:
    def of(name: str, value: Callable[[Reading], float]) -> Line:
        return line(name, {each.operations: [value(each)] for each in curve[1:]})

    memory = of("resident memory", lambda each: each.rss_mib)
    lines = [memory, flat(memory, "as after the first sample")]
    yield Curve(name="memory", title="Memory of one process over operations", x="operations", y="MiB", lines=lines)
    files = [
        of("database", lambda each: each.database_mib),
        of("write-ahead log", lambda each: each.wal_mib),
        of("simulator's world", lambda each: each.simulator_mib),
    ]
    yield Curve(name="files", title="Files on the disk over operations", x="operations", y="MiB", lines=files)


if __name__ == "__main__":
    sys.exit(main())
