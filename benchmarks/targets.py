"""What the figures are held to, and whether they are. Counts and ratios only: a bare rate says more of the machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

import msgspec

from benchmarks.figures import Round


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure must be."""

    what: str
    of: Callable[[Round], float | None]
    most: float | None = None
    least: float | None = None
    strict: bool = False
    """Whether the bound itself is too much."""


TARGETS = (
    Target(what="commits per deploy, in flight together", of=lambda each: each.crowd.commits, most=0.3, strict=True),
    Target(what="engine / bare loop, same statements", of=lambda each: each.crowd.ratio, least=0.2),
    Target(what="commits of one deploy alone", of=lambda each: each.lone.commits, most=4),
    Target(what="SQL executions of one deploy alone", of=lambda each: each.lone.executions, most=25),
)
"""The first two are issue 2's, the others those of issue 7 that hold already."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A target, and whether it was met."""

    what: str
    bound: str
    value: float | None
    met: bool | None
    """None: it was not measured, as the floor on PostgreSQL."""

    @property
    def line(self) -> str:
        """For people."""
        if self.met is None or self.value is None:
            return f"SKIP  {self.what}: not measured on this database (target {self.bound})"
        return f"{'PASS' if self.met else 'FAIL'}  {self.what}: {self.value:.3g} (target {self.bound})"


def judged(rounds: Iterable[Round]) -> list[Judged]:
    """Hold the medians against the targets."""
    known = list(rounds)
    return [_judge(target, [target.of(each) for each in known]) for target in TARGETS]


def _judge(target: Target, values: list[float | None]) -> Judged:
    known = [value for value in values if value is not None]
    value = statistics.median(known) if known else None
    return Judged(
        what=target.what, bound=_bound(target), value=value, met=None if value is None else _met(target, value)
    )


def _bound(target: Target) -> str:
    if target.least is not None:
        return f"at least {target.least:g}"
    return f"{'under' if target.strict else 'at most'} {target.most:g}"


def _met(target: Target, value: float) -> bool:
    if target.least is not None and value < target.least:
        return False
    return target.most is None or (value < target.most if target.strict else value <= target.most)
