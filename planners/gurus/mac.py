"""The MAC address of a NIC: the one that was asked for, or one that follows from the NIC's seed.

Promises: a MAC is given in lower case with colons, and is unicast. One that is made is locally administered (02:…),
and the same for the same seed; two seeds may meet in one MAC, about once in a million million pairs. One that is asked
for may be a maker's as well. Never knows which are taken: they must differ in the whole database, which a guru does
not see; the unique index refuses the second in the commit.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from interlock.planners.protocol import NoAddress

_PAIR, _QUAD = "[0-9a-f]{2}", "[0-9a-f]{4}"
_SPELLINGS = re.compile(
    rf"{_PAIR}(:{_PAIR}){{5}}|{_PAIR}(-{_PAIR}){{5}}|{_QUAD}(\.{_QUAD}){{2}}|[0-9a-f]{{12}}", re.IGNORECASE
)
"""02:00:00:00:00:01, 02-00-00-00-00-01, 0200.0000.0001 and 020000000001."""
MULTICAST = 1 << 40
"""The bit of a MAC, as a number, that says it means a group of NICs."""


def mac_of(network_id: str, wished: str | None, seed: str) -> str | NoAddress:
    """The MAC for a NIC: in the usual spelling the wished one, if a NIC can have it; else that of the seed."""
    if wished is None:
        return mac_from(seed)
    number = mac_number(wished)
    wrong = "is not a MAC address" if number is None else _why_not(number)
    if number is None or wrong:
        return NoAddress(
            f"{wished!r} {wrong}; ask network {network_id} for one as in 02:00:5e:10:00:01, or for none in particular"
        )
    return number.to_bytes(6, "big").hex(":")


def mac_from(seed: str) -> str:
    """A locally administered unicast MAC; 40 of its 48 bits follow from the seed."""
    return "02:" + blake2b(seed.encode(), digest_size=5).digest().hex(":")


def mac_number(text: str) -> int | None:
    """A MAC in any usual spelling as a number of 48 bits; None if it is not one."""
    return int(re.sub("[^0-9A-Fa-f]", "", text), 16) if _SPELLINGS.fullmatch(text) else None


def _why_not(number: int) -> str | None:
    if number == 0:
        return "is all zeros, which no NIC may have"
    if number == 2**48 - 1:
        return "is the broadcast address, which no NIC may have"
    return "is a multicast address, which no NIC may have" if number & MULTICAST else None
