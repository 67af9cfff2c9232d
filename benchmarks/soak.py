"""Whether anything grows that should not: `python -m benchmarks.soak --operations 1000000`.

VMs live side by side, each through the same operations from deploy to expunge (lives.py), through the whole stack in
one process, the simulator at latency 0. Every so many operations all of them pause, and what the process holds is read:
memory, open files, threads, tasks, timers, objects of our own, and the files on the disk. After the warm-up nothing of
that may grow but the files, which hold what happened. How long: 200,000 operations take some ten minutes, a million
an hour.

What memory is held against: itself after the warm-up, and the same process before the first operation.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

import interlock
from benchmarks.lab import Wrong
from benchmarks.lives import Led, Lives, cloud
from benchmarks.machine import Machine, this_machine
from benchmarks.readings import Reading, Table, read, tables
from interlock import Engine
from interlock.drivers.simulator import Simulator

RESULTS = Path(__file__).parent / "results"
GROWS = 1.05
"""Most that memory may be of what it was after the warm-up: issue 7."""
CONSTANT = ("files", "threads", "tasks")
"""What may not change at all after the warm-up."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says."""

    operations: int
    warm: int
    sample: int
    in_flight: int
    population: int
    grow: bool
    folder: Path
    json: Path
    check: bool


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A target, and whether it was met."""

    what: str
    value: str
    met: bool

    @property
    def line(self) -> str:
        """For people."""
        return f"{'PASS' if self.met else 'FAIL'}  {self.what}: {self.value}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole benchmark; its JSON is this."""

    command: str
    date: str
    version: str
    machine: Machine
    options: Options
    led: Led
    curve: list[Reading]
    """Before the first operation, then after each sample."""
    tables: Mapping[str, Table]
    """Of the engine's database at the end."""
    simulated: Mapping[str, Table]
    verdicts: list[Verdict]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    options = _read(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="soak-") as place:
            report = _report(options, Path(place), sys.argv[1:] if arguments is None else arguments)
    except Wrong as wrong:
        print(f"void: {wrong}", file=sys.stderr)
        return 1
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report, enc_hook=str), indent=2) + b"\n")
    _show(report)
    print(f"\nthe whole curve: {options.json}")
    return 1 if options.check and not all(each.met for each in report.verdicts) else 0


def _read(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--operations", type=int, default=200_000, help="in all (200000)")
    parser.add_argument("--warm", type=int, default=50_000, help="of these, before what is held is compared (50000)")
    parser.add_argument("--sample", type=int, default=10_000, help="operations between two readings (10000)")
    parser.add_argument("--in-flight", type=int, default=64, help="operations at once (64)")
    parser.add_argument("--population", type=int, default=256, help="VMs alive at once (256)")
    parser.add_argument("--grow", action="store_true", help="lives stop before their end: VMs become ever more")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="the disk to measure on (benchmarks/results)")
    parser.add_argument("--json", type=Path, default=RESULTS / "soak.json", help="where the curve is written")
    parser.add_argument("--check", action="store_true", help="fail when something grows")
    read = parser.parse_args(arguments)
    if min(read.operations - read.warm, read.warm, read.sample, read.in_flight, read.population) < 1:
        parser.error("all numbers are at least 1, and --operations is more than --warm")
    return Options(**vars(read))


def _report(options: Options, folder: Path, arguments: Sequence[str]) -> Report:
    led, curve = asyncio.run(_soak(options, folder))
    return Report(
        command=shlex.join(["python", "-m", "benchmarks.soak", *arguments]),
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        version=interlock.__version__,
        machine=this_machine(folder),
        options=options,
        led=led,
        curve=curve,
        tables=tables(folder / DATABASE),
        simulated=tables(folder / SIMULATOR),
        verdicts=verdicts(curve, options.warm),
    )


DATABASE, SIMULATOR = "soak.db", "soak.simulator"


async def _soak(options: Options, folder: Path) -> tuple[Led, list[Reading]]:
    simulator = await Simulator.at(folder / SIMULATOR)
    try:
        async with Engine.open(str(folder / DATABASE), drivers={"simulator": simulator}) as engine:
            await engine.load(cloud(options.operations // 12 if options.grow else options.population))
            lives = Lives(engine, in_flight=options.in_flight, population=options.population, grow=options.grow)
            curve = await _curve(options, folder, engine, lives)
            await _verify(engine, simulator, lives.led)
            return lives.led, curve
    finally:
        await simulator.close()


async def _curve(options: Options, folder: Path, engine: Engine, lives: Lives) -> list[Reading]:
    began = time.perf_counter()

    async def reading() -> Reading:
        await engine.idle()
        done = lives.led
        return read(done.operations, done.alive, began, folder / DATABASE, folder / SIMULATOR)

    curve = [await reading()]
    while (left := options.operations - curve[-1].operations) > 0:
        await lives.lead(min(options.sample, left))
        curve.append(await reading())
        print(_line(curve[-1]), file=sys.stderr, flush=True)
    return curve


async def _verify(engine: Engine, simulator: Simulator, led: Led) -> None:
    """What lives is there, what has ended is gone, and nothing is off; else the figures are void."""
    counts = await engine.counts()
    there = sum(count for state, count in counts.items() if state != "Expunged")
    findings = await engine.check()
    guests = len((await simulator.world()).domains)
    if findings or there != led.alive or guests != counts.get("Running", 0):
        raise Wrong(f"{led.alive} VMs live, of {counts}, {guests} guests run; the check says {findings or 'nothing'}")


def verdicts(curve: Sequence[Reading], warm: int) -> list[Verdict]:
    """Hold what is read after the warm-up against the first reading after it."""
    after = [each for each in curve if each.operations >= warm]
    first = after[0]
    most = max(after, key=lambda each: each.rss_mib)
    growth = f"{first.rss_mib:.1f} → {most.rss_mib:.1f} MiB at most, {most.rss_mib / first.rss_mib - 1:+.1%}"
    memory = Verdict(
        what=f"memory after {first.operations:,} operations (target under {GROWS - 1:+.0%})",
        value=growth,
        met=most.rss_mib < GROWS * first.rss_mib,
    )
    return [memory, *(_constant(name, after) for name in CONSTANT)]


def _constant(name: str, after: Sequence[Reading]) -> Verdict:
    seen = sorted({getattr(each, name) for each in after})
    return Verdict(what=f"{name} (target constant)", value=" – ".join(map(str, seen)), met=len(seen) == 1)


_HEAD = (
    f"{'operations':>11}{'VMs':>8}{'RSS MiB':>9}{'files':>7}{'threads':>9}{'tasks':>7}{'timers':>8}{'blocks':>10}"
    f"{'objects':>9}{'db MiB':>9}{'WAL':>7}{'world':>8}{'CPU ms/op':>11}"
)


def _line(each: Reading) -> str:
    return (
        f"{each.operations:>11,}{each.vms:>8,}{each.rss_mib:>9.1f}{each.files:>7}{each.threads:>9}{each.tasks:>7}"
        f"{each.timers:>8}{each.blocks:>10,}{sum(each.objects.values()):>9,}{each.database_mib:>9.0f}"
        f"{each.wal_mib:>7.1f}{each.simulator_mib:>8.0f}{1000 * each.cpu_seconds / max(1, each.operations):>11.2f}"
    )


SHOWN = 24
"""Readings of the curve that are printed; all are in the JSON."""


def _show(report: Report) -> None:
    print("\n".join(report.machine.lines()))
    options, led = report.options, report.led
    print(
        f"soak     {led.operations:,} operations, {options.in_flight} in flight; {led.begun:,} VMs, {led.alive:,} alive"
    )
    print(f"         {', '.join(f'{count:,} {kind}' for kind, count in led.by_kind.items())}\n")
    print(_HEAD)
    step = -(-len(report.curve) // SHOWN)
    for number, each in enumerate(report.curve):
        if number % step == 0 or each is report.curve[-1]:
            print(_line(each))
    for title, found in (("database", report.tables), ("world of the simulator", report.simulated)):
        _show_tables(title, found, led)
    print()
    print("\n".join(each.line for each in report.verdicts))


def _show_tables(title: str, found: Mapping[str, Table], led: Led) -> None:
    print(
        f"\n{title:<24}{'rows':>12}{'bytes/row':>11}{'of indexes':>12}{'MiB':>9}{'bytes/operation':>17}{'bytes/VM':>10}"
    )
    for name, each in sorted(found.items(), key=lambda item: -item[1].bytes):
        if each.rows >= LEAST_ROWS:
            print(
                f"  {name:<22}{each.rows:>12,}{each.bytes / each.rows:>11,.0f}{each.index_bytes / each.rows:>12,.0f}"
                f"{each.bytes / 2**20:>9,.1f}{each.bytes / led.operations:>17,.0f}{each.bytes / led.begun:>10,.0f}"
            )


LEAST_ROWS = 100
"""Tables with fewer rows are places, and do not grow."""

if __name__ == "__main__":
    sys.exit(main())
