"""The IPv4 addresses of a block: which of them NICs may have, the lowest free one, and why one cannot be had.

Promises: an address given is in the block's cidr and between its first and last, both included, is free, and is no
gateway, nor the block's own or its broadcast address (a /31 or /32 has neither). Reading a block is slow beside all
else a guru does, so it is read once for the same figures. Never decides in which words a NIC is refused: networks and
pods differ in what is to be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from interlock.planners.protocol import AddressView

BLOCKS_KEPT = 4096
"""How many blocks stay read. Too few: with more networks than that in use, each NIC waits 20 µs for its own to be read
again; too many: memory for networks long gone, about 2 KiB each."""


@dataclass(frozen=True, slots=True)
class Block:
    """The figures of a network or a pod's range, understood."""

    cidr: IPv4Network
    first: IPv4Address
    last: IPv4Address
    gateway: str
    netmask: str
    kept: Mapping[IPv4Address, str]
    """What no NIC may have, and what it is instead."""
    spans: tuple[tuple[str, str], ...]
    """The stretches of usable addresses, lowest first; none if the block has nothing to give."""


@lru_cache(maxsize=BLOCKS_KEPT)
def block_of(cidr: str, first: str, last: str, gateway: str, others: tuple[str, ...] = ()) -> Block:
    """The block with these figures; `others` are further gateways, which no NIC may have either.

    Raises:
        ValueError: something is not IPv4.
    """
    net, lowest, highest = net_of(cidr), IPv4Address(first), IPv4Address(last)
    kept = {IPv4Address(address): "gateway" for address in (gateway, *others)}
    if net.prefixlen < 31:
        kept[net.network_address] = "network address"
        kept[net.broadcast_address] = "broadcast address"
    start, end = max(lowest, net.network_address), min(highest, net.broadcast_address)
    spans = tuple(_between(int(start), int(end), map(int, kept)))
    return Block(net, lowest, highest, str(IPv4Address(gateway)), str(net.netmask), kept, spans)


@lru_cache(maxsize=BLOCKS_KEPT)
def net_of(cidr: str) -> IPv4Network:
    """The cidr.

    Raises:
        ValueError: it is not IPv4, or has host bits.
    """
    return IPv4Network(cidr)


def lowest_free(block: Block, taken: AddressView) -> str | None:
    """The lowest address of the block that a NIC may have; None if there is none."""
    return next((free for first, last in block.spans if (free := taken.first_free(first, last))), None)


def why_not(text: str, block: Block, taken: AddressView) -> str | None:
    """None if a NIC may have the address; else what is wrong with it, as in "10.0.0.9 is taken"."""
    if wrong := outside(text, block.cidr):
        return wrong
    address = IPv4Address(text)
    if what := block.kept.get(address):
        return f"{text} is the {what}"
    if not block.first <= address <= block.last:
        return f"{text} is outside the range"
    return f"{text} is taken" if taken.is_taken(text) else None


def outside(text: str, cidr: IPv4Network) -> str | None:
    """None if the text is an address of the cidr (there is one spelling of each); else what is wrong with it."""
    try:
        return None if IPv4Address(text) in cidr else f"{text} is outside {cidr}"
    except AddressValueError:
        return f"{text!r} is not an IPv4 address"


def _between(start: int, end: int, cuts: Iterable[int]) -> Iterator[tuple[str, str]]:
    """From start to end, both included, without the cuts."""
    for cut in sorted(cuts):
        if start <= cut <= end:
            if start < cut:
                yield str(IPv4Address(start)), str(IPv4Address(cut - 1))
            start = cut + 1
    if start <= end:
        yield str(IPv4Address(start)), str(IPv4Address(end))
