"""The promises of the network gurus about IPv4 and MAC addresses, held over random small networks.

The oracle is the list of every usable address, made by the standard library; gurus never make one.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.planners.gurus.direct import DirectGuru
from interlock.planners.gurus.isolated import IsolatedGuru
from interlock.planners.gurus.mac import mac_from
from interlock.planners.gurus.pod import PodBasedGuru
from interlock.planners.protocol import Address, AddressView, NetworkGuru, NoAddress
from interlock.schema.cloud import Network
from interlock.schema.requests import NicRequest
from tests.fakes import FakeAddresses, a_network

GURUS: list[NetworkGuru] = [DirectGuru(), IsolatedGuru()]
every_guru = pytest.mark.parametrize("guru", GURUS, ids=lambda guru: type(guru).__name__)


def ask(
    guru: NetworkGuru, network: Network, taken: AddressView, wish: str | None = None, account: str = "a"
) -> Address | NoAddress:
    return guru.allocate(network, NicRequest(network.id, wish), taken, account, "seed")


# Random networks


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Of account `a`; ranges may reach out of the cidr, and the gateway may lie anywhere in it."""
    cidr = IPv4Network(
        (draw(st.sampled_from(["10.1.0.64", "192.168.7.0", "255.255.255.192"])), draw(st.integers(26, 32))),
        strict=False,
    )
    low, high = int(cidr.network_address), int(cidr.broadcast_address)
    around = st.integers(low - 2, min(high + 2, 2**32 - 1))
    first, last = sorted((draw(around), draw(around)))
    return a_network(
        cidr=str(cidr),
        gateway=str(IPv4Address(draw(st.integers(low, high)))),
        first_ip=str(IPv4Address(first)),
        last_ip=str(IPv4Address(last)),
        account_id="a",
    )


def usable(network: Network) -> list[str]:
    """What the network has to give, lowest first."""
    first, last = IPv4Address(network.first_ip), IPv4Address(network.last_ip)
    hosts = (host for host in IPv4Network(network.cidr).hosts() if first <= host <= last)
    return [str(host) for host in hosts if str(host) != network.gateway]


# Promises


@every_guru
@given(network=networks(), data=st.data())
def test_the_lowest_usable_address_that_is_free_is_given(
    guru: NetworkGuru, network: Network, data: st.DataObject
) -> None:
    taken = data.draw(st.sets(st.sampled_from([*usable(network), network.gateway])))
    got = ask(guru, network, FakeAddresses(taken))
    free = [address for address in usable(network) if address not in taken]
    assert (got.ip_address if isinstance(got, Address) else None) == next(iter(free), None)


@every_guru
@given(network=networks())
def test_a_network_gives_each_usable_address_once_and_then_says_that_it_is_full(
    guru: NetworkGuru, network: Network
) -> None:
    taken, got = FakeAddresses(), []
    while isinstance(address := ask(guru, network, taken), Address):
        assert address.ip_address is not None
        got.append(address.ip_address)
        taken.taken.add(address.ip_address)
    assert got == usable(network)
    assert isinstance(ask(guru, network, taken), NoAddress)


@every_guru
@given(network=networks(), data=st.data())
def test_a_wish_is_given_exactly_or_refused(guru: NetworkGuru, network: Network, data: st.DataObject) -> None:
    low = int(IPv4Network(network.cidr).network_address)
    wish = str(IPv4Address(data.draw(st.integers(low - 3, min(low + 66, 2**32 - 1)))))
    taken = data.draw(st.sets(st.sampled_from([*usable(network), network.gateway])))
    got = ask(guru, network, FakeAddresses(taken), wish)
    if wish in usable(network) and wish not in taken:
        assert isinstance(got, Address)
        assert got.ip_address == wish
    else:
        assert isinstance(got, NoAddress)


@every_guru
@pytest.mark.parametrize("wish", ["10.0.0.10", "10.0.0.20"])
def test_both_ends_of_the_range_may_be_wished_for(guru: NetworkGuru, wish: str) -> None:
    got = ask(guru, a_network(account_id="a"), FakeAddresses(), wish)
    assert isinstance(got, Address)
    assert got.ip_address == wish


@every_guru
@given(network=networks())
def test_gateway_and_netmask_are_the_networks(guru: NetworkGuru, network: Network) -> None:
    got = ask(guru, network, FakeAddresses())
    if isinstance(got, Address):
        assert (got.gateway, got.netmask) == (network.gateway, str(IPv4Network(network.cidr).netmask))


@every_guru
@given(network=networks(), data=st.data())
def test_the_same_question_has_the_same_answer_and_asking_takes_nothing(
    guru: NetworkGuru, network: Network, data: st.DataObject
) -> None:
    view = FakeAddresses(taken := data.draw(st.frozensets(st.sampled_from([*usable(network), network.gateway]))))
    answer = ask(guru, network, view)
    assert ask(type(guru)(), network, view) == answer == ask(guru, network, view)
    assert view.taken == taken


@every_guru
def test_a_large_network_is_asked_for_in_few_stretches(guru: NetworkGuru) -> None:
    wide = {"cidr": "10.0.0.0/8", "gateway": "10.9.9.9", "first_ip": "10.0.0.0", "last_ip": "10.255.255.255"}
    view = FakeAddresses(["10.0.0.1"])
    got = ask(guru, a_network(**wide, account_id="a"), view)
    assert isinstance(got, Address)
    assert (got.ip_address, view.asked) == ("10.0.0.2", 1)


@every_guru
def test_a_guru_keeps_the_protocol(guru: NetworkGuru) -> None:
    assert isinstance(guru, NetworkGuru)
    assert isinstance(FakeAddresses(), AddressView)


@pytest.mark.parametrize(("name", "kind"), [("direct", DirectGuru), ("isolated", IsolatedGuru), ("pod", PodBasedGuru)])
def test_each_guru_is_named_as_an_entry_point(name: str, kind: type[NetworkGuru]) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    point = project["project"]["entry-points"]["interlock.gurus"][name]
    assert EntryPoint(name, point, "interlock.gurus").load() is kind


# The MAC


@given(seed=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_mac_is_unicast_and_local_and_follows_from_the_seed(seed: str) -> None:
    mac = mac_from(seed)
    octets = [int(octet, 16) for octet in mac.split(":")]
    assert len(octets) == 6
    assert mac == ":".join(f"{octet:02x}" for octet in octets)
    assert octets[0] & 1 == 0
    assert octets[0] & 2 == 2
    assert mac_from(seed) == mac


def test_different_seeds_have_different_macs() -> None:
    seeds = [f"{vm}/{device}" for vm in range(2_500) for device in range(4)]
    assert len({mac_from(seed) for seed in seeds}) == len(seeds)


@every_guru
def test_the_mac_follows_from_the_nics_seed_and_from_nothing_else(guru: NetworkGuru) -> None:
    networks = a_network(account_id="a"), a_network("n2", account_id="a")
    macs = {got.mac_address for network in networks if isinstance(got := ask(guru, network, FakeAddresses()), Address)}
    assert macs == {mac_from("seed")}


def spelled(octets: bytes, how: str) -> str:
    """A MAC as people and tools write it."""
    return {
        "colons": octets.hex(":"),
        "hyphens": octets.hex("-"),
        "dots": octets.hex(".", 2),
        "bare": octets.hex(),
    }[how]


macs = st.one_of(
    st.binary(min_size=6, max_size=6),
    st.builds(lambda first, rest: bytes([first, *rest]), st.sampled_from([0, 1, 2, 255]), st.just(bytes(5))),
)
spellings = st.sampled_from(["colons", "hyphens", "dots", "bare"])


@every_guru
@given(octets=macs, how=spellings, upper=st.booleans())
def test_a_wished_mac_in_any_spelling_is_given_or_cannot_be_a_nics(
    guru: NetworkGuru, octets: bytes, how: str, upper: bool
) -> None:
    text = spelled(octets, how)
    wish = NicRequest("n1", mac_address=text.upper() if upper else text)
    got = guru.allocate(a_network(account_id="a"), wish, FakeAddresses(), "a", "seed")
    if octets[0] % 2 or not any(octets):
        assert isinstance(got, NoAddress)
    else:
        assert isinstance(got, Address)
        assert got.mac_address == octets.hex(":")


@every_guru
@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            "ten",
            "'ten' is not a MAC address; ask network n1 for one as in 02:00:5e:10:00:01, or for none in particular",
        ),
        ("", "'' is not a MAC address; ask network n1"),
        ("02:00:5e:10:00", "'02:00:5e:10:00' is not a MAC address"),
        ("02:00:5e:10:00:01:02", "'02:00:5e:10:00:01:02' is not a MAC address"),
        ("02:00-5e:10:00:01", "'02:00-5e:10:00:01' is not a MAC address"),
        ("02005e.100001", "'02005e.100001' is not a MAC address"),
        ("2:0:5e:10:0:1", "'2:0:5e:10:0:1' is not a MAC address"),
        ("02:00:5e:10:00:01\n", "'02:00:5e:10:00:01\\n' is not a MAC address"),
        ("０2:00:5e:10:00:01", "'０2:00:5e:10:00:01' is not a MAC address"),
        ("0x:00:5e:10:00:01", "'0x:00:5e:10:00:01' is not a MAC address"),
        ("00:00:00:00:00:00", "'00:00:00:00:00:00' is all zeros, which no NIC may have; ask network n1"),
        ("FF-FF-FF-FF-FF-FF", "'FF-FF-FF-FF-FF-FF' is the broadcast address, which no NIC may have; ask"),
        ("01:00:5e:00:00:01", "'01:00:5e:00:00:01' is a multicast address, which no NIC may have; ask"),
    ],
)
def test_a_mac_is_refused_in_words(guru: NetworkGuru, wish: str, words: str) -> None:
    network = a_network(account_id="a")
    refused = guru.allocate(network, NicRequest("n1", mac_address=wish), FakeAddresses(), "a", "seed")
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith(words)


# Who may, and words


@every_guru
@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            "ten",
            "'ten' is not an IPv4 address; ask network n1 for a free address between 10.0.0.10 and 10.0.0.20, "
            "or for none in particular",
        ),
        ("010.0.0.12", "'010.0.0.12' is not an IPv4 address"),
        ("fe80::1", "'fe80::1' is not an IPv4 address"),
        ("", "'' is not an IPv4 address"),
        (
            "10.0.1.12",
            "10.0.1.12 is outside 10.0.0.0/24; ask network n1 for a free address between 10.0.0.10 and "
            "10.0.0.20, or for none in particular",
        ),
        ("10.0.0.21", "10.0.0.21 is outside the range; ask"),
        ("10.0.0.9", "10.0.0.9 is outside the range; ask"),
        ("10.0.0.0", "10.0.0.0 is the network address; ask"),
        ("10.0.0.255", "10.0.0.255 is the broadcast address; ask"),
        ("10.0.0.1", "10.0.0.1 is the gateway; ask"),
        ("10.0.0.12", "10.0.0.12 is taken; ask"),
    ],
)
def test_a_wish_is_refused_in_words(guru: NetworkGuru, wish: str, words: str) -> None:
    refused = ask(guru, a_network(account_id="a"), FakeAddresses(["10.0.0.12"]), wish)
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith(words)


@every_guru
@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"enabled": False}, "network n1 is disabled; enable it or choose another"),
        (
            {"cidr": "10.0.0.1/24"},
            "network n1 is described wrongly: 10.0.0.1/24 has host bits set; correct it",
        ),
        ({"gateway": "none"}, "network n1 is described wrongly: "),
        (
            {"first_ip": "10.0.0.20", "last_ip": "10.0.0.10"},
            "network n1 is described wrongly: 10.0.0.0/24 has nothing to give between 10.0.0.20",
        ),
        (
            {"first_ip": "10.0.0.11", "last_ip": "10.0.0.12"},
            "network n1 has no free address between 10.0.0.11 and 10.0.0.12; expunge a VM that holds one",
        ),
    ],
)
def test_a_network_that_gives_nothing_says_why(guru: NetworkGuru, network: dict[str, Any], words: str) -> None:
    refused = ask(guru, a_network(account_id="a", **network), FakeAddresses(["10.0.0.11", "10.0.0.12"]))
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith(words)


def test_a_shared_network_is_for_every_account() -> None:
    assert isinstance(ask(DirectGuru(), a_network(), FakeAddresses(), account="anybody"), Address)


def test_an_isolated_network_is_for_its_account_alone() -> None:
    mine = a_network(account_id="a")
    assert isinstance(ask(IsolatedGuru(), mine, FakeAddresses(), account="a"), Address)
    refused = ask(IsolatedGuru(), mine, FakeAddresses(), account="b")
    assert refused == NoAddress("network n1 belongs to another account than b; choose one of your own")


def test_an_isolated_network_of_nobody_is_for_nobody() -> None:
    refused = ask(IsolatedGuru(), a_network(account_id=None), FakeAddresses())
    assert isinstance(refused, NoAddress)
    assert refused.reason.startswith("network n1 is isolated but belongs to no account")
