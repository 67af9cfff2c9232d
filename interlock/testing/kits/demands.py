"""Clouds and demands at random, for checks of planners: small, and crowded enough that most rules have something to say."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from interlock.planners.protocol import Demand, VolumeDemand
from interlock.schema.cloud import Cluster, Host, StoragePool
from interlock.testing.kits.clouds import ZONE, FakeCloud, IndexedCloud, a_demand, a_host, a_pool, a_volume

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
