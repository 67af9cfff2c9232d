"""How a NIC gets its addresses: the wished or the lowest free IPv4, and a MAC that follows from its seed.

Promises: an address given is in the network's cidr and between `first_ip` and `last_ip`, both included, is
free, and is not the gateway's, nor the network's own or its broadcast address (a /31 or /32 has neither); a
wish is given exactly or refused; a refusal says what to do. A MAC is unicast, locally administered (02:…),
and the same for the same seed; two seeds may meet in one MAC, about once in a million million pairs, and
then the engine's commit refuses it. Never decides who may use the network: the gurus do. Never takes an
address: the commit does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from interlock.planners.protocol import Address, AddressView, NoAddress
from interlock.schema.cloud import Network
from interlock.schema.requests import NicRequest


def allocate(network: Network, wish: NicRequest, taken: AddressView, seed: str) -> Address | NoAddress:
    """The wished or the lowest free address of `network`, with its MAC; or why there is none."""
    if not network.enabled:
        return NoAddress(f"network {network.id} is disabled; enable it or choose another")
    try:
        bounds = _Bounds.of(network)
    except ValueError as wrong:
        return NoAddress(f"network {network.id} is described wrongly: {wrong}; correct it or choose another")
    if wish.ip_address is None:
        found = _lowest_free(network, bounds, taken)
    else:
        found = _wished(wish.ip_address, network, bounds, taken)
    if isinstance(found, NoAddress):
        return found
    return Address(
        ip_address=str(found),
        mac_address=mac_from(seed),
        gateway=str(bounds.gateway),
        netmask=str(bounds.cidr.netmask),
    )


def mac_from(seed: str) -> str:
    """A locally administered unicast MAC; 40 of its 48 bits follow from the seed."""
    return "02:" + blake2b(seed.encode(), digest_size=5).digest().hex(":")


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The figures of a network, understood."""

    cidr: IPv4Network
    first: IPv4Address
    last: IPv4Address
    gateway: IPv4Address

    @classmethod
    def of(cls, network: Network) -> _Bounds:
        """Of a network.

        Raises:
            ValueError: something in it is not IPv4, or it leaves no address to give.
        """
        bounds = cls(
            IPv4Network(network.cidr),
            IPv4Address(network.first_ip),
            IPv4Address(network.last_ip),
            IPv4Address(network.gateway),
        )
        if not any(bounds.spans()):
            raise ValueError(f"{bounds.cidr} has nothing to give between {bounds.first} and {bounds.last}")
        return bounds

    def reserved(self) -> dict[IPv4Address, str]:
        """What no NIC may have, and what it is instead."""
        kept = {self.gateway: "gateway"}
        if self.cidr.prefixlen < 31:
            kept[self.cidr.network_address] = "network address"
            kept[self.cidr.broadcast_address] = "broadcast address"
        return kept

    def spans(self) -> Iterator[tuple[IPv4Address, IPv4Address]]:
        """The stretches of usable addresses, lowest first: the range, cut at what is reserved."""
        start = int(max(self.first, self.cidr.network_address))
        end = int(min(self.last, self.cidr.broadcast_address))
        for cut in sorted(map(int, self.reserved())):
            if start <= cut <= end:
                if start < cut:
                    yield IPv4Address(start), IPv4Address(cut - 1)
                start = cut + 1
        if start <= end:
            yield IPv4Address(start), IPv4Address(end)


def _lowest_free(network: Network, bounds: _Bounds, taken: AddressView) -> IPv4Address | NoAddress:
    for first, last in bounds.spans():
        if free := taken.first_free(str(first), str(last)):
            return IPv4Address(free)
    return NoAddress(
        f"network {network.id} has no free address between {bounds.first} and {bounds.last}; "
        "expunge a VM that holds one, widen the range or choose another network"
    )


def _wished(text: str, network: Network, bounds: _Bounds, taken: AddressView) -> IPv4Address | NoAddress:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return NoAddress(f"{text!r} is not an IPv4 address; write it as in {bounds.first}")
    reason = _why_not(address, bounds)
    if reason is None and taken.is_taken(str(address)):
        reason = "is taken"
    if reason is None:
        return address
    return NoAddress(
        f"{address} {reason}; ask network {network.id} for a free address between {bounds.first} "
        f"and {bounds.last}, or for none in particular"
    )


def _why_not(address: IPv4Address, bounds: _Bounds) -> str | None:
    if address not in bounds.cidr:
        return f"is outside {bounds.cidr}"
    if what := bounds.reserved().get(address):
        return f"is the {what}"
    if not bounds.first <= address <= bounds.last:
        return "is outside the range"
    return None
