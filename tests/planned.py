"""The planners of ours, and a brute-force oracle for the random clouds and demands of the conformance kit.

The oracle shares no code with the planners: it tries every host with every pool for every volume, and does its own
arithmetic on the records' fields.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import pytest

from interlock.planners.concentrating import Concentrating
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.implicit import ImplicitDedication
from interlock.planners.protocol import Demand, HostPlanner
from interlock.schema.cloud import Host, StoragePool
from interlock.testing.kits.clouds import ZONE, FakeCloud, has_tags_and_room, holds
from interlock.testing.kits.demands import CLUSTERS, HOSTS, IMPLICIT, a_cluster, clouds, demands

__all__ = ["CLUSTERS", "HOSTS", "IMPLICIT", "a_cluster", "clouds", "demands"]

PLANNERS: list[HostPlanner] = [FirstFit(), Dispersing(), Concentrating(), ImplicitDedication()]
every_planner = pytest.mark.parametrize("planner", PLANNERS, ids=lambda planner: type(planner).__name__)


# The oracle


def usable_hosts(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> Iterator[Host]:
    """Storage aside."""
    for host in cloud.hosts(ZONE):
        places = (host.pod_id, demand.only_pod), (host.cluster_id, demand.only_cluster), (host.id, demand.only_host)
        chosen = all(only in (None, place) for place, only in places)
        together = demand.only_hosts is None or host.id in demand.only_hosts
        open = demand.ignore_disabled or (host.enabled and host.id not in cloud.closed)
        able = demand.hypervisor in (None, cloud.cluster(host.cluster_id).hypervisor)
        able = able and host.driver not in demand.avoid_drivers
        owner = cloud.dedicated.get(host.id)
        owned = owner == demand.account_id or (owner is None and not demand.dedicated_only)
        kept = host.id not in demand.avoid_hosts and host.pod_id not in demand.avoid_pods
        cpu, _ = holds(host, demand)
        roomy = has_tags_and_room(host, demand) and cpu <= cloud.spare.get(host.cluster_id, cpu)
        if all((chosen, together, open, able, owned, kept, roomy)) and not claimed(planner, demand, cloud, host):
            yield host


def claimed(planner: HostPlanner, demand: Demand, cloud: FakeCloud, host: Host) -> bool:
    """Whether implicit dedication, of others or its own strictness, keeps the VM away."""
    accounts = {account for (account, id), vms in cloud.vms.items() if id == host.id}
    planners = {name for (name, id), vms in cloud.placed.items() if id == host.id}
    if IMPLICIT in planners and len(accounts) == 1 and accounts != {demand.account_id}:
        return True
    strict = isinstance(planner, ImplicitDedication) and demand.planner_mode != "preferred"
    return strict and not (accounts <= {demand.account_id} and planners <= {IMPLICIT})


def usable_pools(demand: Demand, cloud: FakeCloud, host: Host) -> dict[str, StoragePool]:
    """Enabled, not avoided, reached from the host."""
    return {
        pool.id: pool
        for pool in cloud.pools(ZONE)
        if (pool.enabled or demand.ignore_disabled) and pool.id not in demand.avoid_pools
        if pool.scope == "zone" or pool.cluster_id == host.cluster_id or pool.host_id == host.id
    }


def right(choice: Mapping[str, str], demand: Demand, pools: Mapping[str, StoragePool], cloud: FakeCloud) -> bool:
    """Whether every volume may be where `choice` puts it, and all together have room below the thresholds."""
    taken = dict.fromkeys(pools, 0)
    for volume in demand.volumes:
        pool = pools.get(choice[volume.id])
        if pool is None or volume.pool_id not in (None, pool.id):
            return False
        if volume.pool_id is None:
            if (volume.storage == "local") != (pool.scope == "host") or not set(volume.tags) <= set(pool.tags):
                return False
            taken[pool.id] += volume.size_mib
    most = {id: int(pools[id].size_mib * pools[id].overcommit) for id in taken}
    most = {id: min(figure, cloud.most.get(id, figure)) for id, figure in most.items()}
    return all(amount == 0 or pools[id].used_mib + amount <= most[id] for id, amount in taken.items())


def fits(demand: Demand, cloud: FakeCloud, host: Host) -> bool:
    """By brute force: whether any division of the volumes among the pools is right."""
    pools, names = usable_pools(demand, cloud, host), [volume.id for volume in demand.volumes]
    divisions = itertools.product(pools, repeat=len(names))
    return any(right(dict(zip(names, division, strict=True)), demand, pools, cloud) for division in divisions)


def fitting(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> list[Host]:
    """All that would do, by id."""
    return [host for host in usable_hosts(planner, demand, cloud) if fits(demand, cloud, host)]


def equally_liked(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> list[Host]:
    """Of those the ones that come first whatever the planner: where the VM ran last, else the most liked."""
    hosts = fitting(planner, demand, cloud)
    if last := [host for host in hosts if host.id == demand.last_host]:
        return last
    liked = {host.id: demand.liked_hosts.get(host.id, 0) for host in hosts}
    return [host for host in hosts if liked[host.id] == max(liked.values())]
