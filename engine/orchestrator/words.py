"""What a host was told to have, eight bytes a guest: each as a fingerprint of its name and its power.

So that memory hardly grows with the guests there are: a name in a dictionary takes two hundred bytes. A guest can be
asked for by name, and they can be counted; which ones there are cannot be told, for that there are the records.

Two fingerprints that are equal by chance (one in 10^13 for a million guests) would make a change no news until the
next look at all hosts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from interlock.schema.reports import Power

BITS = (1 << 64) - 1
THERE = tuple(power for power in Power if power is not Power.ABSENT)


class Words:
    """Of one host. One that was not told of is absent."""

    def __init__(self, told: Mapping[str, Power]) -> None:
        self._prints = array("Q", sorted(_print(guest, power) for guest, power in told.items() if power in THERE))

    def __len__(self) -> int:
        return len(self._prints)

    def get(self, guest: str) -> Power:
        """Its power as it was told."""
        return next((power for power in THERE if self._has(_print(guest, power))), Power.ABSENT)

    def put(self, guest: str, power: Power) -> None:
        """Its power is this now."""
        known = self.get(guest)
        if known is power:
            return
        if known is not Power.ABSENT:
            del self._prints[bisect_left(self._prints, _print(guest, known))]
        if power is not Power.ABSENT:
            fingerprint = _print(guest, power)
            self._prints.insert(bisect_left(self._prints, fingerprint), fingerprint)

    def has_others(self, guests: Iterable[str]) -> bool:
        """Whether it has some that are none of these."""
        return len(self) > sum(self.get(guest) is not Power.ABSENT for guest in guests)

    def _has(self, fingerprint: int) -> bool:
        at = bisect_left(self._prints, fingerprint)
        return at < len(self._prints) and self._prints[at] == fingerprint


def _print(guest: str, power: Power) -> int:
    return hash((guest, power.value)) & BITS
