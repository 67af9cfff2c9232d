"""What a guru answers is checked before it is believed: right answers pass as they are, wrong ones name the guru."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given as holds_for
from hypothesis import strategies as st

from interlock.engine.core.given import given, reserved
from interlock.engine.orchestrator.addresses import AddressBook
from interlock.planners.gurus.direct import DirectGuru
from interlock.planners.gurus.pod import PodBasedGuru
from interlock.planners.protocol import Address, AddressView, NetworkGuru, NoAddress, PodAddress, PodGuru
from interlock.schema.cloud import Network, PodRange
from interlock.schema.errors import PluginError
from interlock.schema.records import Nic, Vm
from interlock.schema.requests import NicRequest
from interlock.schema.words import LONGEST
from tests.fakes import a_network

NETWORK = a_network(cidr6="2001:db8::/64", gateway6="2001:db8::1")
MAC = "02:00:00:00:00:01"
RIGHT = Address(
    ip_address="10.0.0.9", ip6_address="2001:db8::9", mac_address=MAC, gateway="10.0.0.1", netmask="255.255.255.0"
)
LATER = Address(ip_address=None, mac_address=MAC, gateway=None, netmask=None)
RANGE = PodRange(
    id="r1",
    network_id="n1",
    pod_id="p1",
    cidr="10.0.0.0/24",
    gateway="10.0.0.2",
    first_ip="10.0.0.10",
    last_ip="10.0.0.12",
)
OF_POD = PodAddress(ip_address="10.0.0.11", gateway="10.0.0.2", netmask="255.255.255.0")
TAKEN = AddressBook(["10.0.0.7", "10.0.0.12", "2001:db8::7"])
VM: Vm = SimpleNamespace(account_id="a")  # type: ignore[assignment]


class Says:
    """A guru that answers what a test wants."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self._does = does

    def allocate(
        self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str
    ) -> Address | NoAddress:
        answer: Address | NoAddress = self._does()
        return answer


class SaysLater(Says):
    """One whose addresses come with the pod."""

    def reserve(
        self, network: Network, ranges: Iterable[PodRange], wished_ip: str | None, taken: AddressView
    ) -> PodAddress | NoAddress:
        answer: PodAddress | NoAddress = self._does()
        return answer


def raises() -> Any:
    raise ValueError("\udcff\0")


def ask(guru: NetworkGuru, wish: Mapping[str, str] | None = None, network: Network = NETWORK) -> Address | NoAddress:
    return given(guru, network, NicRequest("n1", **(wish or {})), TAKEN, VM, "nic-1")


def a_nic(wished_ip: str | None) -> Nic:
    nic: Nic = SimpleNamespace(id="nic-1", wished_ip=wished_ip)  # type: ignore[assignment]
    return nic


def ask_later(guru: PodGuru, wished_ip: str | None = None, ranges: Iterable[PodRange] = (RANGE,)) -> object:
    return reserved(guru, NETWORK, ranges, a_nic(wished_ip), TAKEN)


def but(right: Any, **wrong: Any) -> Callable[[], Any]:
    """A right answer with something wrong in it."""
    return lambda: msgspec.structs.replace(right, **wrong)


# What passes


@pytest.mark.parametrize(
    ("answer", "wish"),
    [
        (RIGHT, {}),
        (RIGHT, {"ip_address": "10.0.0.9", "ip6_address": "2001:DB8:0::9", "mac_address": "0200.0000.0001"}),
        (msgspec.structs.replace(RIGHT, ip6_address=None), {}),
        (msgspec.structs.replace(RIGHT, gateway=None), {}),
        (NoAddress("no"), {"ip_address": "ten"}),
    ],
)
def test_a_right_answer_is_handed_on(answer: Address | NoAddress, wish: dict[str, str]) -> None:
    assert ask(Says(lambda: answer), wish) == answer


def test_an_address_that_comes_with_the_pod_may_be_left_out_until_then() -> None:
    assert ask(SaysLater(lambda: LATER), {"ip_address": "10.0.0.11"}) == LATER
    assert ask_later(SaysLater(lambda: OF_POD), "10.0.0.11", iter([RANGE])) == OF_POD
    assert ask_later(SaysLater(lambda: NoAddress("no"))) == NoAddress("no")


@holds_for(wish=st.sampled_from([None, "10.0.0.9", "10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.1.1", "ten"]))
def test_our_own_gurus_never_fail_the_check(wish: str | None) -> None:
    chosen = {} if wish is None else {"ip_address": wish}
    assert isinstance(ask(DirectGuru(), chosen), Address | NoAddress)
    assert isinstance(ask(PodBasedGuru(), chosen), Address | NoAddress)
    assert isinstance(ask_later(PodBasedGuru(), wish), PodAddress | NoAddress)


def test_the_reason_of_a_refusal_is_fit_to_be_kept() -> None:
    for answer in (ask(Says(lambda: NoAddress("\0\udcff" * LONGEST))), ask_later(SaysLater(lambda: NoAddress("\0")))):
        assert isinstance(answer, NoAddress)
        assert "\0" not in answer.reason
        assert len(answer.reason) < LONGEST + 10
        answer.reason.encode()


# What does not


@pytest.mark.parametrize(
    ("does", "wish", "words"),
    [
        (raises, {}, "it raised ValueError"),
        (lambda: None, {}, "it answered NoneType, not Address or NoAddress"),
        (lambda: OF_POD, {}, "it answered PodAddress, not Address or NoAddress"),
        (lambda: LATER, {}, "it gave no IPv4 address, and has no `reserve` to give one later"),
        (but(RIGHT, ip_address=""), {}, "it answered Address"),
        (but(RIGHT, ip_address="2001:db8::9"), {}, "it answered Address"),
        (but(RIGHT, ip_address=167772169), {}, "167772169 instead of the text of an address"),
        (but(RIGHT, ip_address="10.9.0.1"), {}, "it gave 10.9.0.1, which is not in 10.0.0.0/24"),
        (but(RIGHT, ip_address="10.0.0.7"), {}, "it gave 10.0.0.7, which is taken"),
        (but(RIGHT), {"ip_address": "10.0.0.8"}, "it gave 10.0.0.9, though 10.0.0.8 was asked for"),
        (but(RIGHT, gateway="none"), {}, "it answered Address"),
        (but(RIGHT, netmask=24), {}, "24 instead of the text of an address"),
        (but(RIGHT, ip6_address="2001:db9::9"), {}, "it gave 2001:db9::9, which is not in 2001:db8::/64"),
        (but(RIGHT, ip6_address="2001:DB8::9"), {}, "it gave 2001:DB8::9, which must be written 2001:db8::9"),
        (but(RIGHT, ip6_address="2001:db8::9%0"), {}, "it gave 2001:db8::9%0, which must be written 2001:db8::9"),
        (but(RIGHT, ip6_address="10.0.0.9"), {}, "it answered Address"),
        (but(RIGHT, ip6_address=9), {}, "9 instead of the text of an address"),
        (but(RIGHT, ip6_address="2001:db8::7"), {}, "it gave 2001:db8::7, which is taken"),
        (but(RIGHT), {"ip6_address": "2001:db8::8"}, "it gave 2001:db8::9, though 2001:db8::8 was asked for"),
        (but(RIGHT, ip6_address=None), {"ip6_address": "2001:db8::8"}, "it gave no IPv6 address, though '2001:db8::8'"),
        (but(RIGHT, mac_address="none"), {}, "it gave the MAC address 'none', which is not unicast in lower case"),
        (but(RIGHT, mac_address="02-00-00-00-00-01"), {}, "it gave the MAC address '02-00-00-00-00-01', which is not"),
        (but(RIGHT, mac_address="0A:00:00:00:00:01"), {}, "it gave the MAC address '0A:00:00:00:00:01', which is not"),
        (but(RIGHT, mac_address="01:00:00:00:00:01"), {}, "it gave the MAC address '01:00:00:00:00:01', which is not"),
        (but(RIGHT, mac_address="00:00:00:00:00:00"), {}, "it gave the MAC address '00:00:00:00:00:00', which is not"),
        (but(RIGHT, mac_address=None), {}, "it answered Address"),
        (
            but(RIGHT),
            {"mac_address": "02:00:00:00:00:02"},
            f"it gave the MAC address {MAC}, though '02:00:00:00:00:02'",
        ),
    ],
)
def test_a_guru_that_gives_what_cannot_be_is_named(does: Callable[[], Any], wish: dict[str, str], words: str) -> None:
    with pytest.raises(PluginError) as caught:
        ask(Says(does), wish)
    assert str(caught.value).startswith("guru direct has a bug: in network n1 ")
    assert words in str(caught.value)
    str(caught.value).encode()


def test_an_ipv6_address_in_a_network_without_is_a_bug() -> None:
    with pytest.raises(PluginError, match="in network n1 it gave 2001:db8::9, and the network has no IPv6"):
        ask(Says(lambda: RIGHT), network=a_network())


def test_a_gateway_before_there_is_an_address_is_a_bug() -> None:
    with pytest.raises(PluginError, match="it gave a gateway or netmask without an IPv4 address"):
        ask(SaysLater(but(LATER, gateway="10.0.0.2")))


@pytest.mark.parametrize(
    ("does", "wish", "words"),
    [
        (raises, None, "it raised ValueError"),
        (lambda: None, None, "it answered NoneType, not PodAddress or NoAddress"),
        (lambda: RIGHT, None, "it answered Address, not PodAddress or NoAddress"),
        (
            but(OF_POD, ip_address="10.0.0.13"),
            None,
            "it gave 10.0.0.13 with gateway 10.0.0.2 and netmask 255.255.255.0, ",
        ),
        (but(OF_POD, ip_address="10.0.0.9"), None, "which is in no range of the pod"),
        (but(OF_POD, gateway="10.0.0.1"), None, "it gave 10.0.0.11 with gateway 10.0.0.1 and netmask 255.255.255.0, "),
        (but(OF_POD, netmask="255.255.0.0"), None, "which is in no range of the pod"),
        (but(OF_POD, ip_address="ten"), None, "it answered PodAddress"),
        (but(OF_POD, ip_address=None), None, "None instead of the text of an address"),
        (but(OF_POD, ip_address="10.0.0.12"), None, "it gave 10.0.0.12, which is taken"),
        (but(OF_POD), "10.0.0.10", "it gave 10.0.0.11, though 10.0.0.10 was asked for"),
    ],
)
def test_a_guru_that_reserves_what_cannot_be_is_named(does: Callable[[], Any], wish: str | None, words: str) -> None:
    with pytest.raises(PluginError) as caught:
        ask_later(SaysLater(does), wish)
    assert str(caught.value).startswith("guru direct has a bug: in network n1 ")
    assert words in str(caught.value)


def test_a_range_of_another_network_is_none_of_this_one() -> None:
    with pytest.raises(PluginError, match="which is in no range of the pod"):
        ask_later(SaysLater(lambda: OF_POD), ranges=[msgspec.structs.replace(RANGE, network_id="another")])
