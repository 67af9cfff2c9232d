"""What a run of deploys comes to, beside its floors; and what several rounds of it say together."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks import floor
from benchmarks.command import Wrong
from benchmarks.lab import Run
from benchmarks.result import Figure, figure
from benchmarks.tape import Transaction


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run, per deploy where it says so. What has a floor has it from the same round."""

    rate: float
    """Deploys per second, the simulator's work included."""
    latency_ms: float
    """Median time from asking until Running."""
    slow_ms: float
    """The same for the slowest in a hundred."""
    commits: float
    """Transactions committed, per deploy."""
    executions: float
    """Calls of `execute` and `executemany`, per deploy; BEGIN, SAVEPOINT and their like are not counted."""
    statements: float | None = None
    """Statements run, per deploy; a call with forty rows is forty."""
    floor_rate: float | None = None
    """Deploys per second of the same statements in a bare sqlite3 loop."""
    rows_rate: float | None = None
    """Deploys per second of the rows alone in a bare sqlite3 loop."""
    ratio: float | None = None
    """rate / floor_rate"""
    rows_ratio: float | None = None
    """rate / rows_rate"""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one round measured, each part on the same engine, one after the other."""

    first: Figures
    """The first deploy after opening: it also takes the lease and reads the network's addresses."""
    lone: Figures
    """Deploys one at a time."""
    crowd: Figures
    """Many in flight."""


def figures(run: Run, folder: Path) -> Figures:
    """What a run comes to; its floors are played now, in `folder`.

    Raises:
        Wrong: a floor did not end with the rows that the engine left.
    """
    plain = Figures(
        rate=run.rate,
        latency_ms=statistics.median(run.latencies) * 1000,
        slow_ms=sorted(run.latencies)[int(len(run.latencies) * 0.99)] * 1000,
        commits=run.costs.commits / run.deploys,
        executions=run.costs.executions / run.deploys,
    )
    if run.start is None or run.costs.statements is None:
        return plain
    same = _floor_rate(run, run.tape, folder)
    rows = _floor_rate(run, floor.rows_alone(run.tape), folder)
    return msgspec.structs.replace(
        plain,
        statements=run.costs.statements / run.deploys,
        floor_rate=same,
        rows_rate=rows,
        ratio=run.rate / same,
        rows_ratio=run.rate / rows,
    )


def _floor_rate(run: Run, transactions: Sequence[Transaction], folder: Path) -> float:
    assert run.start is not None and run.end is not None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        played = Path(place) / "floor.db"
        seconds = floor.play(run.start, played, transactions)
        if not floor.same_content(played, run.end):
            raise Wrong("the floor did other work than the engine: their databases differ")
    return run.deploys / seconds


SAME = "same statements, bare sqlite3 loop"
ROWS = "rows alone, bare sqlite3 loop"
_FLOORS = {"rate": {SAME: "floor_rate", ROWS: "rows_rate"}}
_PARTS: dict[str, tuple[Callable[[Round], Figures], tuple[tuple[str, str, str], ...]]] = {
    "{in_flight} in flight": (
        lambda each: each.crowd,
        (
            ("deploys", "1/s", "rate"),
            ("commits per deploy", "", "commits"),
            ("SQL executions per deploy", "", "executions"),
            ("statements run per deploy, a row each", "", "statements"),
            ("latency, median", "ms", "latency_ms"),
            ("latency, 99 of 100 under", "ms", "slow_ms"),
        ),
    ),
    "one deploy alone": (
        lambda each: each.lone,
        (
            ("latency, median", "ms", "latency_ms"),
            ("deploys", "1/s", "rate"),
            ("commits", "", "commits"),
            ("SQL executions", "", "executions"),
            ("statements run, a row each", "", "statements"),
        ),
    ),
    "the first after opening": (
        lambda each: each.first,
        (
            ("latency", "ms", "latency_ms"),
            ("commits", "", "commits"),
            ("SQL executions", "", "executions"),
        ),
    ),
}
"""Part of a round → which it is, and what is told of it."""


def together(rounds: Sequence[Round], in_flight: int) -> list[Figure]:
    """Each figure of each part over the rounds; those that were not measured are not there."""
    return [
        _together(f"{name}, {part.format(in_flight=in_flight)}", unit, field, [of(each) for each in rounds])
        for part, (of, told) in _PARTS.items()
        for name, unit, field in told
        if getattr(of(rounds[0]), field) is not None
    ]


def _together(name: str, unit: str, field: str, measured: Sequence[Figures]) -> Figure:
    floors = {what: [getattr(each, floor) for each in measured] for what, floor in _FLOORS.get(field, {}).items()}
    known = {what: values for what, values in floors.items() if None not in values}
    return figure(name, unit, [getattr(each, field) for each in measured], known)
