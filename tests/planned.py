"""Random small clouds and demands for the planners, and a brute-force oracle.

The oracle shares no code with the planners: it tries every host with every pool for every volume, and does its own
arithmetic on the records' fields.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import strategies as st

from interlock.planners.concentrating import Concentrating
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.implicit import ImplicitDedication
from interlock.planners.protocol import Demand, HostPlanner, VolumeDemand
from interlock.schema.cloud import Cluster, Host, StoragePool
from tests.fakes import ZONE, FakeCloud, IndexedCloud, a_demand, a_host, a_pool, a_volume, has_tags_and_room, holds

PLANNERS: list[HostPlanner] = [FirstFit(), Dispersing(), Concentrating(), ImplicitDedication()]
every_planner = pytest.mark.parametrize("planner", PLANNERS, ids=lambda planner: type(planner).__name__)

HOSTS = ("h1", "h10", "h2", "h3", "h4")
PODS = {"c1": "p1", "c2": "p1", "c3": "p2"}
CLUSTERS = tuple(PODS)
ACCOUNTS = ("a", "b", "c")
TAGS = ("gpu", "ssd")
IMPLICIT = "implicit-dedication"
few = st.integers(0, 6)
seldom = st.integers(0, 11).map(lambda number: number == 11)
rarely = st.integers(0, 23).map(lambda number: number == 23)
overcommit = st.sampled_from([1.0, 1.0, 0.5, 1.5, 2.0, 3.0])
tags = st.sets(st.sampled_from(TAGS)).map(lambda names: tuple(sorted(names)))
many_tags = st.just(TAGS) | tags
few_tags = st.just(()) | st.just(()) | tags


# Clouds


@st.composite
def a_random_host(draw: st.DrawFn, id: str) -> Host:
    in_use = draw(st.booleans())
    used = {name: draw(st.integers(1, 6)) if in_use else 0 for name in ("cpu_used_mhz", "memory_used_mib")}
    over = {"cpu_overcommit": draw(overcommit), "memory_overcommit": draw(overcommit)}
    cpu, memory, cluster = draw(st.integers(6, 12)), draw(st.integers(6, 12)), draw(st.sampled_from(CLUSTERS))
    place = {"zone_id": "elsewhere" if draw(seldom) else ZONE, "pod_id": PODS[cluster], "tags": draw(many_tags)}
    driver = "odd" if draw(seldom) else "simulator"
    return a_host(id, cluster, cpu, memory, driver=driver, enabled=not draw(seldom), **used, **over, **place)


@st.composite
def a_random_pool(draw: st.DrawFn, id: str) -> StoragePool:
    places: list[dict[str, str]] = [
        {},
        *({"cluster_id": id} for id in CLUSTERS),
        *({"host_id": id} for id in HOSTS),
    ]
    owner = draw(st.sampled_from(places))
    figures = {"used_mib": draw(st.integers(0, 3)), "overcommit": draw(overcommit), "tags": draw(many_tags)}
    zone = "elsewhere" if not owner and draw(seldom) else ZONE
    return a_pool(id, draw(st.integers(1, 9)), zone_id=zone, enabled=not draw(seldom), **figures, **owner)


@st.composite
def clouds(draw: st.DrawFn) -> FakeCloud:
    hosts = [draw(a_random_host(id)) for id in draw(st.just(HOSTS) | st.sets(st.sampled_from(HOSTS)))]
    pools = [draw(a_random_pool(f"s{number}")) for number in range(draw(st.just(6) | st.integers(0, 6)))]
    vms: dict[tuple[str, str], int] = {("b", "gone"): 9}
    placed: dict[tuple[str, str], int] = {}
    for host in hosts:
        if host.cpu_used_mhz:
            owners = draw(st.lists(st.sampled_from(ACCOUNTS), min_size=1, max_size=2, unique=True))
            vms.update({(account, host.id): draw(st.integers(1, 3)) for account in owners})
            by = draw(st.lists(st.sampled_from(["first-fit", IMPLICIT]), min_size=1, max_size=2, unique=True))
            placed.update({(planner, host.id): 1 for planner in by})
    cloud = draw(st.sampled_from([FakeCloud, IndexedCloud]))
    return cloud(
        hosts,
        pools,
        {host.id: "its pod is disabled" for host in hosts if draw(seldom)},
        vms,
        placed=placed,
        dedicated={host.id: draw(st.sampled_from(ACCOUNTS)) for host in hosts if draw(seldom)},
        clusters=[a_cluster(id, "odd") for id in CLUSTERS if draw(seldom)],
        spare={id: draw(st.integers(0, 4)) for id in CLUSTERS if draw(seldom)},
        most={pool.id: draw(few) for pool in pools if draw(seldom)},
        sharp=draw(st.booleans()),
    )


def a_cluster(id: str = "c1", hypervisor: str = "simulator") -> Cluster:
    return Cluster(id=id, zone_id=ZONE, pod_id=PODS[id], hypervisor=hypervisor)


# Demands


@st.composite
def a_random_volume(draw: st.DrawFn, id: str) -> VolumeDemand:
    pool = draw(st.sampled_from([None] * 20 + ["s0", "s1", "gone"]))
    kind = draw(st.sampled_from(["shared"] * 7 + ["local"]))
    return a_volume(id, draw(st.integers(1, 4)), kind, pool, draw(few_tags))


def some_of(names: tuple[str, ...], most: int = 2) -> st.SearchStrategy[dict[str, str]]:
    chosen = st.frozensets(st.sampled_from(names), max_size=most)
    return chosen.map(lambda names: dict.fromkeys(sorted(names), "it refused"))


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    volumes = [draw(a_random_volume(f"v{number}")) for number in range(draw(st.integers(0, 3)))]
    wishes: dict[str, Any] = {
        "avoid_hosts": draw(some_of(HOSTS)),
        "avoid_pools": draw(some_of(("s0", "s1", "s2"), 1)),
        "host_tags": draw(few_tags),
        "own_cpu_overcommit": draw(overcommit) if draw(seldom) else None,
        "own_memory_overcommit": draw(overcommit) if draw(seldom) else None,
        "ignore_disabled": draw(seldom),
        "dedicated_only": draw(rarely),
        "liked_hosts": draw(st.dictionaries(st.sampled_from((*HOSTS, "gone")), st.integers(-2, 2), max_size=3)),
        "last_host": draw(st.sampled_from([None, None, None, *HOSTS, "gone"])),
        "planner_mode": draw(st.sampled_from([None, "strict", "preferred"])),
        **draw(choices()),
    }
    return a_demand(*volumes, cpu=draw(st.integers(1, 4)), memory=draw(st.integers(1, 4)), **wishes)


@st.composite
def choices(draw: st.DrawFn) -> dict[str, Any]:
    """What leaves few hosts; so each is rare."""
    everything: dict[str, st.SearchStrategy[Any]] = {
        "only_pod": st.sampled_from(("p1", "p2")),
        "only_cluster": st.sampled_from(CLUSTERS),
        "only_host": st.sampled_from(HOSTS),
        "only_hosts": some_of(HOSTS, 5),
        "hypervisor": st.sampled_from(("simulator", "odd")),
        "avoid_drivers": some_of(("odd", "simulator"), 1),
        "avoid_pods": some_of(("p1", "p2"), 1),
    }
    return {name: draw(wish) for name, wish in everything.items() if draw(rarely)}


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
