"""The promises of the network gurus about IPv6, held over random blocks of every length.

The oracles: the standard for EUI-64 written out over bytes, and, in small blocks, the list of every address.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.planners.gurus.direct import DirectGuru
from interlock.planners.gurus.isolated import IsolatedGuru
from interlock.planners.gurus.pod import PodBasedGuru
from interlock.planners.protocol import Address, NetworkGuru, NoAddress
from interlock.schema.cloud import Network
from interlock.schema.requests import NicRequest
from tests.fakes import FakeAddresses, a_network

GURUS: list[NetworkGuru] = [DirectGuru(), IsolatedGuru(), PodBasedGuru()]
every_guru = pytest.mark.parametrize("guru", GURUS, ids=lambda guru: type(guru).__name__)
DIRECT = DirectGuru()

addresses = st.integers(0, 2**128 - 1).map(IPv6Address)
unicast_macs = st.binary(min_size=6, max_size=6).filter(lambda octets: not octets[0] & 1 and any(octets))


def ask(
    network: Network,
    taken: FakeAddresses | None = None,
    *,
    wish: str | None = None,
    mac: str | None = None,
    seed: str = "seed",
    guru: NetworkGuru = DIRECT,
) -> Address | NoAddress:
    request = NicRequest(network.id, ip6_address=wish, mac_address=mac)
    return guru.allocate(network, request, taken or FakeAddresses(), "a", seed)


def a_network6(cidr6: str = "2001:db8::/64", gateway6: str | None = "2001:db8::1", **more: Any) -> Network:
    return a_network(**{"cidr6": cidr6, "gateway6": gateway6, "account_id": "a", **more})


def block(address: IPv6Address, length: int) -> IPv6Network:
    return IPv6Network((address, length), strict=False)


def given6(network: Network, taken: FakeAddresses, **more: Any) -> str | None:
    """The address that was given; None: refused."""
    got = ask(network, taken, **more)
    if isinstance(got, NoAddress):
        return None
    assert got.ip6_address is not None
    return got.ip6_address


def by_the_standard(octets: bytes) -> bytes:
    """RFC 4291, appendix A: ff-fe goes into the middle, and the universal/local bit is turned round."""
    return bytes([octets[0] ^ 0b10, octets[1], octets[2], 0xFF, 0xFE, octets[3], octets[4], octets[5]])


def usable(network: Network) -> list[str]:
    """What a small block has to give, lowest first."""
    net = IPv6Network(network.cidr6 or "")
    return [str(host) for host in net.hosts() if str(host) != network.gateway6]


# Promises


@every_guru
@given(net=st.builds(block, addresses, st.integers(0, 64)), octets=unicast_macs)
def test_without_a_wish_the_address_is_the_eui64_one_of_the_mac(
    guru: NetworkGuru, net: IPv6Network, octets: bytes
) -> None:
    got = ask(a_network6(str(net), None), mac=octets.hex(":"), guru=guru)
    assert isinstance(got, Address)
    expected = IPv6Address(net.network_address.packed[:8] + by_the_standard(octets))
    assert got.ip6_address == str(expected)
    assert expected in net


@pytest.mark.parametrize(
    ("mac", "expected"),
    [
        ("34:56:78:9a:bc:de", "2001:db8::3656:78ff:fe9a:bcde"),
        ("00:0c:29:0c:47:d5", "2001:db8::20c:29ff:fe0c:47d5"),
        ("02:00:00:00:00:01", "2001:db8::ff:fe00:1"),
    ],
)
def test_eui64_addresses_that_are_known(mac: str, expected: str) -> None:
    got = ask(a_network6(), mac=mac)
    assert isinstance(got, Address)
    assert got.ip6_address == expected


@every_guru
@given(
    net=st.builds(block, addresses, st.integers(0, 128)),
    gateway=st.none() | addresses,
    inside=st.integers(0, 2**128 - 1),
    stray=st.none() | addresses,
    upper=st.booleans(),
    is_taken=st.booleans(),
)
def test_a_wish_is_given_exactly_or_could_not_have_been_given(
    guru: NetworkGuru,
    net: IPv6Network,
    gateway: IPv6Address | None,
    inside: int,
    stray: IPv6Address | None,
    upper: bool,
    is_taken: bool,
) -> None:
    wish = stray or net[inside % net.num_addresses]
    network = a_network6(str(net), None if gateway is None else str(gateway))
    text = wish.exploded.upper() if upper else str(wish)
    got = ask(network, FakeAddresses([str(wish)] if is_taken else []), wish=text, guru=guru)
    lowest = wish == net.network_address and net.prefixlen < 127
    if wish in net and not is_taken and not lowest and wish != gateway:
        assert isinstance(got, Address)
        assert got.ip6_address == str(wish)
    else:
        assert isinstance(got, NoAddress)


@st.composite
def small_networks(draw: st.DrawFn) -> Network:
    """Blocks whose addresses can be listed; the gateway is anywhere in them, or elsewhere."""
    net = block(draw(addresses), draw(st.integers(121, 128)))
    inside = st.integers(0, net.num_addresses - 1).map(lambda place: str(net[place]))
    return a_network6(str(net), draw(st.sampled_from([None, "fe80::1"]) | inside))


@given(network=small_networks(), seed=st.text("abc"), data=st.data())
def test_in_a_long_prefix_a_free_address_is_given_or_there_is_none(
    network: Network, seed: str, data: st.DataObject
) -> None:
    taken = data.draw(st.sets(st.sampled_from(usable(network) or ["::"])))
    got = given6(network, FakeAddresses(taken), seed=seed)
    free = set(usable(network)) - taken
    assert got in free if free else got is None


@given(network=small_networks(), seed=st.text("abc"))
def test_a_long_prefix_gives_each_usable_address_once(network: Network, seed: str) -> None:
    taken, got = FakeAddresses(), []
    while address := given6(network, taken, seed=seed):
        got.append(address)
        taken.taken.add(address)
    assert sorted(got) == sorted(usable(network))


@given(net=st.builds(block, addresses, st.integers(65, 112)), octets=unicast_macs)
def test_in_a_long_prefix_that_is_empty_the_address_ends_as_the_mac_does(net: IPv6Network, octets: bytes) -> None:
    got = given6(a_network6(str(net), None), FakeAddresses(), mac=octets.hex(":"))
    if any(octets[-2:]):
        assert got is not None
        assert IPv6Address(got).packed[-2:] == octets[-2:]
        assert IPv6Address(got) in net


@every_guru
@given(seed=st.text("abc"), length=st.integers(32, 120))
def test_the_same_seed_has_the_same_answer(guru: NetworkGuru, seed: str, length: int) -> None:
    network = a_network6(f"2001:db8::/{length}")
    assert ask(network, seed=seed, guru=guru) == ask(network, seed=seed, guru=type(guru)())


@every_guru
def test_a_network_without_ipv6_gives_none(guru: NetworkGuru) -> None:
    got = ask(a_network(account_id="a"), guru=guru)
    assert isinstance(got, Address)
    assert got.ip6_address is None


# Words


@every_guru
@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            "ten",
            "'ten' is not an IPv6 address; ask network n1 for a free IPv6 address in 2001:db8::/64, "
            "or for none in particular",
        ),
        ("", "'' is not an IPv6 address; ask network n1"),
        ("10.0.0.12", "'10.0.0.12' is not an IPv6 address; ask"),
        ("2001:db8::9%eth0", "'2001:db8::9%eth0' is not an IPv6 address; ask"),
        ("2001:db8:0:1::9", "'2001:db8:0:1::9' is outside 2001:db8::/64; ask"),
        ("2001:db8::", "'2001:db8::' is the address of any router; ask"),
        ("2001:db8::1", "'2001:db8::1' is the gateway; ask"),
        ("2001:DB8::A", "'2001:DB8::A' is taken; ask"),
    ],
)
def test_a_wish_is_refused_in_words(guru: NetworkGuru, wish: str, words: str) -> None:
    refused = ask(a_network6(), FakeAddresses(["2001:db8::a"]), wish=wish, guru=guru)
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith(words)


MAC, EUI64 = "34:56:78:9a:bc:de", "2001:db8::3656:78ff:fe9a:bcde"


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            {"gateway6": EUI64},
            f"{EUI64}, which goes with MAC address {MAC}, is the gateway; ask network n1 for another MAC address, "
            "or for an IPv6 address in 2001:db8::/64",
        ),
        ({"gateway6": None}, f"{EUI64}, which goes with MAC address {MAC}, is taken; ask network n1"),
        (
            {"cidr6": "2001:db8::/127", "gateway6": None},
            "network n1 has no free IPv6 address in 2001:db8::/127; expunge a VM that holds one, widen cidr6",
        ),
        (
            {"cidr6": "2001:db8::/128", "gateway6": "2001:db8::"},
            "network n1 is described wrongly: 2001:db8::/128 has nothing to give beside its gateway; correct it",
        ),
        ({"cidr6": "2001:db8::1/64"}, "network n1 is described wrongly: 2001:db8::1/64 has host bits set; correct it"),
        ({"gateway6": "none"}, "network n1 is described wrongly: "),
    ],
)
def test_a_network_that_gives_nothing_says_why(network: dict[str, Any], words: str) -> None:
    taken = FakeAddresses([EUI64, "2001:db8::", "2001:db8::1"])
    refused = ask(a_network6(**network), taken, mac=MAC)
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith(words)


@every_guru
def test_a_wish_in_a_network_without_ipv6_is_refused_in_words(guru: NetworkGuru) -> None:
    assert ask(a_network(account_id="a"), wish="2001:db8::9", guru=guru) == NoAddress(
        "network n1 has no IPv6, so it cannot give '2001:db8::9'; "
        "ask for no IPv6 address, describe its cidr6 or choose another network"
    )
