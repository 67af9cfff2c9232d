"""How soon all goes on after `kill -9`: `python -m benchmarks.restart`.

A process opens an engine and asks for ten thousand deploys; each is held at one of its commands, before its effect or
just after it, so that all are in flight at once. Then it is killed. A new process opens the database: when is the
engine open, when has the first operation ended, when the last? Counted from the start of that process. Three rounds of
ten thousand take some three minutes.

What that stands beside, in the same round: the same deploys in a process that nobody kills.

The figures are void unless all operations were in flight when it was killed, and all VMs run afterwards, in the
database and in the simulator, with nothing Stuck and nothing off.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from benchmarks.command import ROOT, Measured, Wrong, begin, ended, parser
from benchmarks.restarted import DATABASE, HELD, Ended
from benchmarks.result import Figure, figure

LAST = "from the start of the process to the last end"
UNBROKEN = "the same deploys, nobody killed"


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """The two processes of a round."""

    unbroken: Ended
    restarted: Ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the target is met, if that was asked for."""
    begun = begin("restart", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("restart", __doc__)
    asked.add_argument("--deploys", type=int, default=10_000, help="in flight when it is killed (10000)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    read = asked.parse_args(arguments)
    if min(read.deploys, read.rounds) < 1:
        asked.error("--deploys and --rounds are at least 1")
    return read


def _measured(options: Namespace) -> Measured:
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="restart-") as place:
            rounds.append(_round(Path(place), options.deploys))
        last, unbroken = rounds[-1].restarted.last, rounds[-1].unbroken.last
        print(f"round {number + 1} of {options.rounds}: {last:.1f} s, uninterrupted {unbroken:.1f} s", file=sys.stderr)
    return Measured(
        figures=_figures(rounds, options.deploys),
        settings={"deploys in flight": options.deploys, "rounds": options.rounds},
        detail=[msgspec.to_builtins(each) for each in rounds],
    )


def _round(folder: Path, deploys: int) -> Round:
    unbroken = _child("unbroken", folder, deploys)
    shutil.rmtree(folder)
    folder.mkdir()
    _killed(folder, deploys)
    _all_in_flight(folder / DATABASE, deploys)
    return Round(unbroken=unbroken, restarted=_child("resume", folder, deploys))


def _command(what: str, folder: Path, deploys: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.restarted", what, str(folder), str(deploys), str(time.time())]


def _child(what: str, folder: Path, deploys: int) -> Ended:
    done = subprocess.run(_command(what, folder, deploys), cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Wrong(f"the process that was to {what} ended with {done.returncode}; what it said is above")
    return msgspec.json.decode(done.stdout, type=Ended)


def _killed(folder: Path, deploys: int) -> None:
    """Let a process come to where all is in flight, and kill it."""
    with subprocess.Popen(_command("begin", folder, deploys), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        process.kill()
    if said != HELD:
        raise Wrong(f"the process that was to be killed did not come so far; it said {said!r}")


def _all_in_flight(database: Path, deploys: int) -> None:
    with closing(sqlite3.connect(database)) as opened:
        states = dict(opened.execute("SELECT state, count(*) FROM operation GROUP BY state").fetchall())
    if states != {"Running": deploys}:
        raise Wrong(f"when it was killed operations were {states}, not {deploys} Running")


def _figures(rounds: Sequence[Round], deploys: int) -> list[Figure]:
    restarted, unbroken = [each.restarted for each in rounds], [each.unbroken for each in rounds]
    return [
        figure("from the start of the process until the engine is open", "s", [each.opened for each in restarted]),
        figure("from the start of the process to the first end", "s", [each.first for each in restarted]),
        figure(LAST, "s", [each.last for each in restarted], {UNBROKEN: [each.last for each in unbroken]}),
        figure(
            "processor time of an operation",
            "ms CPU",
            [1000 * each.cpu_seconds / deploys for each in restarted],
            {UNBROKEN: [1000 * each.cpu_seconds / deploys for each in unbroken]},
        ),
        figure(
            "resident memory, most",
            "MiB",
            [each.peak_mib for each in restarted],
            {UNBROKEN: [each.peak_mib for each in unbroken]},
        ),
        figure("commits", "", [each.commits for each in restarted], {UNBROKEN: [each.commits for each in unbroken]}),
    ]


if __name__ == "__main__":
    sys.exit(main())
