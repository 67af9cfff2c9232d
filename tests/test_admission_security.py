"""Which security groups a VM may be in, and when it joins its account's default one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from interlock.schema.cloud import Cluster, Network, SecurityGroup, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.requests import NicRequest
from interlock.schema.settings import ACCOUNT, DEFAULT_GROUP, GROUPS_MOST
from tests.asking import FILTERS, RULES, a_cloud, a_setting, accepts, ask, but, refuses
from tests.fakes import a_host, a_network


def a_group(account: str, name: str, version: int = 1) -> SecurityGroup:
    return SecurityGroup(id=f"{account}/{name}", account_id=account, name=name, version=version)


ABLE: tuple[Any, ...] = (but(Zone, "z", security_groups=True), but(Network, "net", services=FILTERS))
"""What makes VMs of the base able to be in groups."""
OTHERS = (a_group("acme", "web", 7), a_group("acme", "db"), a_group("rival", "web"), a_group("rival", "own"))

kinds = st.sampled_from([("basic", False), ("advanced", True), ("advanced", False)])
drivers = st.sampled_from(["simulator", "bare", "elsewhere"])
services = st.sampled_from([{}, FILTERS, {"SecurityGroup": ""}, {"UserData": "Provider"}])


@given(kinds, drivers, services, st.booleans())
def test_groups_are_where_zone_network_and_a_hypervisor_can_filter(
    zone: tuple[str, bool], driver: str, offered: dict[str, str], default: bool
) -> None:
    kind, has = zone
    cloud = a_cloud(
        but(Zone, "z", kind=kind, security_groups=has),
        but(Network, "net", services=offered),
        a_host("h1", cpu=8000, memory=8192, driver=driver),
        a_setting(DEFAULT_GROUP, default),
        *OTHERS,
    )
    able = (kind == "basic" or has) and offered == FILTERS and driver != "bare"
    assert accepts(cloud, security_groups=("web",)) == able
    alone = ask(cloud)
    assert alone.vm is not None
    assert alone.vm.security_groups == (("acme/default",) if able and default else ())
    assert [group.id for group in alone.groups] == list(alone.vm.security_groups)


@given(st.lists(st.sampled_from(["web", "db", "acme/web", "acme/db", "rival/web", "own", "gone"]), max_size=5))
def test_named_groups_are_the_owners_and_count_once(named: list[str]) -> None:
    cloud = a_cloud(*ABLE, *OTHERS, a_setting(GROUPS_MOST, 1, ACCOUNT, "acme"))
    ids = {name if "/" in name else f"acme/{name}" for name in named}
    fits = ids <= {"acme/web", "acme/db"} and len(ids) <= 1
    assert accepts(cloud, security_groups=tuple(named)) == fits
    if fits and named:
        decision = ask(cloud, security_groups=tuple(named))
        assert decision.vm is not None
        assert decision.vm.security_groups == tuple(ids)
        assert decision.groups == ()


@given(st.lists(st.integers(1, 9)))
def test_a_default_group_is_the_same_whoever_makes_it_and_lets_nothing_in(versions: list[int]) -> None:
    cloud = a_cloud(*ABLE, *(a_group("rival", f"g{number}", each) for number, each in enumerate(versions)))
    (made,) = ask(cloud).groups
    assert made == SecurityGroup(
        id="acme/default",
        account_id="acme",
        name="default",
        ingress=(),
        egress=(),
        version=1,
    )


def test_a_default_group_that_is_there_is_joined_and_not_made() -> None:
    decision = ask(a_cloud(*ABLE, a_group("acme", "default", 3)))
    assert decision.vm is not None
    assert decision.vm.security_groups == ("acme/default",)
    assert decision.groups == ()


def test_the_default_network_counts_not_the_others() -> None:
    cloud = a_cloud(*ABLE, *OTHERS, a_network("plain"))
    nics: Any = {"zone": "z", "nics": tuple(map(NicRequest, ("plain", "net")))}
    assert accepts(cloud, **nics, default_nic=1, security_groups=("web",))
    assert not accepts(cloud, **nics, default_nic=0, security_groups=("web",))


def test_only_hosts_with_the_vms_hypervisor_count() -> None:
    places = (
        Cluster(id="c2", zone_id="z", pod_id="p1", hypervisor="vmware"),
        a_host("h2", "c2", driver="bare"),
    )
    cloud = a_cloud(*ABLE, *OTHERS, *places)
    assert accepts(cloud, security_groups=("web",), hypervisor="simulator")
    words = "no hypervisor for this VM in zone z has security groups (drivers: bare); leave them out"
    refuses(InvalidRequest, words, cloud, security_groups=("web",), hypervisor="vmware")
    decision = ask(cloud, hypervisor="vmware")
    assert decision.vm is not None
    assert decision.vm.security_groups == ()


def test_refusals_name_zone_network_or_group_and_what_to_do() -> None:
    web = {"security_groups": ("web",)}
    refuses(InvalidRequest, "zone z has no security groups; leave them out", a_cloud(*OTHERS), **web)
    cloud = a_cloud(*ABLE, *OTHERS, but(Network, "net"))
    refuses(InvalidRequest, "network net, the VM's default one, has no provider of service SecurityGroup", cloud, **web)
    cloud = a_cloud(*ABLE, *OTHERS)
    words = "there is no security group 'gone'; account acme has: acme/db, acme/web"
    refuses(NotFound, words, cloud, security_groups=("gone",))
    words = "security group rival/own belongs to account rival, not acme; name one of its own"
    refuses(NotAllowed, words, cloud, security_groups=("rival/own",))
    cloud = a_cloud(*ABLE, *OTHERS, a_setting(GROUPS_MOST, 1))
    words = "2 security groups are named, and a VM of account acme may be in 1; name fewer, or have vm.security"
    refuses(InvalidRequest, words, cloud, security_groups=("web", "db"))


def test_drivers_that_nobody_has_opened_here_are_not_held_to_be_unable() -> None:
    cloud = a_cloud(*ABLE, *OTHERS)
    assert accepts(cloud, rules=replace(RULES, capabilities={}), security_groups=("web",))
