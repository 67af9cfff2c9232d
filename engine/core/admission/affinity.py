"""Affinity groups: with which other VMs a VM is to run, or apart from which.

What they ask of the place is told to the planner by `steps/demand.py`.
"""

from __future__ import annotations

from interlock.engine.core.access import is_for
from interlock.engine.core.admission.lookup import existing
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import AFFINITIES, DEDICATED, Account, AffinityGroup, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed


def affinity_groups_of(cloud: Cloud, names: tuple[str, ...], account: Account, zone: Zone) -> tuple[str, ...]:
    """The groups that are named, each once; each may be used."""
    groups = [affinity_group_of(cloud, name, account) for name in dict.fromkeys(names)]
    if any(group.kind == DEDICATED for group in groups):
        places_must_be_dedicated(cloud, account, zone)
    return tuple(group.id for group in groups)


def affinity_group_of(cloud: Cloud, name: str, account: Account) -> AffinityGroup:
    """The group exists, is the owner's, its domain's or everybody's, and of a kind that is known."""
    group = existing(cloud, AffinityGroup, name)
    affinity_group_must_be_for(cloud, group, account)
    affinity_must_be_known(group)
    return group


def affinity_group_must_be_for(cloud: Cloud, group: AffinityGroup, account: Account) -> None:
    """The group is the owner's, its domain's or one's above, or everybody's."""
    if not is_for(cloud, group, account.id):
        owner = f"account {group.account_id}" if group.account_id else f"domain {group.domain_id}"
        raise NotAllowed(f"affinity group {group.id} belongs to {owner}, not account {account.id}; name another")


def affinity_must_be_known(group: AffinityGroup) -> None:
    """The group is of a kind that placement knows."""
    if group.kind not in AFFINITIES:
        raise InvalidRequest(
            f"affinity group {group.id} is of kind {group.kind!r}, which nobody can keep; there are: "
            f"{', '.join(AFFINITIES)}"
        )


def places_must_be_dedicated(cloud: Cloud, account: Account, zone: Zone) -> None:
    """A VM that goes only on dedicated places is of an account, or below a domain, that has some in the zone."""
    if not any(cloud.dedicated_to(host, account.id) for host in cloud.hosts(zone.id)):
        raise InvalidRequest(
            f"no host of zone {zone.id} is dedicated to account {account.id} or a domain above it; "
            f"leave the {DEDICATED} group out, or have a host, cluster, pod or zone dedicated"
        )
