"""Sets of rows in chunks, and columns of whole numbers that say at once in which rows the number is great enough.

Two forms of a set. `Rows`, a bit for each row: one integer a chunk, for combining sets. `Flags`, a byte for each row:
one bytearray a chunk, for walking along them (`bytearray.find` passes over 20 rows in a nanosecond) and for changing
one row at the cost of one. In both, a chunk that nobody changes may belong to many sets.

A column is sliced by bits: slice i has bit i of each row's number. Comparing all rows with a number takes one AND or OR
of such slices for each bit of it, so a hundred thousand rows cost some 50 microseconds, whatever is in them: no order
to keep, no worst case. One row's change flips the bits that differ, within its chunk.

Promises: `at_least` equals comparing row by row. Numbers below zero are no numbers: their rows are in no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final

BITS: Final = 13
CHUNK: Final = 1 << BITS
"""Rows of a chunk. Too few: a set of many rows is many objects; too many: changing one row copies that many bytes."""
AT: Final = CHUNK - 1
"""`row & AT` is its place within the chunk `row >> BITS`."""
STALE: Final = 256
"""Rows whose bits wait. Too few: they are turned for nothing; too many: who needs the bits waits, 2 us for each."""
IN: Final = ord("1")
OUT: Final = ord("0")

Rows = list[int]
"""A set of rows. The first row of a chunk is the highest bit, so that the bits as text are the flags in their order."""
Flags = list[bytearray]
"""The same set: IN or OUT for each row."""


def rows_of(numbers: Iterable[int], length: int) -> Rows:
    """The set of these rows, of so many that there are."""
    raw = [bytearray(CHUNK >> 3) for _ in range(0, length, CHUNK)]
    for row in numbers:
        raw[row >> BITS][(row & AT) >> 3] |= 128 >> (row & 7)
    return [int.from_bytes(chunk, "big") for chunk in raw]


def all_of(length: int) -> Rows:
    """Every row of so many."""
    full = (1 << CHUNK) - 1
    return [full >> left << left for first in range(0, length, CHUNK) for left in [max(0, first + CHUNK - length)]]


def both(some: Rows, others: Rows) -> Rows:
    """The rows in both sets."""
    return [one & other for one, other in zip(some, others, strict=True)]


def either(some: Rows, others: Rows) -> Rows:
    """The rows in one of the sets at least."""
    return [one | other for one, other in zip(some, others, strict=True)]


def less(some: Rows, others: Rows) -> Rows:
    """The rows in the first set alone."""
    return [one & ~other for one, other in zip(some, others, strict=True)]


def count(rows: Rows) -> int:
    """How many there are."""
    return sum(map(int.bit_count, rows))


def each(rows: Rows) -> Iterator[int]:
    """The rows of the set, the lowest first; only as far as it is asked."""
    for number, chunk in enumerate(rows):
        end, left = (number << BITS) + CHUNK, chunk
        while left:
            length = left.bit_length()
            yield end - length
            left ^= 1 << (length - 1)


def flags_of(rows: Rows, length: int) -> Flags:
    """The set with a byte for each row; the last chunk has no more of them than there are."""
    flags = [bytearray(f"{chunk:0{CHUNK}b}", "ascii") for chunk in rows]
    if flags:
        del flags[-1][((length - 1) & AT) + 1 :]
    return flags


def flagged(flags: Flags, flag: int = IN) -> Iterator[int]:
    """The rows with that flag, the lowest first; only as far as it is asked."""
    for number, chunk in enumerate(flags):
        at = chunk.find(flag)
        while at >= 0:
            yield (number << BITS) + at
            at = chunk.find(flag, at + 1)


def without(flags: Flags, rows: Iterable[int]) -> tuple[Flags, int]:
    """The set less these rows, and how many of them were in it."""
    flags, owned, gone = list(flags), dict[int, bytearray](), 0
    last, chunk = -1, bytearray()
    for row in rows:
        if row >> BITS != last:
            last = row >> BITS
            chunk = owned.get(last) or bytearray(flags[last])
            flags[last] = owned[last] = chunk
        if chunk[row & AT] == IN:
            chunk[row & AT] = OUT
            gone += 1
    return flags, gone


def within(flags: Flags, rows: Iterable[int]) -> tuple[Flags, int]:
    """The set less all but these rows, and how many of them are in it."""
    kept, owned = [_nobody(len(chunk)) for chunk in flags], set[int]()
    found = {row for row in rows if flags[row >> BITS][row & AT] == IN}
    for row in found:
        number = row >> BITS
        if number not in owned:
            owned.add(number)
            kept[number] = bytearray(kept[number])
        kept[number][row & AT] = IN
    return kept, len(found)


@cache
def _nobody(length: int) -> bytearray:
    """A chunk of so many rows, none of which is in the set."""
    return bytearray([OUT]) * length


class Column:
    """One number for each of a fixed number of rows."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = list(numbers)
        """By row. Read only."""
        self._stale: dict[int, int] = {}
        """Rows whose bits are still those of an older number."""
        self._there = rows_of((row for row, number in enumerate(numbers) if number >= 0), len(numbers))
        self._none = [0] * len(self._there)
        width = max(numbers, default=0).bit_length()
        self._slices = [
            rows_of((row for row, number in enumerate(numbers) if number >= 0 and number >> bit & 1), len(numbers))
            for bit in range(width)
        ]

    def put(self, row: int, number: int) -> None:
        """Change one row's number."""
        # What has changed soon changes again: bits are turned when they are needed, or when too many wait.
        old = self._stale.setdefault(row, self.numbers[row])
        self.numbers[row] = number
        if old == number:
            del self._stale[row]
        elif len(self._stale) > STALE:
            self._turn(*self._oldest())

    def _oldest(self) -> tuple[int, int]:
        row = next(iter(self._stale))
        return row, self._stale.pop(row)

    def _turn(self, row: int, old: int) -> None:
        """Turn the bits in which the row's number differs from an old one."""
        number, chunk, at = self.numbers[row], row >> BITS, 1 << (AT - (row & AT))
        if (old < 0) != (number < 0):
            self._there[chunk] ^= at
        changed = max(0, old) ^ max(0, number)
        for _ in range(len(self._slices), changed.bit_length()):
            self._slices.append(list(self._none))
        while changed:
            lowest = changed & -changed
            self._slices[lowest.bit_length() - 1][chunk] ^= at
            changed ^= lowest

    def at_least(self, number: int) -> Rows:
        """The rows whose number is not less."""
        while self._stale:
            self._turn(*self._stale.popitem())
        if number <= 0:
            return list(self._there)
        if number.bit_length() > len(self._slices):
            return list(self._none)
        # From the lowest bit up: so far as the bits below say, `rows` have enough. Below the lowest bit that is set
        # in `number`, all have.
        bit = (number & -number).bit_length() - 1
        rows = list(self._slices[bit])
        for slice in self._slices[bit + 1 :]:
            bit += 1
            rows = both(rows, slice) if number >> bit & 1 else either(rows, slice)
        return rows

    @property
    def most(self) -> int:
        """No number is greater."""
        while self._stale:
            self._turn(*self._stale.popitem())
        return (1 << len(self._slices)) - 1
