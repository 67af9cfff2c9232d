"""The conformance kit of network gurus, also of those whose addresses come with the pod: a base of pytest classes.

    class TestMyGuru(GuruConformance):
        def make(self): return MyGuru()

It asks the guru about small networks at random, some with IPv6, with more and less of them taken, for wishes that
can be met and wishes that cannot. An answer is checked as the engine checks it, and against the network's range.

Promises: each failure names the sentence of the protocol that is broken, and shows the network and the wish. Never
asks which free address is given, nor who may have one: that is the guru's own. What only a pod guru must do is skipped
for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import strategies as st

from interlock.engine.core.given import given, reserved
from interlock.planners.protocol import Address, NetworkGuru, NoAddress, PodAddress, PodGuru
from interlock.schema.cloud import Network, PodRange
from interlock.schema.errors import PluginError
from interlock.schema.requests import NicRequest
from interlock.testing.kits import promises as p
from interlock.testing.kits.at_random import for_any
from interlock.testing.kits.broken import Broken
from interlock.testing.kits.clouds import unusual
from interlock.testing.kits.networks import FakeAddresses, a_network, networks, pods, usable, usable_in
from interlock.testing.kits.promises import Promise
from interlock.testing.kits.purity import watched

T = TypeVar("T")
SEEDS = 300
"""NICs whose MACs must differ. Too few: a guru that draws from few of them is not found."""
NOT_ADDRESSES = ("", "ten", "10.0.0", "010.0.0.12", "10.0.0.12/24", "10.0.0.12\n", "fe80::1", "\uff11\uff10.0.0.12")
NOT_ADDRESSES_6 = ("", "ten", "10.0.0.12", "2001:db8::9%eth0", "2001:db8::/64", "2001:db9::9")
NOT_MACS = ("", "ten", "02:00:5e:10:00", "02:00-5e:10:00:01", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff")


class GuruConformance:
    """What must hold of every guru."""

    examples: ClassVar[int] = 50
    """Random networks for each check."""
    account_id: ClassVar[str] = "a"
    """Who asks; the networks are that account's."""
    gives_unasked: ClassVar[bool] = True
    """Whether it gives addresses to NICs that ask for none in particular."""

    def make(self) -> NetworkGuru:
        """A new guru."""
        raise NotImplementedError(f"{type(self).__name__} must say how its guru is made: def make(self)")

    def usable(self, network: Network) -> Sequence[str]:
        """The IPv4 addresses that the guru gives of a network: all of its range, unless it keeps some back."""
        return usable(network)

    # Every guru

    def test_it_is_a_guru(self) -> None:
        """It has the method, and says why where it cannot; gateway and netmask are the network's."""
        guru = self.make()
        if not isinstance(guru, NetworkGuru):
            raise Broken(p.GIVES, f"{type(guru).__name__} has no method `allocate`")
        network = self._network()
        answer = self._allocate(network, NicRequest("n1", self._wish(network)), FakeAddresses())
        if isinstance(answer, NoAddress):
            raise _broken(p.GIVES, f"all addresses are free, and it says: {answer.reason}", network)

    def test_what_it_gives_is_in_range_and_free(self) -> None:
        """And is what the engine takes."""

        def check(network: Network, taken: frozenset[str], wish: str | None) -> None:
            answer = self._allocate(network, NicRequest("n1", wish), FakeAddresses(taken))
            if isinstance(answer, Address) and answer.ip_address is not None:
                self._is_usable(answer.ip_address, network)
            if isinstance(answer, Address) and answer.ip6_address is not None:
                _not_a_gateway(answer.ip6_address, network)

        self._for_any(check)

    def _is_usable(self, ip: str, network: Network) -> None:
        if ip not in usable(network):
            raise _broken(p.IN_RANGE, f"it gave {ip}, which is outside the range or a gateway", network)

    def test_a_wish_is_given_exactly_or_refused_with_a_reason(self) -> None:
        """Of IPv4, IPv6 and MAC; what cannot be a NIC's is refused."""
        network = self._network(cidr6="2001:db8::/64")
        ip = self._wish(network)
        wishes = [NicRequest("n1", each) for each in NOT_ADDRESSES]
        wishes += [NicRequest("n1", ip, each) for each in NOT_ADDRESSES_6]
        wishes += [NicRequest("n1", ip, mac_address=each) for each in NOT_MACS]
        for wish in wishes:
            if isinstance(answer := self._allocate(network, wish, FakeAddresses()), Address):
                raise _broken(p.EXACTLY, f"{wish} was answered {answer}", network)
        for wish in (NicRequest("n1", ip, "2001:DB8::0:9"), NicRequest("n1", ip, mac_address="0200.5E10.0001")):
            answer = self._allocate(network, wish, FakeAddresses())
            if isinstance(answer, NoAddress) and not answer.reason:
                raise _broken(p.SAYS_WHY, f"{wish} was refused without a reason", network)

    def test_every_address_is_given_once_and_then_it_says_that_it_is_full(self) -> None:
        """No address of the range is lost."""
        if isinstance(self.make(), PodGuru):
            pytest.skip("its IPv4 addresses come with the pod")

        def check(network: Network) -> None:
            network = a_network(**{**_fields(network), "cidr6": None, "gateway6": None})
            taken, expected = FakeAddresses(), list(self.usable(network))
            wishes: list[str | None] = [None] * len(expected) if self.gives_unasked else list(expected)
            for wish in wishes:
                answer = self._allocate(network, NicRequest("n1", wish), taken)
                if isinstance(answer, NoAddress):
                    left = [ip for ip in expected if ip not in taken.taken]
                    raise _broken(p.GIVES, f"{', '.join(left)} are free, and it says: {answer.reason}", network, taken)
                taken.taken.add(str(answer.ip_address))
            self._is_full(network, taken)

        for_any(self.examples, check, networks())

    def _is_full(self, network: Network, taken: FakeAddresses) -> None:
        answer = self._allocate(network, NicRequest("n1"), taken)
        if isinstance(answer, Address):
            raise _broken(p.IN_RANGE, f"all are taken, and it gave {answer.ip_address}", network, taken)
        if not answer.reason:
            raise _broken(p.SAYS_WHY, "it is full, and gives no reason", network, taken)

    def test_a_mac_follows_from_the_seed(self) -> None:
        """The same for the same NIC, another for another."""
        network = self._network()
        wish, macs = NicRequest("n1", self._wish(network)), set[str]()
        for number in range(SEEDS):
            answer = self._allocate(network, wish, FakeAddresses(), f"nic-{number}")
            if isinstance(answer, Address):
                macs.add(answer.mac_address)
        if len(macs) < SEEDS:
            raise _broken(p.MAC, f"{SEEDS} NICs have {len(macs)} MAC addresses", network)

    def test_the_same_question_has_the_same_answer(self) -> None:
        """Asked again, asked of another guru, asked after something else; and asking takes nothing."""
        guru = self.make()

        def check(network: Network, taken: frozenset[str], wish: str | None) -> None:
            view, request = FakeAddresses(taken), NicRequest("n1", wish)
            first = self._allocate(network, request, view, guru=guru)
            self._allocate(self._network(), NicRequest("n1"), FakeAddresses(), "another", guru=guru)
            again, fresh = self._allocate(network, request, view, guru=guru), self._allocate(network, request, view)
            if not first == again == fresh:
                what = f"asked three times, it answered {first}, {again} and, newly made, {fresh}"
                raise _broken(p.KEEPS_NOTHING, what, network, view)
            if view.taken != taken:
                raise _broken(p.PURE, "it changed which addresses are taken", network, view)

        self._for_any(check)

    def test_it_looks_at_neither_clock_nor_chance_nor_files(self) -> None:
        """What follows from the arguments alone can be asked again years later."""

        def check(network: Network, taken: frozenset[str], wish: str | None) -> None:
            ask = self._allocate
            _, looked_at = watched(lambda: ask(network, NicRequest("n1", wish), FakeAddresses(taken)))
            if looked_at:
                raise _broken(p.KEEPS_NOTHING, f"it looked at {', '.join(looked_at)}", network)

        self._for_any(check)

    # Gurus of pods

    def test_of_a_pod_what_it_gives_is_in_a_range_and_free(self) -> None:
        """With the gateway and netmask of that range; a wish exactly."""

        def check(ranges: tuple[PodRange, ...], data: st.DataObject) -> None:
            network, has = self._network(), usable_in(self._network(), ranges)
            ips = st.sampled_from([*has, "10.0.7.1", "10.0.99.9"])
            taken, wish = FakeAddresses(data.draw(st.frozensets(ips))), data.draw(st.none() | ips)
            answer = self._reserve(network, ranges, wish, taken)
            if isinstance(answer, PodAddress) and answer.ip_address not in has:
                raise _broken(
                    p.OF_POD, f"it gave {answer.ip_address}, a gateway or in no range", network, taken, ranges
                )
            if isinstance(answer, NoAddress) and not answer.reason:
                raise _broken(p.SAYS_WHY, f"{wish} was refused without a reason", network, taken, ranges)

        self._for_any_pod(check, pods(), st.data())

    def test_of_a_pod_every_address_is_given_once(self) -> None:
        """And then it says that it is full; the ranges may come as an iterator."""

        def check(ranges: tuple[PodRange, ...]) -> None:
            network, taken = self._network(), FakeAddresses()
            for left in range(len(has := usable_in(network, ranges)), 0, -1):
                answer = self._reserve(network, ranges, None, taken)
                if isinstance(answer, NoAddress):
                    what = f"{left} of {', '.join(has)} are free, and it says: {answer.reason}"
                    raise _broken(p.OF_POD, what, network, taken, ranges)
                taken.taken.add(answer.ip_address)
            if not isinstance(self._reserve(network, ranges, None, taken), NoAddress):
                raise _broken(p.IN_RANGE, "all are taken, and it gave one", network, taken, ranges)

        self._for_any_pod(check, pods())

    def test_of_a_pod_the_same_question_has_the_same_answer(self) -> None:
        """Whatever it was asked before, and without a look at clock, chance or files."""

        def check(ranges: tuple[PodRange, ...]) -> None:
            network, guru = self._network(), self.make()
            first, looked_at = watched(lambda: self._reserve(network, ranges, None, FakeAddresses(), guru))
            self._reserve(network, ranges, None, FakeAddresses(usable_in(network, ranges)[:1]), guru)
            again = self._reserve(network, ranges, None, FakeAddresses(), guru)
            if looked_at or first != again:
                what = f"it answered {first} and {again}, and looked at {', '.join(looked_at) or 'nothing else'}"
                raise _broken(p.KEEPS_NOTHING, what, network, None, ranges)

        self._for_any_pod(check, pods())

    # Plumbing

    def _network(self, **more: Any) -> Network:
        return a_network(account_id=self.account_id, **more)

    def _wish(self, network: Network) -> str | None:
        """An address that it would give: one must be named where it gives none unasked."""
        return None if self.gives_unasked else self.usable(network)[0]

    def _allocate(
        self,
        network: Network,
        wish: NicRequest,
        taken: FakeAddresses,
        seed: str = "nic",
        guru: NetworkGuru | None = None,
    ) -> Address | NoAddress:
        vm: Any = SimpleNamespace(account_id=self.account_id)
        ask = guru or self.make()
        return _engine(lambda: given(ask, network, wish, taken, vm, seed), network, taken, wish)

    def _reserve(
        self,
        network: Network,
        ranges: tuple[PodRange, ...],
        wish: str | None,
        taken: FakeAddresses,
        guru: NetworkGuru | None = None,
    ) -> PodAddress | NoAddress:
        nic: Any = SimpleNamespace(wished_ip=wish)
        asked = guru or self.make()
        assert isinstance(asked, PodGuru)
        return _engine(lambda: reserved(asked, network, ranges, nic, taken), network, taken, wish)

    def _for_any(self, check: Callable[[Network, frozenset[str], str | None], None]) -> None:
        """For networks, what is taken of them, and a wish: none, one of theirs, or one that is not."""

        def drawn(network: Network, data: st.DataObject) -> None:
            around = [*usable(network), network.gateway, "10.99.0.1", "ten"]
            taken = data.draw(st.frozensets(st.sampled_from([*usable(network), "2001:db8::2", "2001:db8::3"])))
            check(network, taken, data.draw(st.none() | st.sampled_from(around)))

        for_any(self.examples, drawn, networks(), st.data())

    def _for_any_pod(self, check: Callable[..., None], *of: st.SearchStrategy[Any]) -> None:
        if not isinstance(self.make(), PodGuru):
            pytest.skip("its IPv4 addresses do not come with the pod: it has no method `reserve`")
        for_any(self.examples, check, *of)


def _engine(ask: Callable[[], T], network: Network, taken: FakeAddresses, wish: object) -> T:
    """The answer, if the engine takes it."""
    try:
        return ask()
    except PluginError as error:
        raise _broken(p.GURU_RAISES, f"asked for {wish}: {error}", network, taken) from error


def _not_a_gateway(ip6: str, network: Network) -> None:
    if network.gateway6 is not None and IPv6Address(ip6) == IPv6Address(network.gateway6):
        raise _broken(p.IN_RANGE, f"it gave {ip6}, which is a gateway", network)


def _fields(network: Network) -> dict[str, Any]:
    return {name: getattr(network, name) for name in network.__struct_fields__}


def _broken(
    promise: Promise,
    what: str,
    network: Network,
    taken: FakeAddresses | None = None,
    ranges: Sequence[PodRange] = (),
) -> Broken:
    lines = [f"network {unusual(network)}", *(f"range {unusual(each)}" for each in ranges)]
    if taken is not None:
        lines.append(f"taken: {', '.join(sorted(taken.taken)) or 'none'}")
    return Broken(promise, what, [f"  {line}" for line in lines], "asked")
