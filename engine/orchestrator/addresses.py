"""Which addresses of one network are owned: a byte for each IPv4 address near an owned one, and a set of IPv6.

IPv4 addresses are given lowest first, so a byte a piece makes "first free" one C call for each page; pages are made
where addresses are owned, so that a network may be as wide as it likes, give addresses of several pods, and have given
some that its description does not have any more. IPv6 addresses are only ever looked up.

Addresses are read by the system's own `inet_pton`: ten times as fast as `ipaddress`, and each deploy reads several.
"""

from __future__ import annotations

from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

FREE, OWNED = 0, 1
PAGE = 1024
"""IPv4 addresses of a page, a byte each. Too few: finding the first free one of a full network takes many calls; too
many: each small network costs that much memory."""


class AddressBook:
    """Implements `AddressView` for planners; `take` and `give_back` are the engine's."""

    def __init__(self, owned: Iterable[str] = (), aside: int = 0) -> None:
        self.aside = aside
        """How far into a range `first_free` begins, modulo its length: engines that were after the same addresses do
        not go on to be."""
        self._pages: dict[int, bytearray] = {}
        self._owned6: set[bytes] = set()
        for address in owned:
            self.take(address)

    def is_taken(self, ip_address: str) -> bool:
        """See `AddressView`."""
        if ":" in ip_address:
            return inet_pton(AF_INET6, ip_address) in self._owned6
        page, place = divmod(_number(ip_address), PAGE)
        return page in self._pages and self._pages[page][place] == OWNED

    def first_free(self, first: str, last: str) -> str | None:
        """See `AddressView`."""
        start, end = _number(first), _number(last) + 1
        begin = start + self.aside % max(1, end - start)
        return self._first_free(begin, end) or (self._first_free(start, begin) if self.aside else None)

    def _first_free(self, start: int, end: int) -> str | None:
        while start < end:
            page, place = divmod(start, PAGE)
            owned = self._pages.get(page)
            found = place if owned is None else owned.find(FREE, place, end - page * PAGE)
            if found >= 0:
                return inet_ntop(AF_INET, (page * PAGE + found).to_bytes(4, "big"))
            start = (page + 1) * PAGE
        return None

    @property
    def owned(self) -> int:
        """How many IPv4 addresses are owned."""
        return sum(page.count(OWNED) for page in tuple(self._pages.values()))

    def take(self, ip_address: str) -> None:
        """It is owned now."""
        if ":" in ip_address:
            self._owned6.add(inet_pton(AF_INET6, ip_address))
        else:
            page, place = divmod(_number(ip_address), PAGE)
            self._pages.setdefault(page, bytearray(PAGE))[place] = OWNED

    def give_back(self, ip_address: str) -> None:
        """It is free again."""
        if ":" in ip_address:
            self._owned6.discard(inet_pton(AF_INET6, ip_address))
            return
        page, place = divmod(_number(ip_address), PAGE)
        if page in self._pages:
            self._pages[page][place] = FREE


def _number(ip_address: str) -> int:
    return int.from_bytes(inet_pton(AF_INET, ip_address), "big")
