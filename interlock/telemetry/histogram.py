"""How often a figure lay between which bounds. Written by one thread, read by any, without a lock.

prometheus_client's own takes a lock for each observation, about fifty times in a deploy; here only the engine's loop
writes, so that counting is one addition. Its exposition is left to prometheus_client.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""From one commit to a slow migration. Too few: percentiles are guesses; too many: a series each, for each label."""
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Decisions in a batch, up to the most there may be (`engine/store/writer.py`)."""


class Histogram:
    """Of one series.

    Args:
        bounds: the upper ones, rising; what is above the last is counted as well.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self._cells: list[float] = [0] * (len(bounds) + 1) + [0.0]

    def add(self, value: float) -> None:
        """Count one."""
        self._cells[bisect_left(self.bounds, value)] += 1
        self._cells[-1] += value

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """How many lay at or below each bound, the last being +Inf; and the sum."""
        *counts, total = self._cells.copy()
        names, below, found = [*map(str, self.bounds), "+Inf"], 0.0, []
        for name, count in zip(names, counts, strict=True):
            below += count
            found.append((name, below))
        return found, total
