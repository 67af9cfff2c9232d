"""The IPv6 address of a NIC: the one that was asked for, or one that follows from its MAC.

Which one follows depends on the length of the network's prefix:
- /64: the EUI-64 address of the MAC (RFC 4291, appendix A), which a guest that listens to router advertisements gives
  itself; so if that one is not to be had, no other will do and the NIC is refused.
- shorter: the same, in the first /64 of the block.
- longer: there is no room for EUI-64, and guests are told by DHCPv6. The first free address from the low bits of the
  MAC upwards, beginning again at the lowest; it looks at one more address than are taken in a row, at worst at all.

Promises: an address given is in `cidr6`, is free, and is neither the gateway's nor the block's lowest, which means any
router (a /127 or /128 has none). It is spelled as RFC 5952 has it, so that one address is never kept twice. A network
without `cidr6` gives none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address, IPv6Network

import msgspec

from interlock.planners.protocol import AddressView, NoAddress
from interlock.schema.cloud import Network

BLOCKS_KEPT = 4096
"""As in `ipv4.py`."""
LOCAL = 1 << 57
"""The bit that EUI-64 turns round: whether the MAC is locally administered."""


class Block6(msgspec.Struct, frozen=True):
    """The IPv6 figures of a network, understood."""

    cidr: IPv6Network
    kept: Mapping[int, str]
    """What no NIC may have, and what it is instead."""


@lru_cache(maxsize=BLOCKS_KEPT)
def block6_of(cidr6: str, gateway6: str | None) -> Block6:
    """The block with these figures. A gateway may lie elsewhere: link-local ones are usual.

    Raises:
        ValueError: something is not IPv6, or the block has nothing to give.
    """
    net = IPv6Network(cidr6)
    kept = {} if net.prefixlen >= 127 else {int(net.network_address): "address of any router"}
    if gateway6 is not None:
        kept[int(IPv6Address(gateway6))] = "gateway"
    if net.num_addresses <= sum(IPv6Address(address) in net for address in kept):
        raise ValueError(f"{net} has nothing to give beside its gateway")
    return Block6(net, kept)


def ip6_of(network: Network, wished: str | None, mac: str, taken: AddressView) -> str | NoAddress | None:
    """The IPv6 address for a NIC with this MAC; None if the network has none to give and none was asked for."""
    if network.cidr6 is None:
        return None if wished is None else _no_block(network, wished)
    try:
        block = block6_of(network.cidr6, network.gateway6)
    except ValueError as wrong:
        return NoAddress(f"network {network.id} is described wrongly: {wrong}; correct it or choose another")
    if wished is not None:
        return _wished(wished, network, block, taken)
    if block.cidr.prefixlen <= 64:
        return _from_mac(mac, network, block, taken)
    return _next_free(mac, network, block, taken)


def eui64(mac: int) -> int:
    """The low 64 bits of the addresses that a NIC gives itself; a MAC is 48 bits."""
    return ((mac >> 24) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF) ^ LOCAL


def _no_block(network: Network, wished: str) -> NoAddress:
    return NoAddress(
        f"network {network.id} has no IPv6, so it cannot give {wished!r}; "
        "ask for no IPv6 address, describe its cidr6 or choose another network"
    )


def _wished(text: str, network: Network, block: Block6, taken: AddressView) -> str | NoAddress:
    address = _parsed(text)
    if address is None:
        wrong: str | None = "is not an IPv6 address"
    elif address not in block.cidr:
        wrong = f"is outside {block.cidr}"
    else:
        wrong = _why_not(int(address), block, taken)
    if address is not None and wrong is None:
        return str(address)
    return NoAddress(
        f"{text!r} {wrong}; ask network {network.id} for a free IPv6 address in {block.cidr}, or for none in particular"
    )


def _parsed(text: str) -> IPv6Address | None:
    """The address; None if it is not one. One with a zone (…%eth0) has a meaning on one host only, and is none."""
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    return None if address.scope_id is not None else address


def _from_mac(mac: str, network: Network, block: Block6, taken: AddressView) -> str | NoAddress:
    number = int(block.cidr.network_address) | eui64(_number(mac))
    wrong = _why_not(number, block, taken)
    if wrong is None:
        return str(IPv6Address(number))
    return NoAddress(
        f"{IPv6Address(number)}, which goes with MAC address {mac}, {wrong}; "
        f"ask network {network.id} for another MAC address, or for an IPv6 address in {block.cidr}"
    )


def _next_free(mac: str, network: Network, block: Block6, taken: AddressView) -> str | NoAddress:
    for number in _round(block.cidr, _number(mac)):
        if _why_not(number, block, taken) is None:
            return str(IPv6Address(number))
    return NoAddress(
        f"network {network.id} has no free IPv6 address in {block.cidr}; "
        "expunge a VM that holds one, widen cidr6 or choose another network"
    )


def _number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


def _round(net: IPv6Network, start: int) -> Iterator[int]:
    """Every address of the block once, beginning at `start`, of which the low bits count."""
    base, size = int(net.network_address), net.num_addresses
    for number in range(start, start + size):
        yield base + number % size


def _why_not(number: int, block: Block6, taken: AddressView) -> str | None:
    if what := block.kept.get(number):
        return f"is the {what}"
    return "is taken" if taken.is_taken(str(IPv6Address(number))) else None
