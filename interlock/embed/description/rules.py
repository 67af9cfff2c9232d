"""What must hold of the places of a cloud together: one named function a rule.

Each looks at records, not at the file, so that the same rules hold for what a file says and for that together with
what the database has already. Promises: what `check` passes has no reference that leads nowhere, no name twice, no
address of two pods; a refusal names the place and what is expected of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import Any, TypeVar, cast

from interlock.embed.description import people
from interlock.schema.cloud import (
    PLACES,
    Account,
    AffinityGroup,
    Cluster,
    DiskOffering,
    Domain,
    Host,
    Network,
    Offering,
    Place,
    Pod,
    PodRange,
    SecurityGroup,
    SshKey,
    Template,
    Zone,
)
from interlock.schema.errors import InvalidRequest
from interlock.schema.firewall import DEFAULT_GROUP

P = TypeVar("P", bound=Place)
TABLE_OF: dict[type[Place], str] = {kind: name for name, kind in PLACES.items()}

REFERENCES: tuple[tuple[type[Place], str, type[Place]], ...] = (
    (Account, "domain_id", Domain),
    *((kind, "dedicated_account_id", Account) for kind in (Zone, Pod, Cluster, Host)),
    *((kind, "dedicated_domain_id", Domain) for kind in (Zone, Pod, Cluster, Host)),
    (Network, "account_id", Account),
    (Network, "domain_id", Domain),
    (PodRange, "pod_id", Pod),
    (Offering, "domain_ids", Domain),
    (DiskOffering, "domain_ids", Domain),
    (Template, "zone_ids", Zone),
    (Template, "account_id", Account),
    (Template, "shared_with", Account),
    (AffinityGroup, "account_id", Account),
    (AffinityGroup, "domain_id", Domain),
    (SecurityGroup, "account_id", Account),
    (SshKey, "account_id", Account),
)
"""The columns that a person writes a name into, and the kind it is a name of."""

SECURITY_GROUP = "SecurityGroup"
"""The service of a network without which its VMs are not filtered."""


class Places:
    """Places, found by kind and id."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._of: dict[Any, dict[str, Any]] = {kind: {} for kind in PLACES.values()}
        for place in places:
            self._of[type(place)][place.id] = place

    def all(self, kind: type[P]) -> list[P]:
        """Those of a kind."""
        return list(self._of[kind].values())

    def find(self, kind: type[P], place_id: str) -> P | None:
        """One of them."""
        return self._of[kind].get(place_id)

    def at(self, kind: type[P], place_id: str) -> P:
        """One that is there, because another refers to it."""
        return cast(P, self._of[kind][place_id])

    def above(self, domain_id: str) -> list[str]:
        """A domain and all above it, nearest first."""
        return people.above(domain_id, {each.id: each.parent_id for each in self.all(Domain)})


def named(place: Place) -> str:
    """A place as a message names it."""
    return f"{TABLE_OF[type(place)].replace('_', ' ')} {place.id}"


def names_are_distinct(places: Sequence[Place]) -> None:
    """No name twice in a kind."""
    seen: set[tuple[type[Place], str]] = set()
    for place in places:
        if (type(place), place.id) in seen:
            raise InvalidRequest(f"{named(place)} is described twice; names are unique")
        seen.add((type(place), place.id))


def what_is_named_exists(places: Places) -> None:
    """Every reference leads somewhere."""
    for kind, column, target in REFERENCES:
        key = column.removeprefix("dedicated_").removesuffix("_id").removesuffix("_ids")
        for place in places.all(kind):
            for name in _names(getattr(place, column)):
                if places.find(target, name) is None:
                    word = "is dedicated to" if column.startswith("dedicated_") else f"names, as {key},"
                    raise InvalidRequest(f"{named(place)} {word} {_missing(target, name)}")


def _names(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value or ()


def _missing(kind: type[Place], name: str) -> str:
    table = TABLE_OF[kind]
    where = "[[zones.pods]]" if kind is Pod else f"[[{table}s]]"
    return f"{table} {name}, which is not in {where}"


def groups_of_rules_exist(places: Places) -> None:
    """Groups that rules name are described, or the default one of an account that is."""
    for group in places.all(SecurityGroup):
        for rule in (*group.ingress, *group.egress):
            if rule.group is None or places.find(SecurityGroup, rule.group):
                continue
            account, _, name = rule.group.partition("/")
            if name != DEFAULT_GROUP or places.find(Account, account) is None:
                raise InvalidRequest(
                    f"security group {group.id} has a rule for group {rule.group}, which is not in [[security_groups]]"
                )


def dedications_lie_within_each_other(places: Places) -> None:
    """What lies in a dedicated place is dedicated, if at all, to some of those who may use that."""
    inner: list[Pod | Cluster | Host] = [*places.all(Pod), *places.all(Cluster), *places.all(Host)]
    for place in filter(_owner, inner):
        for outer in _around(places, place):
            if _owner(outer) and not _is_within(places, place, outer):
                raise InvalidRequest(
                    f"{named(place)} is dedicated to {_owner(place)} and lies in {named(outer)}, which is dedicated to "
                    f"{_owner(outer)}: nobody could use it; dedicate it to somebody who may use both"
                )


Dedicated = Zone | Pod | Cluster | Host


def _owner(place: Dedicated) -> str:
    if place.dedicated_account_id:
        return f"account {place.dedicated_account_id}"
    return f"domain {place.dedicated_domain_id}" if place.dedicated_domain_id else ""


def _around(places: Places, place: Pod | Cluster | Host) -> Iterator[Dedicated]:
    if isinstance(place, Host):
        yield places.at(Cluster, place.cluster_id)
    if isinstance(place, Cluster | Host):
        yield places.at(Pod, place.pod_id)
    yield places.at(Zone, place.zone_id)


def _is_within(places: Places, inner: Dedicated, outer: Dedicated) -> bool:
    if outer.dedicated_account_id:
        return inner.dedicated_account_id == outer.dedicated_account_id
    domain = inner.dedicated_domain_id
    if inner.dedicated_account_id:
        domain = places.at(Account, inner.dedicated_account_id).domain_id
    return domain is not None and outer.dedicated_domain_id in places.above(domain)


def tags_are_used_once(places: Places) -> None:
    """No VLAN twice in a zone."""
    seen: dict[tuple[str, int], str] = {}
    for network in places.all(Network):
        if network.vlan is None:
            continue
        other = seen.setdefault((network.zone_id, network.vlan), network.id)
        if other != network.id:
            raise InvalidRequest(
                f"network {network.id} has vlan {network.vlan}, as has {other}; they are unique in a zone"
            )


def basic_zones_have_one_network(places: Places) -> None:
    """Exactly one enabled guest network, shared; others are disabled ones of the past."""
    for zone in places.all(Zone):
        if zone.kind != "basic":
            continue
        networks = _networks(places, zone)
        for network in networks:
            if network.account_id is not None:
                raise InvalidRequest(f"network {network.id} is isolated; basic zone {zone.id} has a shared one only")
        enabled = [network.id for network in networks if network.enabled]
        if not networks or len(enabled) > 1:
            raise InvalidRequest(
                f"zone {zone.id} is basic: it has exactly one network, not {' and '.join(enabled) or 'none'}; "
                "another may stay if it has `enabled = false`"
            )


def _networks(places: Places, zone: Zone) -> list[Network]:
    return [network for network in places.all(Network) if network.zone_id == zone.id]


def zones_with_security_groups_filter(places: Places) -> None:
    """At least one network has a provider of security groups."""
    for zone in places.all(Zone):
        if zone.security_groups and not any(each.services.get(SECURITY_GROUP) for each in _networks(places, zone)):
            raise InvalidRequest(
                f"zone {zone.id} has security groups, so one of its networks needs a provider for them: "
                f'services = {{ {SECURITY_GROUP} = "SecurityGroupProvider" }}'
            )


def ranges_are_of_basic_zones(places: Places) -> None:
    """Only there do addresses come with the pod; the pod lies in the network's zone."""
    for each in places.all(PodRange):
        zone = places.at(Zone, places.at(Network, each.network_id).zone_id)
        if zone.kind != "basic":
            raise InvalidRequest(
                f"range {each.id}: zone {zone.id} is advanced; only networks of basic zones have ranges"
            )
        if places.at(Pod, each.pod_id).zone_id != zone.id:
            raise InvalidRequest(f"range {each.id} is for pod {each.pod_id}, which is not in its zone, {zone.id}")


def ranges_lie_in_their_network(places: Places) -> None:
    """The block in the network's, and the addresses among those it gives out."""
    for each in places.all(PodRange):
        network = places.at(Network, each.network_id)
        inside = IPv4Network(each.cidr).subnet_of(IPv4Network(network.cidr))
        first, last = _ends(network)
        if not inside or not first <= _ends(each)[0] <= _ends(each)[1] <= last:
            raise InvalidRequest(
                f"range {each.id}: {each.first_ip}–{each.last_ip} of {each.cidr} must lie in those of its network "
                f"{network.id}, {network.first_ip}–{network.last_ip} of {network.cidr}"
            )


def _ends(place: Network | PodRange) -> tuple[IPv4Address, IPv4Address]:
    return IPv4Address(place.first_ip), IPv4Address(place.last_ip)


def ranges_share_no_address(places: Places) -> None:
    """No address is given out in two ranges, and none is the gateway of another pod's."""
    for network in places.all(Network):
        mine = sorted((each for each in places.all(PodRange) if each.network_id == network.id), key=_ends)
        for one, next_one in pairwise(mine):
            if _ends(next_one)[0] <= _ends(one)[1]:
                raise InvalidRequest(
                    f"range {next_one.id}, from {next_one.first_ip}, overlaps range {one.id}, to {one.last_ip}"
                )
        _no_gateway_among_addresses(mine)


def _no_gateway_among_addresses(ranges: Sequence[PodRange]) -> None:
    for gateway, whose in {each.gateway: each for each in ranges}.items():
        for each in ranges:
            first, last = _ends(each)
            if first <= IPv4Address(gateway) <= last and each.gateway != gateway:
                raise InvalidRequest(
                    f"range {each.id} gives out {gateway}, the gateway of range {whose.id}; leave it out of one of them"
                )


def pods_of_basic_zones_have_addresses(places: Places) -> None:
    """A VM on a host there could not get one otherwise."""
    served = {each.pod_id for each in places.all(PodRange)}
    for pod in {host.pod_id: host for host in places.all(Host)}:
        zone = places.at(Zone, places.at(Pod, pod).zone_id)
        if zone.kind == "basic" and pod not in served:
            raise InvalidRequest(f"pod {pod} has hosts, so the network of basic zone {zone.id} needs a range for it")


RULES: tuple[Callable[[Places], None], ...] = (
    what_is_named_exists,
    groups_of_rules_exist,
    dedications_lie_within_each_other,
    tags_are_used_once,
    basic_zones_have_one_network,
    zones_with_security_groups_filter,
    ranges_are_of_basic_zones,
    ranges_lie_in_their_network,
    ranges_share_no_address,
    pods_of_basic_zones_have_addresses,
)
"""In order: those that follow may trust those before."""


def check(places: Iterable[Place]) -> None:
    """All rules.

    Raises:
        InvalidRequest: one does not hold.
    """
    found = Places(places)
    for rule in RULES:
        rule(found)
