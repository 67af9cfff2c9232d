"""The promises of the host planners, held over random small clouds against a brute-force oracle.

The oracle shares no code with the planners: it tries every host with every pool for every volume, and does
its own arithmetic on the records' fields.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.planners.concentrating import Concentrating
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.protocol import CloudView, Demand, HostPlanner, NoPlan, Plan, Rejected, VolumeDemand
from interlock.planners.storage import TRIES, divide
from interlock.schema.cloud import Host, StoragePool
from tests.fakes import ZONE, FakeCloud, a_demand, a_host, a_pool, a_volume

PLANNERS: list[HostPlanner] = [FirstFit(), Dispersing(), Concentrating()]
every_planner = pytest.mark.parametrize("planner", PLANNERS, ids=lambda planner: type(planner).__name__)

CLUSTERS = ("c1", "c2")
HOSTS = ("h1", "h10", "h2", "h3", "h4")
few = st.integers(0, 6)
mostly = st.integers(0, 11).map(lambda number: number != 11)
overcommit = st.sampled_from([1.0, 1.0, 0.5, 1.5, 2.0])
seldom = mostly.map(lambda yes: not yes)


# Random clouds and demands


@st.composite
def a_random_host(draw: st.DrawFn, id: str) -> Host:
    zone = "elsewhere" if draw(seldom) else ZONE
    used = {"cpu_used_mhz": draw(few), "memory_used_mib": draw(few)}
    over = {"cpu_overcommit": draw(overcommit), "memory_overcommit": draw(overcommit)}
    cpu, memory = draw(st.integers(6, 12)), draw(st.integers(6, 12))
    cluster = draw(st.sampled_from(CLUSTERS))
    return a_host(id, cluster, cpu, memory, zone_id=zone, enabled=draw(mostly), **used, **over)


@st.composite
def a_random_pool(draw: st.DrawFn, id: str) -> StoragePool:
    places: list[dict[str, str]] = [
        {},
        *({"cluster_id": id} for id in CLUSTERS),
        *({"host_id": id} for id in HOSTS),
    ]
    owner = draw(st.sampled_from(places))
    figures = {"used_mib": draw(st.integers(0, 3)), "overcommit": draw(overcommit)}
    zone = "elsewhere" if draw(seldom) else ZONE
    return a_pool(id, draw(st.integers(1, 9)), zone_id=zone, enabled=draw(mostly), **figures, **owner)


@st.composite
def clouds(draw: st.DrawFn) -> FakeCloud:
    hosts = [draw(a_random_host(id)) for id in draw(st.just(HOSTS) | st.sets(st.sampled_from(HOSTS)))]
    pools = [draw(a_random_pool(f"s{number}")) for number in range(draw(st.just(6) | st.integers(0, 6)))]
    closed = {host.id: "its pod p1 is disabled" for host in hosts if draw(seldom)}
    vms = {("a", host.id): draw(st.integers(0, 3)) for host in hosts}
    return FakeCloud(hosts, pools, closed, {**vms, ("b", "h1"): 9})


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    volumes = []
    for number in range(draw(st.integers(0, 4))):
        pool = draw(st.sampled_from([None] * 20 + ["s0", "s1", "gone"]))
        kind = draw(st.sampled_from(["shared"] * 7 + ["local"]))
        volumes.append(a_volume(f"v{number}", draw(st.integers(1, 4)), kind, pool))
    hosts, pools = st.sampled_from(HOSTS), st.sampled_from(["s0", "s1", "s2"])
    avoid = {
        "avoid_hosts": dict.fromkeys(draw(st.frozensets(hosts, max_size=2)), "it refused"),
        "avoid_pools": dict.fromkeys(draw(st.frozensets(pools, max_size=1)), "it refused"),
    }
    return a_demand(*volumes, cpu=draw(st.integers(0, 4)), memory=draw(st.integers(0, 4)), **avoid)


# The oracle


def usable_hosts(demand: Demand, cloud: FakeCloud) -> Iterator[Host]:
    """Storage aside."""
    for host in cloud.hosts(ZONE):
        cpu = int(host.cpu_mhz * host.cpu_overcommit) >= host.cpu_used_mhz + demand.cpu_mhz
        memory = int(host.memory_mib * host.memory_overcommit) >= host.memory_used_mib + demand.memory_mib
        if cpu and memory and host.id not in demand.avoid_hosts and cloud.enabled(host) is None:
            yield host


def usable_pools(demand: Demand, cloud: FakeCloud, host: Host) -> dict[str, StoragePool]:
    """Enabled, not avoided, reached from the host."""
    return {
        pool.id: pool
        for pool in cloud.pools(ZONE)
        if pool.enabled and pool.id not in demand.avoid_pools
        if pool.scope == "zone" or pool.cluster_id == host.cluster_id or pool.host_id == host.id
    }


def right(choice: Mapping[str, str], demand: Demand, pools: Mapping[str, StoragePool]) -> bool:
    """Whether every volume may be where `choice` puts it, and all together have room."""
    taken = dict.fromkeys(pools, 0)
    for volume in demand.volumes:
        pool = pools.get(choice[volume.id])
        if pool is None or volume.pool_id not in (None, pool.id):
            return False
        if volume.pool_id is None:
            if (volume.storage == "local") != (pool.scope == "host"):
                return False
            taken[pool.id] += volume.size_mib
    return all(
        amount == 0 or pools[id].used_mib + amount <= int(pools[id].size_mib * pools[id].overcommit)
        for id, amount in taken.items()
    )


def fits(demand: Demand, cloud: FakeCloud, host: Host) -> bool:
    """By brute force: whether any division of the volumes among the pools is right."""
    pools, names = usable_pools(demand, cloud, host), [volume.id for volume in demand.volumes]
    divisions = itertools.product(pools, repeat=len(names))
    return any(right(dict(zip(names, division, strict=True)), demand, pools) for division in divisions)


def fitting(demand: Demand, cloud: FakeCloud) -> list[Host]:
    return [host for host in usable_hosts(demand, cloud) if fits(demand, cloud, host)]


def more_such_vms(host: Host, demand: Demand) -> float:
    """Dispersing's and concentrating's measure of room, the long way."""
    cpu = int(host.cpu_mhz * host.cpu_overcommit) - host.cpu_used_mhz
    memory = int(host.memory_mib * host.memory_overcommit) - host.memory_used_mib
    return min(cpu / demand.cpu_mhz, memory / demand.memory_mib)


# Promises of every planner


@every_planner
@given(demand=demands(), cloud=clouds())
def test_a_plan_names_a_host_and_pools_that_fit(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> None:
    plan = planner.plan(demand, cloud)
    if isinstance(plan, Plan):
        host = {host.id: host for host in usable_hosts(demand, cloud)}[plan.host_id]
        assert plan.pools.keys() == {volume.id for volume in demand.volumes}
        assert right(plan.pools, demand, usable_pools(demand, cloud, host))


@every_planner
@given(demand=demands(), cloud=clouds())
def test_there_is_no_plan_only_where_nothing_fits_and_every_host_is_named(
    planner: HostPlanner, demand: Demand, cloud: FakeCloud
) -> None:
    plan = planner.plan(demand, cloud)
    assert isinstance(plan, Plan) == bool(fitting(demand, cloud))
    if isinstance(plan, NoPlan):
        everyone = [f"host {host.id}" for host in cloud.hosts(ZONE)]
        assert sorted(rejected.candidate for rejected in plan.rejected) == sorted(everyone or [f"zone {ZONE}"])


@every_planner
@given(demand=demands(), cloud=clouds())
def test_a_host_is_passed_over_only_for_a_reason(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> None:
    passed = planner.plan(demand, cloud).rejected
    assert not {rejected.candidate for rejected in passed} & {f"host {host.id}" for host in fitting(demand, cloud)}
    assert all(rejected.reason for rejected in passed)


@every_planner
@given(demand=demands(), cloud=clouds())
def test_the_same_question_has_the_same_answer_and_asking_changes_nothing(
    planner: HostPlanner, demand: Demand, cloud: FakeCloud
) -> None:
    before = cloud.contents()
    answer = planner.plan(demand, cloud)
    assert type(planner)().plan(demand, cloud) == answer == planner.plan(demand, cloud)
    assert cloud.contents() == before


@every_planner
@given(demand=demands(), cloud=clouds())
def test_more_room_never_loses_a_plan(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> None:
    grown = FakeCloud([*cloud.hosts(ZONE), a_host("h99", "c9")], [*cloud.pools(ZONE), a_pool("s9")])
    if isinstance(planner.plan(demand, cloud), Plan):
        assert isinstance(planner.plan(demand, grown), Plan)


@every_planner
def test_a_planner_keeps_the_protocol(planner: HostPlanner) -> None:
    assert isinstance(planner, HostPlanner)
    assert isinstance(FakeCloud(), CloudView)


# Promises of each


@given(demand=demands(), cloud=clouds())
def test_first_fit_takes_the_lowest_id_that_fits(demand: Demand, cloud: FakeCloud) -> None:
    plan = FirstFit().plan(demand, cloud)
    if isinstance(plan, Plan):
        assert plan.host_id == min(host.id for host in fitting(demand, cloud))
        before = [host.id for host in cloud.hosts(ZONE) if host.id < plan.host_id]
        assert [rejected.candidate for rejected in plan.rejected] == [f"host {id}" for id in before]


def test_first_fit_stops_at_the_first_that_fits() -> None:
    cloud = FakeCloud([a_host(f"h{number:03}", cpu=number) for number in range(1000)])
    assert FirstFit().plan(a_demand(cpu=7), cloud).rejected[-1].candidate == "host h006"
    assert cloud.hosts_read == 8


wanting = demands().filter(lambda demand: demand.cpu_mhz > 0 and demand.memory_mib > 0)


@given(demand=wanting, cloud=clouds())
def test_dispersing_takes_the_fewest_vms_then_the_most_room_then_the_lowest_id(
    demand: Demand, cloud: FakeCloud
) -> None:
    plan = Dispersing().plan(demand, cloud)
    if isinstance(plan, Plan):
        hosts = fitting(demand, cloud)
        hosts = [host for host in hosts if vms(cloud, host) == min(vms(cloud, each) for each in hosts)]
        most = max(more_such_vms(host, demand) for host in hosts)
        assert plan.host_id == min(host.id for host in hosts if more_such_vms(host, demand) == most)


@given(demand=wanting, cloud=clouds())
def test_concentrating_takes_the_most_vms_then_the_least_room_then_the_lowest_id(
    demand: Demand, cloud: FakeCloud
) -> None:
    plan = Concentrating().plan(demand, cloud)
    if isinstance(plan, Plan):
        hosts = fitting(demand, cloud)
        hosts = [host for host in hosts if vms(cloud, host) == max(vms(cloud, each) for each in hosts)]
        least = min(more_such_vms(host, demand) for host in hosts)
        assert plan.host_id == min(host.id for host in hosts if more_such_vms(host, demand) == least)


def vms(cloud: FakeCloud, host: Host) -> int:
    return cloud.vms_of("a", host.id)


def test_only_the_accounts_own_vms_count() -> None:
    cloud = FakeCloud([a_host("h1"), a_host("h2")], vms={("other", "h1"): 5, ("a", "h2"): 1})
    assert isinstance(spread := Dispersing().plan(a_demand(), cloud), Plan)
    assert isinstance(gathered := Concentrating().plan(a_demand(), cloud), Plan)
    assert (spread.host_id, gathered.host_id) == ("h1", "h2")


# Storage


@given(cloud=clouds())
def test_a_volume_goes_to_the_zones_pool_only_if_no_pool_of_the_cluster_has_room(cloud: FakeCloud) -> None:
    one = a_demand(a_volume("root", 3), cpu=1, memory=1)
    plan = FirstFit().plan(one, cloud)
    if isinstance(plan, Plan):
        host = next(host for host in cloud.hosts(ZONE) if host.id == plan.host_id)
        pools = usable_pools(one, cloud, host)
        roomy = {id for id, pool in pools.items() if right({"root": id}, one, pools) and pool.scope == "cluster"}
        assert plan.pools["root"] == min(roomy, default=plan.pools["root"])


def test_a_volume_that_lies_somewhere_needs_no_more_space_there() -> None:
    cloud = FakeCloud([a_host()], [a_pool("full", 100, used_mib=100)])
    plan = FirstFit().plan(a_demand(a_volume("root", 100, pool="full")), cloud)
    assert isinstance(plan, Plan)
    assert plan.pools == {"root": "full"}


def test_a_volume_in_local_storage_ties_the_vm_to_its_host() -> None:
    cloud = FakeCloud([a_host("h1"), a_host("h2")], [a_pool("disk2", host_id="h2")])
    plan = FirstFit().plan(a_demand(a_volume("root", pool="disk2")), cloud)
    assert isinstance(plan, Plan)
    assert plan.host_id == "h2"
    assert plan.rejected[0].reason == "volume root lies in pool disk2, which is only reached from host h2"


@given(sizes=st.lists(st.integers(0, 6), max_size=5), free=st.lists(st.integers(-1, 12), max_size=4))
def test_a_division_is_found_if_and_only_if_there_is_one(sizes: list[int], free: list[int]) -> None:
    def holds(division: Collection[int]) -> bool:
        left = list(free)
        for size, index in zip(sizes, division, strict=True):
            left[index] -= size
        return all(space >= 0 for index, space in enumerate(left) if index in division)

    sizes.sort(reverse=True)
    found = divide(sizes, free)
    possible = any(map(holds, itertools.product(range(len(free)), repeat=len(sizes))))
    assert holds(found) if isinstance(found, list) else not possible
    assert "tries" not in found


def test_a_division_is_found_where_taking_the_first_pool_each_time_finds_none() -> None:
    volumes = [a_volume(f"v{size}", size) for size in (4, 3, 2)]
    cloud = FakeCloud([a_host()], [a_pool("p1", 5), a_pool("p2", 4)])
    plan = FirstFit().plan(a_demand(*volumes), cloud)
    assert isinstance(plan, Plan)
    assert plan.pools == {"v4": "p2", "v3": "p1", "v2": "p1"}


def test_a_search_that_would_take_too_long_ends_and_says_so() -> None:
    cloud = FakeCloud([a_host()], [a_pool(f"p{number:02}", 20) for number in range(14)])
    demand = a_demand(*(a_volume(f"v{number}", 7) for number in range(40)))
    assert f"found no way to fit together in {TRIES} tries" in reason_for(demand, cloud)


def test_pools_are_read_once_and_only_when_a_host_has_room() -> None:
    pools = [a_pool("p1", 1), a_pool("p2", 1)]
    full, roomy = ([a_host(f"h{number}", cpu=cpu) for number in range(50)] for cpu in (1, 1000))
    for hosts, read in ((full, 0), (roomy, 2)):
        FirstFit().plan(a_demand(a_volume()), cloud := FakeCloud(hosts, pools))
        assert cloud.pools_read == read


# Words


def reason_for(demand: Demand, cloud: FakeCloud) -> str:
    """Of the only host there is."""
    plan = FirstFit().plan(demand, cloud)
    assert isinstance(plan, NoPlan)
    assert [rejected.candidate for rejected in plan.rejected] == ["host h1"]
    return plan.rejected[0].reason


@pytest.mark.parametrize(
    ("host", "demand", "words"),
    [
        ({"enabled": False}, {}, "host h1 is disabled"),
        ({}, {"avoid_hosts": {"h1": "it is ill"}}, "is avoided: it is ill"),
        ({"cpu": 1000, "cpu_used_mhz": 500}, {"cpu": 2000}, "needs 2000 MHz CPU, has 500 free"),
        ({"cpu": 1000, "cpu_overcommit": 1.5}, {"cpu": 2000}, "needs 2000 MHz CPU, has 1500 free"),
        ({"memory": 100, "memory_used_mib": 90}, {"memory": 11}, "needs 11 MiB memory, has 10 free"),
    ],
)
def test_a_host_is_refused_in_words(host: dict[str, Any], demand: dict[str, Any], words: str) -> None:
    assert reason_for(a_demand(**demand), FakeCloud([a_host(**host)])) == words


def test_a_host_is_refused_for_what_it_stands_in() -> None:
    cloud = FakeCloud([a_host()], closed={"h1": "cluster c1 is disabled"})
    assert reason_for(a_demand(), cloud) == "cluster c1 is disabled"


root, data = a_volume("root", 100), a_volume("data", 200)


@pytest.mark.parametrize(
    ("volumes", "pools", "words"),
    [
        ([root], [], "volume root (100 MiB) fits in no pool: the host reaches no shared pool"),
        (
            [a_volume("root", 1, "local")],
            [a_pool()],
            "volume root (1 MiB) fits in no pool: the host reaches no local pool",
        ),
        (
            [a_volume("root", 1, "tape")],
            [a_pool()],
            "volume root (1 MiB) fits in no pool: the host reaches no tape pool",
        ),
        (
            [root, data],
            [a_pool("p1", 300, used_mib=101), a_pool("p2", enabled=False), a_pool("bad")],
            "volume data (200 MiB) fits in no pool: pool bad is avoided: it is ill, "
            "pool p1 has 199 MiB free, pool p2 is disabled",
        ),
        (
            [root, data],
            [a_pool("p1", 299), a_pool("p2", 99, cluster_id="c1")],
            "volumes data (200 MiB), root (100 MiB) do not fit together: "
            "pool p2 has 99 MiB free, pool p1 has 299 MiB free",
        ),
        ([a_volume(pool="p1")], [], "volume root lies in pool p1, which is not in zone z"),
        (
            [a_volume(pool="p1")],
            [a_pool("p1", enabled=False)],
            "volume root lies in pool p1, which is disabled",
        ),
        (
            [a_volume(pool="bad")],
            [a_pool("bad")],
            "volume root lies in pool bad, which is avoided: it is ill",
        ),
        (
            [a_volume(pool="p1")],
            [a_pool("p1", cluster_id="c2")],
            "volume root lies in pool p1, which is only reached from cluster c2",
        ),
    ],
)
def test_storage_is_refused_in_words(volumes: list[VolumeDemand], pools: list[StoragePool], words: str) -> None:
    demand = a_demand(*volumes, avoid_pools={"bad": "it is ill"})
    assert reason_for(demand, FakeCloud([a_host()], pools)) == words


@every_planner
def test_a_zone_without_hosts_is_said_to_have_none(planner: HostPlanner) -> None:
    elsewhere = FakeCloud([a_host(zone_id="elsewhere")])
    assert planner.plan(a_demand(), elsewhere) == NoPlan(rejected=(Rejected("zone z", "has no hosts"),))
