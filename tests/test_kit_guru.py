"""The guru kit: our own gurus pass it, and each planted bug is caught, with the sentence that it breaks."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Any

import pytest
from msgspec.structs import replace

from interlock.planners.gurus.addresses import allocate
from interlock.planners.gurus.direct import DirectGuru
from interlock.planners.gurus.isolated import IsolatedGuru
from interlock.planners.gurus.mac import mac_from
from interlock.planners.gurus.pod import PodBasedGuru
from interlock.planners.protocol import Address, AddressView, NetworkGuru, NoAddress, PodAddress
from interlock.schema.cloud import Network, PodRange
from interlock.schema.requests import NicRequest
from interlock.testing import Broken, GuruConformance
from interlock.testing.kits import promises as p
from interlock.testing.kits.networks import FakeAddresses
from interlock.testing.kits.promises import Promise


class TestDirect(GuruConformance):
    def make(self) -> NetworkGuru:
        return DirectGuru()


class TestIsolated(GuruConformance):
    def make(self) -> NetworkGuru:
        return IsolatedGuru()


class TestPodBased(GuruConformance):
    def make(self) -> NetworkGuru:
        return PodBasedGuru()


class Static:
    """Gives the address that is asked for, or none."""

    def allocate(
        self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str
    ) -> Address | NoAddress:
        if wish.ip_address is None:
            return NoAddress(f"network {network.id} assigns none by itself; name one")
        return allocate(network, wish, taken, seed)


class TestStatic(GuruConformance):
    """A guru with a rule of its own, which the kit leaves to it."""

    gives_unasked = False

    def make(self) -> NetworkGuru:
        return Static()


# Planted bugs


class Honest:
    """No bug."""

    def allocate(self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str) -> Any:
        return self.changed(allocate(network, wish, taken, seed), network, seed)

    def changed(self, answer: Any, network: Network, seed: str) -> Any:
        return self.given(answer, network, seed) if isinstance(answer, Address) else self.none(answer)

    def given(self, address: Address, network: Network, seed: str) -> Any:
        return address

    def none(self, reason: NoAddress) -> Any:
        return reason


class GivesWhatIsTaken(Honest):
    def allocate(self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str) -> Any:
        return super().allocate(network, wish, FakeAddresses(), account_id, seed)


class GivesTheNext(Honest):
    """Out of the range at its end, and the gateway where that comes next."""

    def given(self, address: Address, network: Network, seed: str) -> Any:
        return replace(address, ip_address=str(IPv4Address(str(address.ip_address)) + 1))


class GivesTheGateway(Honest):
    def given(self, address: Address, network: Network, seed: str) -> Any:
        return replace(address, ip_address=network.gateway)


class TakesWishesLightly(Honest):
    def allocate(self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str) -> Any:
        return super().allocate(network, NicRequest(network.id), taken, account_id, seed)


class LosesTheLast(Honest):
    def allocate(self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str) -> Any:
        if network.first_ip == network.last_ip or taken.first_free(network.first_ip, network.last_ip) is None:
            return NoAddress("full")
        last = str(IPv4Address(network.last_ip) - 1)
        return super().allocate(replace(network, last_ip=last), wish, taken, account_id, seed)


class DrawsMacs(Honest):
    def given(self, address: Address, network: Network, seed: str) -> Any:
        return replace(address, mac_address=mac_from(str(random.random())))


class HasOneMac(Honest):
    def given(self, address: Address, network: Network, seed: str) -> Any:
        return replace(address, mac_address="02:00:00:00:00:01")


class MulticastsItsMacs(Honest):
    def given(self, address: Address, network: Network, seed: str) -> Any:
        return replace(address, mac_address="03" + address.mac_address[2:])


class Remembers(Honest):
    def __init__(self) -> None:
        self.given_already: set[str] = set()

    def given(self, address: Address, network: Network, seed: str) -> Any:
        known = str(address.ip_address) in self.given_already
        self.given_already.add(str(address.ip_address))
        return NoAddress("it is given already") if known else address


class SpellsIpv6ItsWay(Honest):
    def given(self, address: Address, network: Network, seed: str) -> Any:
        return replace(address, ip6_address=address.ip6_address and address.ip6_address.upper())


class GivesTheIpv6Gateway(Honest):
    def given(self, address: Address, network: Network, seed: str) -> Any:
        return replace(address, ip6_address=network.gateway6 or address.ip6_address)


class GivesIpv6WhereThereIsNone(Honest):
    def given(self, address: Address, network: Network, seed: str) -> Any:
        return replace(address, ip6_address="2001:db8::77")


class GivesNoReason(Honest):
    def none(self, reason: NoAddress) -> Any:
        return NoAddress("")


class GivesNothing(Honest):
    def given(self, address: Address, network: Network, seed: str) -> Any:
        return NoAddress("not today")


class Raises(Honest):
    def none(self, reason: NoAddress) -> Any:
        raise LookupError(reason.reason)


class AnswersNone(Honest):
    def none(self, reason: NoAddress) -> Any:
        return None


class NoGuru:
    """Lacks the method."""


class HonestOfPods(PodBasedGuru):
    """No bug."""

    def reserve(
        self, network: Network, ranges: Iterable[PodRange], wished_ip: str | None, taken: AddressView
    ) -> PodAddress | NoAddress:
        answer = super().reserve(network, ranges, wished_ip, taken)
        return self.given(answer, network) if isinstance(answer, PodAddress) else answer

    def given(self, address: PodAddress, network: Network) -> PodAddress | NoAddress:
        return address


class GivesTheNetworksGateway(HonestOfPods):
    def given(self, address: PodAddress, network: Network) -> PodAddress | NoAddress:
        return replace(address, gateway=network.gateway)


class IgnoresOtherRanges(HonestOfPods):
    def reserve(
        self, network: Network, ranges: Iterable[PodRange], wished_ip: str | None, taken: AddressView
    ) -> PodAddress | NoAddress:
        return super().reserve(network, tuple(ranges)[:1], wished_ip, taken)


class RemembersItsPods(HonestOfPods):
    def __init__(self) -> None:
        self.last: str | None = None

    def given(self, address: PodAddress, network: Network) -> PodAddress | NoAddress:
        known, self.last = self.last == address.ip_address, address.ip_address
        return NoAddress("given already") if known or self.last is None else address


class Kit(GuruConformance):
    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind

    def make(self) -> NetworkGuru:
        made: NetworkGuru = self.kind()
        return made


IS, RANGE = "test_it_is_a_guru", "test_what_it_gives_is_in_range_and_free"
EXACTLY = "test_a_wish_is_given_exactly_or_refused_with_a_reason"
EVERY = "test_every_address_is_given_once_and_then_it_says_that_it_is_full"
MAC, SAME = "test_a_mac_follows_from_the_seed", "test_the_same_question_has_the_same_answer"
LOOKS = "test_it_looks_at_neither_clock_nor_chance_nor_files"
POD, POD_EVERY = "test_of_a_pod_what_it_gives_is_in_a_range_and_free", "test_of_a_pod_every_address_is_given_once"
POD_SAME = "test_of_a_pod_the_same_question_has_the_same_answer"

CAUGHT: list[tuple[type[Any], str, Promise, str]] = [
    (GivesWhatIsTaken, RANGE, p.GURU_RAISES, "it gave .*, which is taken"),
    (GivesTheNext, RANGE, p.IN_RANGE, "it gave .*, which is outside the range or a gateway"),
    (GivesTheGateway, RANGE, p.IN_RANGE, "it gave .*, which is outside the range or a gateway"),
    (TakesWishesLightly, EXACTLY, p.GURU_RAISES, "it gave .*, though .* was asked for"),
    (LosesTheLast, EVERY, p.GIVES, ".* are free, and it says: "),
    (DrawsMacs, LOOKS, p.KEEPS_NOTHING, "it looked at chance"),
    (DrawsMacs, SAME, p.KEEPS_NOTHING, "asked three times, it answered"),
    (HasOneMac, MAC, p.MAC, "300 NICs have 1 MAC addresses"),
    (MulticastsItsMacs, RANGE, p.GURU_RAISES, "which is not unicast in lower case with colons"),
    (Remembers, SAME, p.KEEPS_NOTHING, "asked three times, .* it is given already|asked three times"),
    (SpellsIpv6ItsWay, RANGE, p.GURU_RAISES, "which must be written 2001:db8::"),
    (GivesTheIpv6Gateway, RANGE, p.IN_RANGE, "it gave 2001:db8::1, which is a gateway"),
    (GivesIpv6WhereThereIsNone, RANGE, p.GURU_RAISES, "it gave 2001:db8::77, and the network has no IPv6"),
    (GivesNoReason, EVERY, p.SAYS_WHY, "it is full, and gives no reason"),
    (GivesNothing, IS, p.GIVES, "all addresses are free, and it says: not today"),
    (Raises, RANGE, p.GURU_RAISES, "it raised LookupError"),
    (AnswersNone, EVERY, p.GURU_RAISES, "it answered NoneType, not Address or NoAddress"),
    (NoGuru, IS, p.GIVES, "NoGuru has no method `allocate`"),
    (
        GivesTheNetworksGateway,
        POD,
        p.GURU_RAISES,
        "it gave .* with gateway 10.0.0.1 .*, which is in no range of the pod",
    ),
    (IgnoresOtherRanges, POD_EVERY, p.OF_POD, "are free, and it says: network n1 has no"),
    (RemembersItsPods, POD_SAME, p.KEEPS_NOTHING, "it answered .* and .*given already"),
]


@pytest.mark.parametrize(
    ("kind", "check", "promise", "words"), CAUGHT, ids=[f"{kind.__name__}-{check}" for kind, check, *_ in CAUGHT]
)
def test_a_planted_bug_is_caught(kind: type[Any], check: str, promise: Promise, words: str) -> None:
    body: Callable[[], None] = getattr(Kit(kind), check)
    with pytest.raises(Broken) as caught:
        body()
    said = str(caught.value)
    assert caught.value.promise is promise, said
    assert re.search(words, said), said
    assert kind is NoGuru or "asked:\n  network id='n1'" in said, said


def checks() -> list[str]:
    return [name for name in vars(GuruConformance) if name.startswith("test_")]


def test_every_check_catches_something() -> None:
    assert {check for _, check, *_ in CAUGHT} == set(checks())


@pytest.mark.parametrize("check", [name for name in checks() if "of_a_pod" in name])
def test_what_pods_ask_is_asked_of_no_other(check: str) -> None:
    body: Callable[[], None] = getattr(Kit(Honest), check)
    with pytest.raises(pytest.skip.Exception, match="do not come with the pod"):
        body()
    getattr(Kit(HonestOfPods), check)()


def test_whoever_says_nothing_is_told_what_to_say() -> None:
    with pytest.raises(NotImplementedError, match="GuruConformance must say how its guru is made"):
        GuruConformance().test_it_is_a_guru()
