"""A check for any arguments: Hypothesis as the kits use it, in one place.

Promises: the same code meets the same examples, in any process; nothing is kept between runs. Of a failure the
shortest example found is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

QUIET = tuple(HealthCheck)
"""How fast an example comes says nothing about a plug-in."""


def for_any(examples: int, check: Callable[..., None], *of: st.SearchStrategy[Any], shrink: bool = True) -> None:
    """Call the check with as many examples; what it raises is raised here."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=QUIET,
    )
    @given(st.tuples(*of))
    def checked(arguments: tuple[Any, ...]) -> None:
        check(*arguments)

    checked()
