"""Which networks a VM may be on: those that are named, and defaults by kind of zone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.core.admission.networks import offers
from interlock.schema.cloud import Network, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.requests import NicRequest
from tests.asking import FILTERS, a_cloud, accepts, ask, but, refuses
from tests.fakes import a_network

ABOVE_ACME = ("acme-corp", "customers", "ROOT")


@st.composite
def networks(draw: st.DrawFn) -> list[Network]:
    owner = st.sampled_from(
        [{}, {"account_id": "acme"}, {"account_id": "rival"}, {"domain_id": "customers"}, {"domain_id": "others"}]
    )
    often = st.sampled_from([True, True, False])
    return [
        a_network(
            name,
            zone_id=draw(st.sampled_from(["z", "z", "y"])),
            enabled=draw(often),
            is_default=draw(st.booleans()),
            services=draw(st.sampled_from([{}, FILTERS])),
            **draw(owner),
        )
        for name in ("net", "m", "n")
    ]


def is_acmes(network: Network) -> bool:
    """Whether acme may be on it in zone z."""
    mine = network.account_id in (None, "acme") and network.domain_id in (None, *ABOVE_ACME)
    return mine and network.enabled and network.zone_id == "z"


names = st.lists(st.sampled_from(["net", "m", "n", "gone"]), min_size=1, max_size=3)


@given(networks(), names, st.integers(0, 3))
def test_named_networks_are_the_accounts_in_the_zone_once_and_one_is_default(
    found: list[Network], named: list[str], default: int
) -> None:
    cloud = a_cloud(*found, Zone(id="y"))
    mine = {network.id for network in found if is_acmes(network)}
    fits = set(named) <= mine and len(set(named)) == len(named) and default < len(named)
    wishes: dict[str, Any] = {"nics": tuple(map(NicRequest, named)), "default_nic": default, "zone": "z"}
    assert accepts(cloud, **wishes) == fits
    if fits:
        nics = ask(cloud, **wishes).nics
        assert [nic.network_id for nic in nics] == named
        assert [nic.is_default for nic in nics].count(True) == 1
        assert nics[default].is_default


def nearness(network: Network) -> int:
    return 0 if network.account_id else 1 if network.domain_id else 2


@given(networks(), st.booleans())
def test_without_names_the_nearest_default_is_taken_and_where_groups_are_one_that_filters(
    found: list[Network], filters: bool
) -> None:
    cloud = a_cloud(*found, Zone(id="y"), but(Zone, "z", security_groups=filters))
    fitting = [network for network in found if is_acmes(network) and network.is_default]
    assert accepts(cloud, zone="z") == bool(fitting)
    if fitting:
        (nic,) = ask(cloud, zone="z").nics
        filtering = [network for network in fitting if network.services] if filters else []
        best = filtering or fitting
        nearest = [network.id for network in best if nearness(network) == min(map(nearness, best))]
        assert nic.network_id == min(nearest)


@given(networks(), st.none() | names)
def test_in_a_basic_zone_all_are_on_the_guest_network(found: list[Network], named: list[str] | None) -> None:
    cloud = a_cloud(*found, Zone(id="y"), but(Zone, "z", kind="basic"))
    wishes = {"zone": "z", "nics": tuple(map(NicRequest, named or ()))}
    fitting = [network for network in found if is_acmes(network) and network.is_default]
    guest = min(fitting, key=lambda network: (nearness(network), network.id), default=None)
    assert accepts(cloud, **wishes) == (guest is not None and named in (None, [guest.id]))
    if guest is not None:
        (nic,) = ask(cloud, zone="z").nics
        assert nic.network_id == guest.id


def test_an_address_may_be_wished_in_a_basic_zone() -> None:
    cloud = a_cloud(but(Zone, "z", kind="basic"))
    (nic,) = ask(cloud, nics=(NicRequest("net", ip_address="10.0.0.12"),)).nics
    assert nic.wished_ip == "10.0.0.12"


@given(st.dictionaries(st.sampled_from(["SecurityGroup", "UserData", "Dhcp"]), st.sampled_from(["", "Provider"])))
def test_a_service_is_offered_with_a_provider_and_the_basics_where_nothing_is_said(services: dict[str, str]) -> None:
    network = a_network(services=services)
    for service in ("SecurityGroup", "UserData", "Dhcp", "Dns"):
        said = services.get(service, "") != "" if services else service != "SecurityGroup"
        assert offers(network, service) == said


def test_refusals_name_the_network_and_what_to_do() -> None:
    def on(*names: str) -> dict[str, tuple[NicRequest, ...]]:
        return {"nics": tuple(map(NicRequest, names))}

    refuses(NotFound, "there is no network 'gone'; there are: net", a_cloud(), **on("gone"))
    far = a_cloud(a_network("far", zone_id="y"), Zone(id="y"))
    refuses(InvalidRequest, "network far is in zone y, not z; choose another, or that zone", far, **on("net", "far"))
    refuses(InvalidRequest, "network net is disabled; choose", a_cloud(but(Network, "net", enabled=False)), **on("net"))
    owned = a_cloud(but(Network, "net", account_id="rival"))
    refuses(NotAllowed, "network net belongs to account rival, not account acme; choose another", owned, **on("net"))
    owned = a_cloud(but(Network, "net", domain_id="others"))
    refuses(NotAllowed, "network net belongs to domain others, not account acme", owned, **on("net"))
    refuses(InvalidRequest, "may be named once; leave out the other net", a_cloud(), **on("net", "net"))
    none = a_cloud(but(Network, "net", is_default=False))
    refuses(InvalidRequest, "zone z has no enabled default network for account acme; name one in `nics`", none)


def test_refusals_of_the_default_nic_and_of_basic_zones_say_what_to_do() -> None:
    words = "default_nic is 1, and the VM has 1 NICs, counted from 0; choose 0 to 0"
    refuses(InvalidRequest, words, a_cloud(), default_nic=1)
    basic = a_cloud(but(Zone, "z", kind="basic"), a_network("n"))
    words = "zone z is basic: its VMs are on network net alone, not n; leave `nics` out, or name net"
    refuses(InvalidRequest, words, basic, nics=(NicRequest("net"), NicRequest("n")))


def test_where_groups_are_a_network_that_filters_comes_before_a_nearer_one() -> None:
    own = a_network("mine", account_id="acme", is_default=True)
    cloud = a_cloud(own, but(Network, "net", services=FILTERS))
    assert [nic.network_id for nic in ask(cloud).nics] == ["mine"]
    cloud = a_cloud(own, but(Network, "net", services=FILTERS), but(Zone, "z", security_groups=True))
    assert [nic.network_id for nic in ask(cloud).nics] == ["net"]
