"""The one shape of what is measured: each module writes it as JSON; tables, pictures and README.md are made of it.

A figure is a median over rounds, with the least and the most; its floor or peer stands beside it, measured in the same
rounds, with the quotient of each round. A curve is such figures over a size. Nothing here measures or prints.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from benchmarks.machine import Machine


class Spread(msgspec.Struct, frozen=True):
    """A figure over all rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of one value a round; there must be one."""
        known = sorted(values)
        return cls(statistics.median(known), known[0], known[-1])


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The floor or the peer of a figure, from the same rounds."""

    what: str
    value: Spread
    ratio: Spread | None
    """The figure over this, within each round; None when this is nought."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Something measured."""

    name: str
    """With the size it holds for, when there are several: targets are found by it."""
    unit: str
    """`1/s`, `ms`, `µs CPU`, `MiB`; empty for a count."""
    value: Spread
    rounds: int
    beside: list[Beside] = []


class Point(msgspec.Struct, frozen=True):
    """Of a line."""

    x: float
    y: Spread


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One of a curve."""

    name: str
    kind: Literal["measured", "floor", "peer", "ideal"]
    """A floor or peer is measured too; what is ideal is not."""
    points: list[Point]


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """How something grows with a size."""

    name: str
    """Of its picture: `MODULE-name.svg`. Small letters, digits and hyphens."""
    title: str
    x: str
    """What the axis shows, with its unit: `hosts`, `latency, ms`."""
    y: str
    lines: list[Line]
    log_x: bool = False
    log_y: bool = False


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A target, and whether it was met."""

    figure: str
    beside: str
    """What the figure is divided by; empty when the figure itself is held."""
    bound: str
    value: float | None
    met: bool | None
    """None: this run did not measure it."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run of a module came to; its JSON is this."""

    module: str
    command: str
    """That makes it again."""
    date: str
    version: str
    commit: str
    """Of the tree it ran in; with a `+` when that had changes; empty without git."""
    seconds: float
    """How long the run took."""
    machine: Machine
    settings: dict[str, str | int | float]
    """What was measured on: sizes, database."""
    figures: list[Figure]
    curves: list[Curve] = []
    targets: list[Judged] = []
    detail: Any = None
    """Whatever else the module has to tell, as plain values: each round, for instance."""


def figure(
    name: str, unit: str, values: Sequence[float], beside: Mapping[str, Sequence[float]] | None = None
) -> Figure:
    """A figure of one value a round, and its floors, each of one value a round too.

    Args:
        name: what it is.
        unit: of the values.
        values: one a round.
        beside: floors and peers by their names; round by round with `values`.

    Raises:
        ValueError: a floor has other rounds than the figure.
    """
    return Figure(
        name=name,
        unit=unit,
        value=Spread.of(values),
        rounds=len(values),
        beside=[_beside(what, values, others) for what, others in (beside or {}).items()],
    )


def _beside(what: str, values: Sequence[float], others: Sequence[float]) -> Beside:
    pairs = list(zip(values, others, strict=True))
    ratio = Spread.of(value / other for value, other in pairs) if all(others) else None
    return Beside(what=what, value=Spread.of(others), ratio=ratio)


def line(
    name: str, points: Mapping[float, Sequence[float]], kind: Literal["measured", "floor", "peer"] = "measured"
) -> Line:
    """A line of a curve, from the values of each round at each size."""
    return Line(name=name, kind=kind, points=[Point(x, Spread.of(values)) for x, values in sorted(points.items())])


def linear(of: Line, name: str = "linear") -> Line:
    """The ideal of what should grow with the size: a straight line from nothing through the first point."""
    first = of.points[0]
    return _ideal(name, [(point.x, first.y.median * point.x / first.x) for point in of.points])


def flat(of: Line, name: str = "flat") -> Line:
    """The ideal of what should not depend on the size: the first point everywhere."""
    return _ideal(name, [(point.x, of.points[0].y.median) for point in of.points])


def _ideal(name: str, points: Iterable[tuple[float, float]]) -> Line:
    return Line(name=name, kind="ideal", points=[Point(x, Spread(y, y, y)) for x, y in points])
