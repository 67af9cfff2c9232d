"""What a guru gives a NIC, checked: a guru may be anybody's, and its answer goes into records and the ledger.

Promises: what is returned lies in the network (or in one of the pod's ranges), is not known as taken, is what was
asked for, and is spelled in the one way in which the unique indexes compare it. What a guru raises is its bug, and so
is every other answer: the message says which. Never checks a guru's own rules (who may join, what else it keeps back).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeGuard, TypeVar

from msgspec.structs import replace

from interlock.planners.protocol import Address, AddressView, NetworkGuru, NoAddress, PodAddress, PodGuru
from interlock.schema.cloud import Network, PodRange
from interlock.schema.errors import PluginError
from interlock.schema.records import Nic, Vm
from interlock.schema.requests import NicRequest
from interlock.schema.words import clean

T = TypeVar("T")
MAC = re.compile(r"(?!00:00:00:00:00:00)[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
"""Unicast, in lower case with colons."""
BLOCKS_KEPT = 4096
"""How many networks' blocks, and how many gateways and netmasks, stay parsed. Too few: each NIC waits 10 µs for its
own; too many: memory for networks long gone, about 500 bytes each."""


def is_pod_guru(guru: NetworkGuru | None) -> TypeGuard[PodGuru]:
    """Whether it gives IPv4 addresses by pod. (Asking `isinstance` of a protocol takes ten times as long.)"""
    return callable(getattr(guru, "reserve", None))


def given(
    guru: NetworkGuru, network: Network, wish: NicRequest, taken: AddressView, vm: Vm, nic_id: str
) -> Address | NoAddress:
    """The guru's answer. An address without IPv4 is followed by `reserved`.

    Raises:
        PluginError: it raised, or gave what cannot be an address of this network.
    """
    return _checked(
        network,
        lambda: guru.allocate(network, wish, taken, vm.account_id, nic_id),
        lambda answer: _wrong(answer, guru, network, wish, taken),
    )


def reserved(
    guru: PodGuru, network: Network, ranges: Iterable[PodRange], nic: Nic, taken: AddressView
) -> PodAddress | NoAddress:
    """The guru's answer for a NIC whose host was chosen; `ranges` are those of the host's pod.

    Raises:
        PluginError: it raised, or gave what cannot be an address of these ranges.
    """
    ranges = tuple(ranges)
    return _checked(
        network,
        lambda: guru.reserve(network, ranges, nic.wished_ip, taken),
        lambda answer: _wrong_of_pod(answer, network, ranges, nic, taken),
    )


def _checked(network: Network, ask: Callable[[], T], check: Callable[[T], str | None]) -> T:
    """The answer, if the check finds nothing wrong. A refusal's reason is kept with operations, so it is cleaned."""
    try:
        answer = ask()
    except Exception as error:
        raise _bug(network, f"it raised {error!r}") from error
    try:
        wrong = check(answer)
    except Exception as error:
        raise _bug(network, f"it answered {answer!r}: {error}") from error
    if wrong:
        raise _bug(network, wrong)
    return replace(answer, reason=clean(answer.reason)) if isinstance(answer, NoAddress) else answer


def _bug(network: Network, wrong: str) -> PluginError:
    return PluginError(clean(f"guru {network.guru} has a bug: in network {network.id} {wrong}"))


def _wrong(answer: object, guru: NetworkGuru, network: Network, wish: NicRequest, taken: AddressView) -> str | None:
    if isinstance(answer, NoAddress):
        return None
    if not isinstance(answer, Address):
        return f"it answered {type(answer).__name__}, not Address or NoAddress"
    return (
        _wrong_ipv4(answer, guru, network, wish, taken)
        or _wrong_ipv6(answer.ip6_address, network, wish, taken)
        or _wrong_mac(answer.mac_address, wish)
    )


def _wrong_ipv4(
    answer: Address, guru: NetworkGuru, network: Network, wish: NicRequest, taken: AddressView
) -> str | None:
    address = answer.ip_address
    if address is None:
        if not is_pod_guru(guru):
            return "it gave no IPv4 address, and has no `reserve` to give one later"
        return "it gave a gateway or netmask without an IPv4 address" if answer.gateway or answer.netmask else None
    if IPv4Address(_text(address)) not in _block(network.cidr):
        return f"it gave {address}, which is not in {network.cidr}"
    if wish.ip_address not in (None, address):
        return f"it gave {address}, though {wish.ip_address} was asked for"
    for figure in (answer.gateway, answer.netmask):
        _figure(figure)
    return _wrong_owner(address, taken)


def _wrong_ipv6(address: str | None, network: Network, wish: NicRequest, taken: AddressView) -> str | None:
    if address is None:
        return f"it gave no IPv6 address, though {wish.ip6_address!r} was asked for" if wish.ip6_address else None
    if network.cidr6 is None:
        return f"it gave {address}, and the network has no IPv6"
    number = IPv6Address(int(IPv6Address(_text(address))))  # without a zone, as in …%eth0
    if number not in _block6(network.cidr6):
        return f"it gave {address}, which is not in {network.cidr6}"
    if str(number) != address:
        return f"it gave {address}, which must be written {number}"
    if wish.ip6_address is not None and IPv6Address(wish.ip6_address) != number:
        return f"it gave {address}, though {wish.ip6_address} was asked for"
    return _wrong_owner(address, taken)


def _wrong_mac(address: str, wish: NicRequest) -> str | None:
    if not MAC.fullmatch(address):
        return f"it gave the MAC address {address!r}, which is not unicast in lower case with colons"
    if wish.mac_address is not None and _digits(wish.mac_address) != _digits(address):
        return f"it gave the MAC address {address}, though {wish.mac_address!r} was asked for"
    return None


def _wrong_of_pod(
    answer: object, network: Network, ranges: tuple[PodRange, ...], nic: Nic, taken: AddressView
) -> str | None:
    if isinstance(answer, NoAddress):
        return None
    if not isinstance(answer, PodAddress):
        return f"it answered {type(answer).__name__}, not PodAddress or NoAddress"
    if not any(_is_of(answer, row) for row in ranges if row.network_id == network.id):
        said = f"{answer.ip_address} with gateway {answer.gateway} and netmask {answer.netmask}"
        return f"it gave {said}, which is in no range of the pod"
    if nic.wished_ip not in (None, answer.ip_address):
        return f"it gave {answer.ip_address}, though {nic.wished_ip} was asked for"
    return _wrong_owner(answer.ip_address, taken)


def _is_of(answer: PodAddress, row: PodRange) -> bool:
    """Whether the address is one of the range's, and comes with its gateway and netmask."""
    within = IPv4Address(row.first_ip) <= IPv4Address(_text(answer.ip_address)) <= IPv4Address(row.last_ip)
    return within and (answer.gateway, answer.netmask) == (row.gateway, str(_block(row.cidr).netmask))


def _wrong_owner(address: str, taken: AddressView) -> str | None:
    return f"it gave {address}, which is taken" if taken.is_taken(address) else None


def _text(value: object) -> str:
    """`value`, which `ipaddress` would also read as a number or bytes.

    Raises:
        TypeError: it is not text.
    """
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} instead of the text of an address")


@lru_cache(maxsize=BLOCKS_KEPT)
def _figure(value: object) -> None:
    """Raises TypeError or ValueError for a gateway or netmask that is neither IPv4 nor None."""
    if value is not None:
        IPv4Address(_text(value))


def _digits(mac: str) -> str:
    return re.sub("[^0-9a-f]", "", mac.lower())


@lru_cache(maxsize=BLOCKS_KEPT)
def _block(cidr: str) -> IPv4Network:
    return IPv4Network(cidr)


@lru_cache(maxsize=BLOCKS_KEPT)
def _block6(cidr6: str) -> IPv6Network:
    return IPv6Network(cidr6)
