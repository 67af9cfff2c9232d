"""The promises of the guru of pods, held over random ranges that overlap and reach out of their blocks.

The oracle is the list of every address that some range has to give, made by the standard library.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.planners.gurus.direct import DirectGuru
from interlock.planners.gurus.mac import mac_from
from interlock.planners.gurus.pod import PodBasedGuru
from interlock.planners.protocol import Address, NoAddress, PodAddress, PodGuru
from interlock.schema.cloud import PodRange
from interlock.schema.requests import NicRequest
from tests.fakes import FakeAddresses, a_network

GURU = PodBasedGuru()
NETWORK = a_network(cidr="10.0.0.0/16", gateway="10.0.7.1", guru="pod")


def a_range(id: str = "r1", **more: Any) -> PodRange:
    """Of pod p1: .10 to .12 of a /24."""
    fields: dict[str, Any] = {"id": id, "network_id": "n1", "pod_id": "p1", "cidr": "10.0.1.0/24"}
    return PodRange(**{**fields, "gateway": "10.0.1.1", "first_ip": "10.0.1.10", "last_ip": "10.0.1.12", **more})


# Random pods


@st.composite
def ranges(draw: st.DrawFn, number: int) -> PodRange:
    cidr = IPv4Network((draw(st.sampled_from(["10.0.7.0", "10.0.7.16", "10.0.8.0"])), draw(st.integers(27, 32))), False)
    low, high = int(cidr.network_address), int(cidr.broadcast_address)
    around = st.integers(low - 2, high + 2)
    first, last = sorted((draw(around), draw(around)))
    return a_range(
        f"r{number}",
        network_id=draw(st.sampled_from(["n1", "n1", "n1", "another"])),
        cidr=str(cidr),
        gateway=str(IPv4Address(draw(st.integers(low, high)))),
        first_ip=str(IPv4Address(first)),
        last_ip=str(IPv4Address(last)),
    )


pods = st.integers(0, 3).flatmap(lambda many: st.tuples(*(ranges(number) for number in range(many))))
around_the_pods = st.integers(int(IPv4Address("10.0.6.250")), int(IPv4Address("10.0.8.40"))).map(
    lambda number: str(IPv4Address(number))
)


def usable(pod: tuple[PodRange, ...]) -> dict[IPv4Address, list[PodRange]]:
    """What the pod has to give, each with the ranges that have it."""
    mine = [row for row in pod if row.network_id == NETWORK.id]
    gateways = {NETWORK.gateway, *(row.gateway for row in mine)}
    found: dict[IPv4Address, list[PodRange]] = {}
    for row in mine:
        for host in IPv4Network(row.cidr).hosts():
            if IPv4Address(row.first_ip) <= host <= IPv4Address(row.last_ip) and str(host) not in gateways:
                found.setdefault(host, []).append(row)
    return found


def fits(got: PodAddress, rows: list[PodRange]) -> bool:
    """Whether gateway and netmask are those of a range that has the address."""
    return (got.gateway, got.netmask) in {(row.gateway, str(IPv4Network(row.cidr).netmask)) for row in rows}


# Promises


@given(pod=pods, data=st.data())
def test_the_lowest_free_address_of_the_pod_is_given_with_its_gateway(
    pod: tuple[PodRange, ...], data: st.DataObject
) -> None:
    has = usable(pod)
    taken = data.draw(st.sets(st.sampled_from([str(host) for host in has] or ["10.0.9.9"])))
    got = GURU.reserve(NETWORK, iter(pod), None, FakeAddresses(taken))
    free = sorted(host for host in has if str(host) not in taken)
    if free:
        assert isinstance(got, PodAddress)
        assert got.ip_address == str(free[0])
        assert fits(got, has[free[0]])
    else:
        assert isinstance(got, NoAddress)


@given(pod=pods, wish=around_the_pods, data=st.data())
def test_a_wish_is_given_exactly_or_could_not_have_been_given(
    pod: tuple[PodRange, ...], wish: str, data: st.DataObject
) -> None:
    has = usable(pod)
    wish = data.draw(st.sampled_from([wish, *map(str, has)]))
    taken = data.draw(st.sets(st.sampled_from([wish, "10.0.9.9"])))
    got = GURU.reserve(NETWORK, pod, wish, FakeAddresses(taken))
    if IPv4Address(wish) in has and wish not in taken:
        assert isinstance(got, PodAddress)
        assert got.ip_address == wish
        assert fits(got, has[IPv4Address(wish)])
    else:
        assert isinstance(got, NoAddress)


@given(pod=pods)
def test_a_pod_gives_each_usable_address_once_and_then_says_that_it_is_full(pod: tuple[PodRange, ...]) -> None:
    taken, got = FakeAddresses(), []
    while isinstance(address := GURU.reserve(NETWORK, pod, None, taken), PodAddress):
        got.append(IPv4Address(address.ip_address))
        taken.taken.add(address.ip_address)
    assert got == sorted(usable(pod))


@given(wish=st.none() | around_the_pods, seed=st.text("abc"))
def test_a_nic_that_is_made_has_a_mac_and_no_ipv4_address(wish: str | None, seed: str) -> None:
    got = GURU.allocate(NETWORK, NicRequest("n1", wish), FakeAddresses(), "anybody", seed)
    assert got == Address(ip_address=None, mac_address=mac_from(seed), gateway=None, netmask=None)


def test_only_the_guru_of_pods_reserves() -> None:
    assert isinstance(GURU, PodGuru)
    assert not isinstance(DirectGuru(), PodGuru)


def test_a_nic_that_is_made_has_the_addresses_that_do_not_come_with_the_pod() -> None:
    network = a_network(cidr6="2001:db8::/64")
    wish = NicRequest("n1", ip6_address="2001:db8::9", mac_address="00-16-3E-00-00-01")
    assert GURU.allocate(network, wish, FakeAddresses(), "a", "seed") == Address(
        ip_address=None, ip6_address="2001:db8::9", mac_address="00:16:3e:00:00:01", gateway=None, netmask=None
    )


# Words


@pytest.mark.parametrize(
    ("network", "wish", "words"),
    [
        ({}, "ten", "'ten' is not an IPv4 address; ask network n1 for one in 10.0.0.0/24, or for none in particular"),
        ({}, "10.0.1.5", "10.0.1.5 is outside 10.0.0.0/24; ask network n1"),
        ({"enabled": False}, None, "network n1 is disabled; enable it or choose another"),
        ({"cidr": "10.0.0.1/24"}, "10.0.0.5", "network n1 is described wrongly: 10.0.0.1/24 has host bits set"),
    ],
)
def test_what_no_pod_can_give_is_refused_when_the_nic_is_made(
    network: dict[str, Any], wish: str | None, words: str
) -> None:
    refused = GURU.allocate(a_network(**network), NicRequest("n1", wish), FakeAddresses(), "a", "seed")
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith(words)


def test_a_wrong_mac_is_refused_when_the_nic_is_made() -> None:
    refused = GURU.allocate(NETWORK, NicRequest("n1", mac_address="ten"), FakeAddresses(), "a", "seed")
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith("'ten' is not a MAC address; ask network n1")


FULL = FakeAddresses(["10.0.1.10", "10.0.1.11", "10.0.1.12"])


@pytest.mark.parametrize(
    ("pod", "wish", "words"),
    [
        (
            [],
            None,
            "network n1 has no addresses in this pod; describe a range there or choose another pod",
        ),
        ([a_range(network_id="another")], None, "network n1 has no addresses in this pod; "),
        (
            [a_range()],
            None,
            "network n1 has no free address in pod p1, range r1 (10.0.1.10 to 10.0.1.12); "
            "expunge a VM that holds one, widen the range or choose another pod",
        ),
        (
            [a_range(), a_range("r2", first_ip="10.0.1.11")],
            None,
            "network n1 has no free address in pod p1, range r1 (10.0.1.10 to 10.0.1.12), r2 (10.0.1.11 to 10.0.1.12);",
        ),
        (
            [a_range()],
            "10.0.1.11",
            "pod p1 cannot give a NIC of network n1 what it asks for: in range r1 (10.0.1.10 to 10.0.1.12) 10.0.1.11 "
            "is taken; place the VM in a pod that has it free, or ask for another address or for none in particular",
        ),
        (
            [a_range(), a_range("r2", cidr="10.0.2.0/24", gateway="10.0.2.1")],
            "10.0.1.13",
            "pod p1 cannot give a NIC of network n1 what it asks for: in range r1 (10.0.1.10 to 10.0.1.12) 10.0.1.13 "
            "is outside the range, in range r2 (10.0.1.10 to 10.0.1.12) 10.0.1.13 is outside 10.0.2.0/24; place",
        ),
        (
            [a_range(first_ip="10.0.1.1")],
            "10.0.1.1",
            "pod p1 cannot give a NIC of network n1 what it asks for: in range r1 (10.0.1.1 to 10.0.1.12) 10.0.1.1 "
            "is the gateway; place",
        ),
        (
            [a_range(gateway="none")],
            None,
            "range r1 of pod p1 is described wrongly: Expected 4 octets in 'none'; correct it or choose another pod",
        ),
    ],
)
def test_a_pod_that_does_not_give_says_why(pod: list[PodRange], wish: str | None, words: str) -> None:
    refused = GURU.reserve(NETWORK, pod, wish, FULL)
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith(words)
