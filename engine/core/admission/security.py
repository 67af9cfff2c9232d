"""Security groups: which a VM is in.

Those that are named, or the owner's default one where the setting says so and the place can filter: CloudStack's rule.
Promises: a VM that is in any group has a zone, a default network and some hypervisor that can filter; that it is
placed on such a host is the planner's part. `AssignVM` meets the same rules.
Races: two deploys may make the default group of one account at once; the first writes it, the other finds it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from interlock.engine.core.admission.lookup import existing_of, listed
from interlock.engine.core.admission.networks import BASIC, SECURITY_GROUP, offers
from interlock.engine.core.draft import Draft
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Host, Network, SecurityGroup, Zone
from interlock.schema.commands import Capability
from interlock.schema.errors import InvalidRequest, NotAllowed
from interlock.schema.settings import DEFAULT_GROUP, GROUPS_MOST, SettingScope

DEFAULT = "default"
"""The name of the group that deploys add by themselves."""
LOWEST = 1
"""The version of one that was just made. Two engines may make it at once, and one row is kept: both must be the same,
whatever else they know, or a host is recorded as told what no group says. Too high: VMs are told again for nothing."""


class Where(NamedTuple):
    """Where the VM is to be."""

    zone: Zone
    network: Network
    """Its default one."""
    hypervisor: str | None
    """The only one it runs on; None: any."""


class Groups(NamedTuple):
    """The groups of a VM, by id, and those of them that are to be made."""

    ids: tuple[str, ...]
    new: tuple[SecurityGroup, ...]


def security_groups_of(draft: Draft, names: tuple[str, ...], account: Account, where: Where) -> Groups:
    """The groups that are named, each once, or the owner's default one."""
    if not names:
        return _default(draft, account, where)
    zone_must_have_groups(where.zone)
    network_must_filter(where.network)
    hypervisors_must_filter(draft, where)
    ids = tuple(dict.fromkeys(security_group_of(draft.cloud, name, account).id for name in names))
    groups_must_not_be_too_many(draft.cloud, ids, account)
    return Groups(ids, ())


def zone_must_have_groups(zone: Zone) -> None:
    """The zone has security groups: a basic one always, an advanced one if it says so."""
    if not _has_groups(zone):
        raise InvalidRequest(f"zone {zone.id} has no security groups; leave them out, or choose another zone")


def network_must_filter(network: Network) -> None:
    """The VM's default network offers security groups, and has a provider for them."""
    if not offers(network, SECURITY_GROUP):
        raise InvalidRequest(
            f"network {network.id}, the VM's default one, has no provider of service {SECURITY_GROUP}; "
            "leave the security groups out, or choose another default network"
        )


def hypervisors_must_filter(draft: Draft, where: Where) -> None:
    """Some hypervisor that the VM may run on can filter."""
    if not _can_filter(draft, where):
        drivers = sorted({host.driver for host in _hosts(draft.cloud, where)})
        raise InvalidRequest(
            f"no hypervisor for this VM in zone {where.zone.id} has security groups (drivers: {listed(drivers)}); "
            "leave them out, or choose another zone or hypervisor"
        )


def security_group_of(cloud: Cloud, name: str, account: Account) -> SecurityGroup:
    """The group exists and is the owner's."""
    group = existing_of(cloud, SecurityGroup, name, account.id)
    if group.account_id != account.id:
        raise NotAllowed(
            f"security group {group.id} belongs to account {group.account_id}, not {account.id}; name one of its own"
        )
    return group


def groups_must_not_be_too_many(cloud: Cloud, ids: tuple[str, ...], account: Account) -> None:
    """A VM is in no more groups than the setting allows its account."""
    most = cloud.setting(GROUPS_MOST, (SettingScope.ACCOUNT, account.id))
    if len(ids) > most:
        raise InvalidRequest(
            f"{len(ids)} security groups are named, and a VM of account {account.id} may be in {most}; name fewer, "
            f"or have {GROUPS_MOST.name} raised"
        )


def _default(draft: Draft, account: Account, where: Where) -> Groups:
    """The owner's default group, made if need be, where it can be had."""
    able = _has_groups(where.zone) and offers(where.network, SECURITY_GROUP) and _can_filter(draft, where)
    if not able or not draft.cloud.setting(DEFAULT_GROUP):
        return Groups((), ())
    group_id = f"{account.id}/{DEFAULT}"
    if draft.cloud.find(SecurityGroup, group_id) is not None:
        return Groups((group_id,), ())
    made = SecurityGroup(id=group_id, account_id=account.id, name=DEFAULT, version=LOWEST)
    return Groups((group_id,), (made,))


def _has_groups(zone: Zone) -> bool:
    return zone.kind == BASIC or zone.security_groups


def _can_filter(draft: Draft, where: Where) -> bool:
    """Whether some host's driver can, or is not known not to: one that is only open elsewhere says nothing here."""
    known = draft.rules.capabilities
    return any(
        host.driver not in known or Capability.SECURITY_GROUPS in known[host.driver]
        for host in _hosts(draft.cloud, where)
    )


def _hosts(cloud: Cloud, where: Where) -> Iterator[Host]:
    """The hosts of the zone that have the VM's hypervisor."""
    return (
        host
        for host in cloud.hosts(where.zone.id)
        if where.hypervisor in (None, cloud.cluster(host.cluster_id).hypervisor)
    )
