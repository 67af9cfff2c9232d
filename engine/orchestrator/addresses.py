"""Which addresses of one network are owned: a byte for each address the network gives out.

A byte a piece keeps a /16 in 64 KB and makes "first free" one C call. Addresses outside the range (a shrunk network)
are kept in a set, so that giving them back is never lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

FREE, OWNED = 0, 1


class AddressBook:
    """Implements `AddressView` for planners; `take` and `give_back` are the engine's."""

    def __init__(self, first: str, last: str, owned: Iterable[str]) -> None:
        self._base = int(IPv4Address(first))
        self._owned = bytearray(int(IPv4Address(last)) - self._base + 1)
        self._outside: set[str] = set()
        for address in owned:
            self.take(address)

    def is_taken(self, ip_address: str) -> bool:
        """See `AddressView`."""
        place = self._place(ip_address)
        return ip_address in self._outside if place is None else self._owned[place] == OWNED

    def first_free(self, first: str, last: str) -> str | None:
        """See `AddressView`."""
        start = max(int(IPv4Address(first)) - self._base, 0)
        end = min(int(IPv4Address(last)) - self._base + 1, len(self._owned))
        place = self._owned.find(FREE, start, end)
        return None if place < 0 else str(IPv4Address(self._base + place))

    def take(self, ip_address: str) -> None:
        """It is owned now."""
        place = self._place(ip_address)
        if place is None:
            self._outside.add(ip_address)
        else:
            self._owned[place] = OWNED

    def give_back(self, ip_address: str) -> None:
        """It is free again."""
        place = self._place(ip_address)
        if place is None:
            self._outside.discard(ip_address)
        else:
            self._owned[place] = FREE

    def _place(self, ip_address: str) -> int | None:
        place = int(IPv4Address(ip_address)) - self._base
        return place if 0 <= place < len(self._owned) else None
