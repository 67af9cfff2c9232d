"""How fast the engine deploys, and what a deploy costs: `python -m benchmarks.deploys`.

A round opens an engine on a fresh database, deploys one VM, some one at a time, then many in flight; verifies that all
of them run; closes it; then plays what was recorded again as the floor. So engine and floor take turns, and a machine
that is busy meanwhile slows both. README.md says what each figure means.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.command import Measured, begin, ended, parser
from benchmarks.figures import Round, figures, together
from benchmarks.lab import PER_HOST, Run, lab
from interlock.engine.orchestrator.clock import now

LONE = 20
"""Deploys one at a time in a round. Too low: one slow fsync decides; too high: time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    begun = begin("deploys", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("deploys", __doc__)
    asked.add_argument("--deploys", type=int, default=500, help="deploys in flight together (500)")
    asked.add_argument("--in-flight", type=int, default=64, help="at most so many at once (64)")
    asked.add_argument("--rounds", type=int, default=5, help="how often; medians are shown (5)")
    asked.add_argument("--hosts", type=int, default=100, help=f"hosts of the cloud, each for {PER_HOST} VMs (100)")
    asked.add_argument("--url", help="an empty PostgreSQL database instead of SQLite; has no floor yet")
    read = asked.parse_args(arguments)
    if min(read.deploys, read.in_flight, read.rounds, read.hosts) < 1:
        asked.error("--deploys, --in-flight, --rounds and --hosts are at least 1")
    return read


def _measured(options: Namespace) -> Measured:
    rounds = [_round(options, number) for number in range(options.rounds)]
    return Measured(
        figures=together(rounds, options.in_flight),
        settings={
            "database": "SQLite, WAL, synchronous=FULL" if options.url is None else "PostgreSQL",
            "simulator": "at latency 0, its work inside the engine's rate",
            "hosts": options.hosts,
            "deploys": options.deploys,
            "in flight": options.in_flight,
            "deploys one alone": LONE,
        },
        detail={"rounds": msgspec.to_builtins(rounds)},
    )


def _round(options: Namespace, number: int) -> Round:
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        first, lone, crowd = asyncio.run(_engine(options, folder))
        measured = Round(first=figures(first, folder), lone=figures(lone, folder), crowd=figures(crowd, folder))
    beside = f", bare loop {measured.crowd.floor_rate:,.0f}" if measured.crowd.floor_rate else ""
    print(f"round {number + 1} of {options.rounds}: {measured.crowd.rate:,.0f} deploys/s{beside}", file=sys.stderr)
    return measured


async def _engine(options: Namespace, folder: Path) -> tuple[Run, Run, Run]:
    prefix = f"vm-{now()}-"  # a database given by --url sees several rounds
    async with lab(folder, hosts=options.hosts, url=options.url, prefix=prefix) as measured:
        first = await measured.deploy(1, 1)
        lone = await measured.deploy(LONE, 1)
        crowd = await measured.deploy(options.deploys, options.in_flight)
        await measured.verify()
    return first, lone, crowd


if __name__ == "__main__":
    sys.exit(main())
