"""A check for any arguments: Hypothesis as the kits use it, in one place.

Promises: the same code meets the same examples, in any process; nothing is kept between runs. Of a failure the
shortest example found is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

T = TypeVar("T")
RUNS = 400
"""Most runs that making a failing example smaller may take. Too low: people read facts that do not matter; too high: a
failure is told late."""
QUIET = tuple(HealthCheck)
"""How fast an example comes says nothing about a plug-in."""


def for_any(examples: int, check: Callable[..., None], *of: st.SearchStrategy[Any]) -> None:
    """Call the check with as many examples; what it raises is raised here."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=QUIET,
    )
    @given(st.tuples(*of))
    def checked(arguments: tuple[Any, ...]) -> None:
        check(*arguments)

    checked()


def smallest(
    example: T, broken: Exception, simpler: Callable[[T], Iterable[T]], check: Callable[[T], None]
) -> Exception:
    """What the check raises for the smallest example found that still breaks something.

    Args:
        example: one that does.
        broken: what it raised.
        simpler: the examples that are one step smaller than one.
        check: what must hold.
    """
    runs = 0
    while runs < RUNS:
        for each in simpler(example):
            runs += 1
            try:
                check(each)
            except type(broken) as found:
                example, broken = each, found
                break
            if runs >= RUNS:
                break
        else:
            break
    return broken
