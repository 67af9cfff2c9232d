"""The rows of a fit by the number of VMs that they have room for, the most first; of equals, the lower row.

Only the first stretch of the order is kept, as keys in a sorted list: who asks takes one of the first. Changes are
followed within the stretch; beyond its end nothing is known, and nothing needs to be. When it is used up, or somebody
goes beyond it, the next stretch is found by columns: how many VMs must a host have room for so that some, but not too
many, have? A sample of hosts gives the first guess.

Promises: the keys equal the first of all rows' keys in order, after any changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from interlock.engine.orchestrator.rows import HostRows
from interlock.engine.orchestrator.slices import AT, BITS, IN, Flags, Rows, all_of, both, count, each, either, less

LONG: Final = 1_024
"""Keys of a stretch. Too few: it is used up often, and each costs some hundred microseconds; too many: finding one
costs milliseconds, for a key each."""
PART: Final = 16
"""Keys that are handed out at once. Too few: who looks on asks again; too many: copied for nothing."""
SAMPLE: Final = 128
"""Hosts that a guess is made from. Too few: it is wrong, and columns are asked again; too many: dearer than that."""
ROW_BITS: Final = 32
ROW: Final = (1 << ROW_BITS) - 1
"""`key & ROW` is the row; the rest, negated, the number of VMs."""
BEGIN: Final = -1 << 128
END: Final = 1 << 128

Stretch = tuple[list[int], int]
"""Keys in order, and the last key up to which these are all; END: there are no more."""


class Roomiest:
    """Of one zone and size.

    Args:
        rows: the zone.
        holdings: what a VM holds, by the kind of host.
        with_room: the rows that fit, with room for so many VMs.
    """

    def __init__(
        self, rows: HostRows, holdings: list[tuple[int, int]], with_room: Callable[[int], Rows], flags: Flags
    ) -> None:
        self._rows, self._with_room = rows, with_room
        # Nothing holds less than one unit, or there were room for endless many.
        self._holdings = [(max(1, cpu), max(1, memory)) for cpu, memory in holdings]
        self._take(flags)

    def _take(self, flags: Flags) -> None:
        self._keys, self._last = self._found(BEGIN, flags)
        self._key_of = {key & ROW: key for key in self._keys}

    def first(self, flags: Flags) -> Stretch:
        """The first of all.

        Args:
            flags: the rows that fit.
        """
        if not self._keys and self._last != END:
            self._take(flags)
        return self.after(BEGIN, flags)

    def after(self, key: int, flags: Flags) -> Stretch:
        """The rows that come after a key; some of them, as most take one of the first.

        Args:
            key: where the last stretch ended.
            flags: the rows that fit.
        """
        if key >= self._last:
            return self._found(key, flags)
        begin = bisect_right(self._keys, key)
        part = self._keys[begin : begin + PART]
        return part, self._last if begin + PART >= len(self._keys) else part[-1]

    def look_at(self, changed: Iterable[int], flags: Flags) -> None:
        """These rows have changed, and these fit now."""
        keys, key_of, last = self._keys, self._key_of, self._last
        cpu, memory, kinds = self._rows.cpu.numbers, self._rows.memory.numbers, self._rows.kinds
        for row in changed:
            new = END
            if flags[row >> BITS][row & AT] == IN:
                # As `key` says it; every decision does this for some dozen rows.
                each_cpu, each_memory = self._holdings[kinds[row]]
                by_cpu, by_memory = cpu[row] // each_cpu, memory[row] // each_memory
                new = row - ((by_cpu if by_cpu < by_memory else by_memory) << ROW_BITS)
            old = key_of.get(row, END)
            if new != old and (old != END or new <= last):
                self._move(row, old, new)
        if len(keys) > 2 * LONG:
            self._shorten()

    def _move(self, row: int, old: int, new: int) -> None:
        if old != END:
            del self._keys[bisect_left(self._keys, old)], self._key_of[row]
        if new <= self._last and new != END:
            insort(self._keys, new)
            self._key_of[row] = new

    def _shorten(self) -> None:
        for key in self._keys[LONG:]:
            del self._key_of[key & ROW]
        del self._keys[LONG:]
        self._last = self._keys[-1]

    def key(self, row: int) -> int:
        """The less, the sooner it comes."""
        cpu, memory = self._holdings[self._rows.kinds[row]]
        vms = min(self._rows.cpu.numbers[row] // cpu, self._rows.memory.numbers[row] // memory)
        return row - (vms << ROW_BITS)

    # --- finding a stretch

    def _found(self, key: int, flags: Flags) -> Stretch:
        """The rows that come after a key, so far as is worth the while; one at least, if there is one."""
        passed = self._passed(key)
        rows = less(self._with_room(1), passed)
        if count(rows) <= LONG:
            return self._sorted(rows), END
        least, most = 1, self._most() + 1 if key == BEGIN else 1 - (key >> ROW_BITS)
        guess = self._guess(key, flags)
        while most - least > 1:
            vms = next((each for each in (guess, guess + 1) if least < each < most), (least + most) // 2)
            roomy = less(self._with_room(vms), passed)
            number = count(roomy)
            if number > LONG:
                least, rows = vms, roomy
            elif number:
                return self._sorted(roomy), ROW - (vms << ROW_BITS)
            else:
                most = vms
        # All of them have room for the same number.
        keys = [row - (least << ROW_BITS) for row in islice(each(rows), LONG // 2)]
        return keys, keys[-1]

    def _passed(self, key: int) -> Rows:
        """The rows up to a key."""
        nobody = [0] * len(self._rows.vacant)
        if key == BEGIN:
            return nobody
        vms, row = -(key >> ROW_BITS), key & ROW
        up_to = all_of(min(row + 1, len(self._rows.hosts)))
        with_as_many = both(self._with_room(vms), [*up_to, *nobody[len(up_to) :]])
        return either(self._with_room(vms + 1), with_as_many)

    def _most(self) -> int:
        """No host has room for more."""
        cpu, memory = self._rows.cpu.most, self._rows.memory.most
        return max(min(cpu // each_cpu, memory // each_memory) for each_cpu, each_memory in self._holdings)

    def _guess(self, key: int, flags: Flags) -> int:
        """For how many VMs some hundred hosts after `key` have room, by a sample."""
        known = sorted(found for row in _sample(flags) if (found := self.key(row)) > key)
        return -(known[0] >> ROW_BITS) if known else 1

    def _sorted(self, rows: Rows) -> list[int]:
        return sorted(map(self.key, each(rows)))


def _sample(flags: Flags) -> Iterator[int]:
    """Some of the rows, from all along."""
    for number, chunk in enumerate(flags):
        for begin in range(0, len(chunk), max(1, len(chunk) * len(flags) // SAMPLE)):
            if (at := chunk.find(IN, begin)) >= 0:
                yield (number << BITS) + at
