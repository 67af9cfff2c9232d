"""Addresses in memory, as gurus see them, and networks and pods at random.

The usable addresses of a network or a pod are listed by the standard library; gurus never make such a list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hypothesis import strategies as st

from interlock.schema.cloud import Network, PodRange
from interlock.testing.kits.clouds import ZONE


def a_network(id: str = "n1", cidr: str = "10.0.0.0/24", **more: Any) -> Network:
    """A shared /24 that gives .10 to .20."""
    fields: dict[str, Any] = {"id": id, "zone_id": ZONE, "guru": "direct", "cidr": cidr}
    figures = {"gateway": "10.0.0.1", "first_ip": "10.0.0.10", "last_ip": "10.0.0.20"}
    return Network(**{**fields, **figures, **more})


class FakeAddresses:
    """An `AddressView` over a set."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self.asked = 0

    def is_taken(self, ip_address: str) -> bool:
        return ip_address in self.taken

    def first_free(self, first: str, last: str) -> str | None:
        self.asked += 1
        numbers = range(int(IPv4Address(first)), int(IPv4Address(last)) + 1)
        return next((ip for ip in map(str, map(IPv4Address, numbers)) if ip not in self.taken), None)


def a_range(id: str = "r1", **more: Any) -> PodRange:
    """Of pod p1: .10 to .12 of a /24."""
    fields: dict[str, Any] = {"id": id, "network_id": "n1", "pod_id": "p1", "cidr": "10.0.1.0/24"}
    return PodRange(**{**fields, "gateway": "10.0.1.1", "first_ip": "10.0.1.10", "last_ip": "10.0.1.12", **more})


# At random


@st.composite
def blocks(draw: st.DrawFn, bases: tuple[str, ...]) -> dict[str, str]:
    """A small block: cidr, gateway, first and last, which lie in it; the gateway may lie between them."""
    net = IPv4Network((draw(st.sampled_from(bases)), draw(st.integers(27, 29))), strict=False)
    within = st.integers(int(net.network_address) + 1, int(net.broadcast_address) - 1)
    first, last = sorted((draw(within), draw(within)))
    figures = {"gateway": draw(within), "first_ip": first, "last_ip": last}
    return {"cidr": str(net), **{name: str(IPv4Address(number)) for name, number in figures.items()}}


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Of account `a`, some with IPv6."""
    cidr6 = draw(st.sampled_from([None, None, "2001:db8::/64", "2001:db8::/125"]))
    gateway6 = draw(st.sampled_from(["2001:db8::1", "fe80::1", None])) if cidr6 else None
    block: dict[str, Any] = draw(blocks(("10.1.0.64", "192.168.7.0")))
    return a_network(**block, cidr6=cidr6, gateway6=gateway6, account_id="a")


@st.composite
def pods(draw: st.DrawFn) -> tuple[PodRange, ...]:
    """The ranges of one pod; they may overlap, and some belong to another network."""
    whose = st.sampled_from(["n1", "n1", "n1", "another"])
    made = draw(st.lists(st.tuples(blocks(("10.0.7.0", "10.0.7.16", "10.0.8.0")), whose), max_size=3))
    return tuple(a_range(f"r{number}", network_id=owner, **block) for number, (block, owner) in enumerate(made))


def usable(network: Network) -> list[str]:
    """What a network has to give, lowest first."""
    return _between(network.cidr, network.first_ip, network.last_ip, {network.gateway})


def usable_in(network: Network, ranges: Iterable[PodRange]) -> list[str]:
    """What a pod has to give for the network, lowest first."""
    mine = [row for row in ranges if row.network_id == network.id]
    gateways = {network.gateway, *(row.gateway for row in mine)}
    found = {ip for row in mine for ip in _between(row.cidr, row.first_ip, row.last_ip, gateways)}
    return sorted(found, key=IPv4Address)


def _between(cidr: str, first: str, last: str, gateways: Collection[str]) -> list[str]:
    lowest, highest = IPv4Address(first), IPv4Address(last)
    return [str(ip) for ip in IPv4Network(cidr).hosts() if lowest <= ip <= highest and str(ip) not in gateways]
