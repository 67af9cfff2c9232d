"""A column of whole numbers, sliced by bits, that says at once in which rows the number is great enough.

Slice i is one Python integer; its bit r is bit i of the number in row r. Comparing all rows with a number takes one
AND or OR of such integers for each bit of it, so ten thousand rows cost a few microseconds, whatever is in them: no
order to keep, no worst case. One row's change flips the bits that differ.

Promises: `at_least` equals comparing row by row. Numbers below zero are no numbers: their rows are in no answer.
Cost grows with the rows, 1/8 byte per row and bit: right for what one control plane has, up to some 100,000 rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

Rows = int
"""A set of rows: bit r says whether row r is in it."""


def rows_of(numbers: Iterable[int]) -> Rows:
    """The set of these rows."""
    known = list(numbers)
    raw = bytearray((max(known, default=-1) >> 3) + 1)
    for row in known:
        raw[row >> 3] |= 1 << (row & 7)
    return int.from_bytes(raw, "little")


def each(rows: Rows) -> Iterator[int]:
    """The rows of the set, the lowest first; only as far as it is asked."""
    while rows:
        lowest = rows & -rows
        yield lowest.bit_length() - 1
        rows ^= lowest


class Column:
    """One number for each of a fixed number of rows."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = list(numbers)
        self._there = rows_of(row for row, number in enumerate(numbers) if number >= 0)
        width = max(numbers, default=0).bit_length()
        self._slices = [
            rows_of(row for row, number in enumerate(numbers) if number >= 0 and number >> bit & 1)
            for bit in range(width)
        ]

    def put(self, row: int, number: int) -> None:
        """Change one row's number."""
        old, self._numbers[row] = self._numbers[row], number
        at = 1 << row
        if (old < 0) != (number < 0):
            self._there ^= at
        changed = max(0, old) ^ max(0, number)
        while changed:
            lowest = changed & -changed
            bit = lowest.bit_length() - 1
            while bit >= len(self._slices):
                self._slices.append(0)
            self._slices[bit] ^= at
            changed ^= lowest

    def at_least(self, number: int) -> Rows:
        """The rows whose number is not less."""
        if number <= 0:
            return self._there
        if number.bit_length() > len(self._slices):
            return 0
        # From the lowest bit up: so far as the bits below say, `rows` have enough. Below the lowest bit that is set
        # in `number`, all have.
        bit = (number & -number).bit_length() - 1
        rows = self._slices[bit]
        for slice in self._slices[bit + 1 :]:
            bit += 1
            rows = rows & slice if number >> bit & 1 else rows | slice
        return rows

    def greatest(self, among: Rows) -> int:
        """The greatest number in these rows; they are in `at_least(0)`, and not none."""
        number = 0
        for bit in range(len(self._slices) - 1, -1, -1):
            if with_it := among & self._slices[bit]:
                among, number = with_it, number | 1 << bit
        return number
