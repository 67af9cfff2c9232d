"""How long it takes to start: `python -m benchmarks.startup`.

Each figure is of a process of its own, from before it is started until it has ended: the command's help, the import,
and an engine that is opened on a database that is there, then closed (an engine says itself when it is open, and what
memory it takes then). Processor time stands beside the clock's, for a busy machine says little by the clock. Eleven
rounds take some fifteen seconds.

What they stand beside, in the same rounds: Python with nothing to do, and the libraries that cannot be done without.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.command import ROOT, Measured, Wrong, begin, ended, parser
from benchmarks.result import Figure, figure

BARE, CLICK, LIBRARIES = "python -c pass", "import click", "import sqlalchemy.ext.asyncio and aiosqlite"
HELP, IMPORT, OPEN = "interlock --help", "import interlock", "an engine is opened and closed"
OPENED, MEMORY = "an engine is open, from the start of the process", "resident memory with an open engine"

OPENING = """
import asyncio, sys, time
from benchmarks.readings import rss_mib
from interlock import Engine

async def main():
    async with Engine.open(sys.argv[1]):
        print(time.time() - float(sys.argv[2]), time.process_time(), rss_mib())

asyncio.run(main())
"""
WHAT: Mapping[str, Sequence[str]] = {
    BARE: ("-c", "pass"),
    CLICK: ("-c", CLICK),
    LIBRARIES: ("-c", "import sqlalchemy.ext.asyncio, aiosqlite"),
    HELP: ("-m", "interlock.cli.main", "--help"),
    IMPORT: ("-c", IMPORT),
    OPEN: ("-c", OPENING),
}
"""What Python is told, in each round one after the other."""


class Ran(msgspec.Struct, frozen=True):
    """One process. Times in seconds."""

    seconds: float
    cpu_seconds: float
    said: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    begun = begin("startup", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("startup", __doc__)
    asked.add_argument("--rounds", type=int, default=11, help="how often; medians are shown (11)")
    read = asked.parse_args(arguments)
    if read.rounds < 1:
        asked.error("--rounds is at least 1")
    return read


def _measured(options: Namespace) -> Measured:
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="startup-") as place:
        database = Path(place) / "startup.db"
        _run(WHAT[OPEN], str(database))  # makes it, and compiles what was not compiled yet
        rounds = [{name: _run(what, str(database)) for name, what in WHAT.items()} for _ in range(options.rounds)]
    return Measured(figures=_figures(rounds), settings={"rounds": options.rounds})


def _run(what: Sequence[str], database: str) -> Ran:
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, *what, *((database, str(time.time())) if what is WHAT[OPEN] else ())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise Wrong(f"{' '.join(what)} ended with {done.returncode}: {done.stderr}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(seconds, spent, done.stdout)


def _figures(rounds: Sequence[Mapping[str, Ran]]) -> list[Figure]:
    told = [tuple(map(float, each[OPEN].said.split())) for each in rounds]
    return [
        _clock(HELP, rounds, (BARE, CLICK)),
        _clock(IMPORT, rounds, (BARE,)),
        figure(OPENED, "s", [each[0] for each in told], _seconds(rounds, (BARE, LIBRARIES))),
        figure(MEMORY, "MiB", [each[2] for each in told]),
        _processor(HELP, rounds, (BARE, CLICK)),
        _processor(IMPORT, rounds, (BARE,)),
        figure(
            f"processor time: {OPENED}",
            "s CPU",
            [each[1] for each in told],
            {LIBRARIES: [each[LIBRARIES].cpu_seconds for each in rounds]},
        ),
    ]


def _clock(name: str, rounds: Sequence[Mapping[str, Ran]], beside: Sequence[str]) -> Figure:
    return figure(name, "s", [each[name].seconds for each in rounds], _seconds(rounds, beside))


def _seconds(rounds: Sequence[Mapping[str, Ran]], names: Sequence[str]) -> dict[str, list[float]]:
    return {name: [each[name].seconds for each in rounds] for name in names}


def _processor(name: str, rounds: Sequence[Mapping[str, Ran]], beside: Sequence[str]) -> Figure:
    """The kernel counts in hundredths: a short process may come to nothing, and then there is no ratio."""
    others = {other: [each[other].cpu_seconds for each in rounds] for other in beside}
    known = {other: values for other, values in others.items() if all(values)}
    return figure(f"processor time: {name}", "s CPU", [each[name].cpu_seconds for each in rounds], known)


if __name__ == "__main__":
    sys.exit(main())
