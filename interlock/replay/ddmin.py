"""Delta debugging (Zeller and Hildebrandt, 2002): the shortest list that still fails, as far as leaving out goes.

Chunks are left out, ever smaller ones, until none can be. Bounded by a number of tries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(things: Sequence[T], fails: Callable[[list[T]], Sequence[T] | None], most: int) -> list[T]:
    """The things without those that are not needed to fail.

    Args:
        things: a list that fails.
        fails: those of a shorter list that had a part in it, if it fails in the same way; else None.
        most: tries at most.
    """
    left, tries = list(things), 0
    size = max(1, len(left) // 2)
    while tries < most:
        begin, found = 0, False
        while begin < len(left) and tries < most:
            had_a_part = fails([*left[:begin], *left[begin + size :]])
            tries += 1
            if had_a_part is not None:
                left, found = list(had_a_part), True
            else:
                begin += size
        if size == 1 and not found:
            break
        size = size if found else max(1, size // 2)
    return left
