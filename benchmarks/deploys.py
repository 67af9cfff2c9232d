"""How fast the engine deploys, and what a deploy costs: `python -m benchmarks.deploys`.

A round opens an engine on a fresh database, deploys one VM, some one at a time, then many in flight; verifies that all
of them run; closes it; then plays what was recorded again as the floor. So engine and floor take turns, and a machine
that is busy meanwhile slows both. README.md says what each figure means.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy import make_url

import interlock
from benchmarks import report as reports
from benchmarks.figures import Round, figures
from benchmarks.lab import PER_HOST, Run, Wrong, lab
from benchmarks.machine import this_machine
from benchmarks.report import Report
from benchmarks.targets import judged
from interlock.engine.orchestrator.clock import now

RESULTS = Path(__file__).parent / "results"
LONE = 20
"""Deploys one at a time in a round. Too low: one slow fsync decides; too high: time."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says."""

    deploys: int
    in_flight: int
    rounds: int
    hosts: int
    url: str | None
    folder: Path
    json: Path
    check: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    options = _read(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        rounds = [_round(options, number) for number in range(options.rounds)]
    except Wrong as wrong:
        print(f"void: {wrong}", file=sys.stderr)
        return 1
    report = _report(options, rounds, sys.argv[1:] if arguments is None else arguments)
    reports.show(report)
    reports.write(report, options.json)
    print(f"\nfigures of every round: {options.json}")
    missed = any(each.met is False for each in report.targets)
    return 1 if missed and options.check else 0


def _read(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deploys", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--deploys", type=int, default=500, help="deploys in flight together (500)")
    parser.add_argument("--in-flight", type=int, default=64, help="at most so many at once (64)")
    parser.add_argument("--rounds", type=int, default=5, help="how often; medians are shown (5)")
    parser.add_argument("--hosts", type=int, default=100, help=f"hosts of the cloud, each for {PER_HOST} VMs (100)")
    parser.add_argument("--url", help="an empty PostgreSQL database instead of SQLite; has no floor yet")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="the disk to measure on (benchmarks/results)")
    parser.add_argument("--json", type=Path, default=RESULTS / "deploys.json", help="where the figures are written")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    read = parser.parse_args(arguments)
    if min(read.deploys, read.in_flight, read.rounds, read.hosts) < 1:
        parser.error("--deploys, --in-flight, --rounds and --hosts are at least 1")
    return Options(**vars(read))


def _round(options: Options, number: int) -> Round:
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        first, lone, crowd = asyncio.run(_engine(options, folder))
        measured = Round(first=figures(first, folder), lone=figures(lone, folder), crowd=figures(crowd, folder))
    beside = f", bare loop {measured.crowd.floor_rate:,.0f}" if measured.crowd.floor_rate else ""
    print(f"round {number + 1} of {options.rounds}: {measured.crowd.rate:,.0f} deploys/s{beside}", file=sys.stderr)
    return measured


async def _engine(options: Options, folder: Path) -> tuple[Run, Run, Run]:
    prefix = f"vm-{now()}-"  # a database given by --url sees several rounds
    async with lab(folder, hosts=options.hosts, url=options.url, prefix=prefix) as measured:
        first = await measured.deploy(1, 1)
        lone = await measured.deploy(LONE, 1)
        crowd = await measured.deploy(options.deploys, options.in_flight)
        await measured.verify()
    return first, lone, crowd


def _report(options: Options, rounds: list[Round], arguments: Sequence[str]) -> Report:
    return Report(
        command=shlex.join(["python", "-m", "benchmarks.deploys", *map(_without_password, arguments)]),
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        version=interlock.__version__,
        machine=this_machine(options.folder),
        database="SQLite, WAL, synchronous=FULL" if options.url is None else _without_password(options.url),
        deploys=options.deploys,
        in_flight=options.in_flight,
        lone_deploys=LONE,
        hosts=options.hosts,
        medians=reports.medians(rounds),
        targets=judged(rounds),
        rounds=rounds,
    )


def _without_password(argument: str) -> str:
    return make_url(argument).render_as_string() if "://" in argument else argument


if __name__ == "__main__":
    sys.exit(main())
