"""Whether a function looks at clock, chance or files, however it came by them.

The interpreter itself reports each call of a function that is written in C while the question is asked; those that
read the clock, draw from the common generator or the system's, or open a file are named. A generator of one's own with
a seed (`random.Random(demand.seed)`) is as pure as arithmetic, and is not.

Never sees: a generator without a seed, and the order of a set; asking twice finds the first.
"""

from __future__ import annotations

import datetime
import gc
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

CLOCKS = frozenset({"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"})
NOW = frozenset({"now", "utcnow", "today"})
COMMON: object = random.random.__self__  # type: ignore[attr-defined]  # the generator behind the module's functions


def watched(ask: Callable[[], T]) -> tuple[T, list[str]]:
    """The answer, and what was looked at on the way, in words and sorted."""
    found: set[str] = set()

    def listen(_: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and (what := _impure(called)):
            found.add(what)

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()  # what others hang on the collector, and finalizers, would be taken for the function's own
    sys.setprofile(listen)
    try:
        answer = ask()
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
    return answer, sorted(found)


def _impure(called: Any) -> str | None:
    """What a function written in C looks at beside its arguments; None: nothing that we know of."""
    name, owner = getattr(called, "__name__", ""), getattr(called, "__self__", None)
    module = getattr(called, "__module__", None)
    if module == "time" and name in CLOCKS:
        return f"the clock, by time.{name}"
    if name in NOW and isinstance(owner, type) and issubclass(owner, datetime.date):
        return f"the clock, by {owner.__name__}.{name}"
    if owner is COMMON:
        return f"chance, by the common generator's {name}"
    if name == "urandom":
        return "chance, by the system's generator"
    if name == "open" and module in ("io", "_io"):
        return "a file, by open"
    return None
