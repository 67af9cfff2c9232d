"""PostgreSQL with one worker and with several: `python -m benchmarks.workers`; some minutes.

1. One engine, many deploys in flight, the simulator at latency 0, beside a bare asyncpg loop that writes the same rows.
2. 1, 2, 4, 8 `interlock worker` processes on one database, each driving few deploys at once while the simulator takes
   50 ms for each effect: how the rate grows with them, beside straight growth. And 1 and 2 of them at latency 0, where
   the database is what they share.
3. With `--operations N`: so many operations by workers at latency 0 (`--workers`), of which none may be lost, done
   twice or stuck. Shown is the rate; what is verified makes it count.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import Measured, begin, ended, parser
from benchmarks.lone import Lone, alone
from benchmarks.many import FLOORED, Many, many
from benchmarks.result import Curve, Figure, figure, line, linear
from benchmarks.server import server
from benchmarks.whole import whole

FLOOR = "same rows, bare asyncpg executemany loop"
STRAIGHT = "so many times one worker"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the targets are met, if that was asked for."""
    begun = begin("workers", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(each) for each in text.split(","))
    if not counts or counts[0] != 1 or min(counts) < 1:
        raise ArgumentTypeError("numbers of workers, the first of them 1: 1,2,4,8")
    return counts


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("workers", __doc__)
    asked.add_argument("--deploys", type=int, default=500, help="deploys of one engine in a round (500)")
    asked.add_argument("--in-flight", type=int, default=64, help="of them at once (64)")
    asked.add_argument("--crews", type=_counts, default=(1, 2, 4, 8), help="numbers of workers (1,2,4,8)")
    asked.add_argument("--each", type=int, default=40, help="deploys for each worker of a crew (40)")
    asked.add_argument("--at-once", type=int, default=1, help="deploys that a worker of a crew drives at once (1)")
    asked.add_argument("--latency", type=int, default=50, help="ms that the simulator takes for an effect (50)")
    asked.add_argument("--busy", type=int, default=400, help="deploys of a crew at latency 0; 0: none (400)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    asked.add_argument("--operations", type=int, default=0, help="operations of the third part; 0: leave it out (0)")
    asked.add_argument("--workers", type=int, default=2, help="workers of the third part (2)")
    asked.add_argument("--url", help="a PostgreSQL server's database in which others may be made; else one of its own")
    read = asked.parse_args(arguments)
    if min(read.deploys, read.in_flight, read.each, read.at_once, read.rounds, read.workers) < 1:
        asked.error("all but --latency, --busy and --operations are at least 1")
    return read


def _measured(options: Namespace) -> Measured:
    with server(options.url) as url, tempfile.TemporaryDirectory(dir=options.folder) as place:
        return asyncio.run(_all(options, url, Path(place)))


async def _all(options: Namespace, url: str, folder: Path) -> Measured:
    lone: list[Lone] = []
    slow: dict[int, list[Many]] = {count: [] for count in options.crews}
    busy: dict[int, list[Many]] = {count: [] for count in options.crews[:2] if options.busy}
    for number in range(options.rounds):
        lone.append(await alone(url, _new(folder, f"lone-{number}"), options.deploys, options.in_flight))
        for count, found in slow.items():
            place = _new(folder, f"slow-{number}-{count}")
            found.append(await many(url, place, count, options.each * count, options.at_once, options.latency))
        for count, found in busy.items():
            place = _new(folder, f"busy-{number}-{count}")
            found.append(await many(url, place, count, options.busy, options.in_flight, 0))
        _say(number, options.rounds, lone[-1], slow)
    figures = [*_of_lone(lone, options.in_flight), *_of_crews(slow, options.latency), *_of_busy(busy)]
    if options.operations:
        figures.append(await whole(url, _new(folder, "whole"), options.workers, options.operations, options.in_flight))
    return Measured(figures=figures, curves=[_curve(slow, options.latency)], settings=_settings(options))


def _new(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def _say(number: int, rounds: int, lone: Lone, slow: dict[int, list[Many]]) -> None:
    rates = ", ".join(f"{count}: {found[-1].rate:,.1f}" for count, found in slow.items())
    said = f"{lone.rate:,.0f} deploys/s, bare loop {lone.floor_rate:,.0f}; by workers {rates}"
    print(f"round {number + 1} of {rounds}: {said}", file=sys.stderr)


def _of_lone(rounds: Sequence[Lone], in_flight: int) -> list[Figure]:
    floor = {FLOOR: [each.floor_rate for each in rounds]}
    return [
        figure(f"deploys of one engine, {in_flight} in flight", "1/s", [each.rate for each in rounds], floor),
        figure("commits per deploy, one engine", "", [each.commits for each in rounds]),
        figure("SQL executions per deploy, one engine", "", [each.executions for each in rounds]),
        figure("CPU per deploy, one engine", "ms CPU", [each.cpu_ms for each in rounds]),
    ]


def _of_crews(crews: dict[int, list[Many]], latency: int) -> list[Figure]:
    one = crews[1]
    return [
        figure(
            f"deploys, {_workers(count)}, effects of {latency} ms",
            "1/s",
            [each.rate for each in found],
            {} if count == 1 else {STRAIGHT: [count * each.rate for each in one]},
        )
        for count, found in crews.items()
    ]


def _of_busy(crews: dict[int, list[Many]]) -> list[Figure]:
    rates = [
        figure(
            f"deploys, {_workers(count)}, latency 0",
            "1/s",
            [each.rate for each in found],
            {} if count == 1 else {FLOORED: [each.rate for each in crews[1]]},
        )
        for count, found in crews.items()
    ]
    commits = [
        figure(f"commits, {_workers(count)}, latency 0", "1/s", [each.commits for each in found])
        for count, found in crews.items()
    ]
    return [*rates, *commits]


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def _curve(crews: dict[int, list[Many]], latency: int) -> Curve:
    measured = line("measured", {count: [each.rate for each in found] for count, found in crews.items()})
    return Curve(
        name="scaling",
        title=f"Deploys per second by the number of workers, effects of {latency} ms",
        x="workers",
        y="deploys/s",
        lines=[measured, linear(measured)],
    )


def _settings(options: Namespace) -> dict[str, str | int | float]:
    return {
        "database": "PostgreSQL, fsync on" if options.url is None else "PostgreSQL as given",
        "deploys of one engine": options.deploys,
        "deploys for each worker of a crew": options.each,
        "deploys that each of them drives at once": options.at_once,
        "deploys of a crew at latency 0": options.busy,
        "operations, all verified": options.operations,
    }


if __name__ == "__main__":
    sys.exit(main())
