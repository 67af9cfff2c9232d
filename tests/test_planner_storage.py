"""The promises of the storage planner: which pool each volume goes to, and in what words it goes to none."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interlock.planners.first_fit import FirstFit
from interlock.planners.protocol import Demand, NoPlan, Plan, VolumeDemand
from interlock.planners.storage import TRIES, divide, misplaced
from interlock.schema.cloud import StoragePool
from tests.fakes import ZONE, FakeCloud, a_demand, a_host, a_pool, a_volume
from tests.planned import clouds, demands, right, usable_pools


def reason_for(demand: Demand, cloud: FakeCloud) -> str:
    """Of the only host there is."""
    plan = FirstFit().plan(demand, cloud)
    assert isinstance(plan, NoPlan)
    assert [rejected.candidate for rejected in plan.rejected] == ["host h1"]
    return plan.rejected[0].reason


@given(cloud=clouds())
def test_a_volume_goes_to_the_zones_pool_only_if_no_pool_of_the_cluster_has_room(cloud: FakeCloud) -> None:
    one = a_demand(a_volume("root", 3), cpu=1, memory=1)
    plan = FirstFit().plan(one, cloud)
    if isinstance(plan, Plan):
        host = next(host for host in cloud.hosts(ZONE) if host.id == plan.host_id)
        pools = usable_pools(one, cloud, host)
        roomy = {id for id, pool in pools.items() if right({"root": id}, one, pools, cloud) and pool.scope == "cluster"}
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


@given(
    wants=st.lists(st.tuples(st.integers(0, 6), st.frozensets(st.integers(0, 3))), max_size=5),
    free=st.lists(st.integers(-1, 12), min_size=4, max_size=4),
)
def test_a_division_is_found_if_and_only_if_there_is_one(
    wants: list[tuple[int, frozenset[int]]], free: list[int]
) -> None:
    def holds(division: Collection[int]) -> bool:
        left = list(free)
        for (size, _), index in zip(wants, division, strict=True):
            left[index] -= size
        allowed = all(index in may for (_, may), index in zip(wants, division, strict=True))
        return allowed and all(space >= 0 for index, space in enumerate(left) if index in division)

    wants.sort(key=lambda want: -want[0])
    found = divide(wants, free)
    possible = any(map(holds, itertools.product(range(len(free)), repeat=len(wants))))
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


@pytest.mark.parametrize(
    ("size", "pool"), [(50, {"used_mib": 450}), (500, {}), (501, {"id": "loose"}), (1000, {"id": "loose"})]
)
def test_a_new_volume_leaves_its_pool_at_or_below_the_threshold(size: int, pool: dict[str, Any]) -> None:
    cloud = FakeCloud([a_host()], [a_pool("loose"), a_pool(**{"id": "tight", **pool})], most={"tight": 500})
    plan = FirstFit().plan(a_demand(a_volume(size=size), avoid_pools={} if pool.get("id") else {"loose": ""}), cloud)
    assert isinstance(plan, Plan)
    assert plan.pools == {"root": pool.get("id", "tight")}


def test_a_volume_that_lies_in_a_pool_over_its_threshold_stays() -> None:
    cloud = FakeCloud([a_host()], [a_pool("p1", 100, used_mib=90)], most={"p1": 50})
    assert isinstance(FirstFit().plan(a_demand(a_volume(size=90, pool="p1")), cloud), Plan)


def test_an_administrator_may_use_a_disabled_pool() -> None:
    cloud = FakeCloud([a_host()], [a_pool("p1", enabled=False), a_pool("p2", enabled=False)])
    demand = a_demand(a_volume("new"), a_volume("old", pool="p2"), ignore_disabled=True)
    assert isinstance(FirstFit().plan(demand, cloud), Plan)


def test_volumes_of_different_tags_are_divided_together() -> None:
    pools = [a_pool("p1", 100, tags=("fast",)), a_pool("p2", 100)]
    volumes = [a_volume("any", 100), a_volume("quick", 100, tags=("fast",))]
    plan = FirstFit().plan(a_demand(*volumes), FakeCloud([a_host()], pools))
    assert isinstance(plan, Plan)
    assert plan.pools == {"any": "p2", "quick": "p1"}


def test_a_cluster_without_a_pool_is_passed_over_for_one_reason_that_is_worked_out_once() -> None:
    near, far = ([a_host(f"{id}{number}", id, cpu=1000) for number in range(9)] for id in ("c1", "c2"))
    cloud = FakeCloud([*near, *far], [a_pool("small", 1, cluster_id="c1"), a_pool("large", cluster_id="c2")])
    plan = FirstFit().plan(a_demand(a_volume()), cloud)
    assert isinstance(plan, Plan)
    assert plan.host_id == "c20"
    reason = "volume root (100 MiB) fits in no pool: pool small has 1 MiB free"
    assert [rejected.reason for rejected in plan.rejected] == [reason] * 9
    assert cloud.pools_read == 2


def test_pools_are_read_once_and_only_when_a_host_has_room() -> None:
    pools = [a_pool("p1", 1), a_pool("p2", 1)]
    full, roomy = ([a_host(f"h{number}", cpu=cpu) for number in range(50)] for cpu in (1, 1000))
    for hosts, read in ((full, 0), (roomy, 2)):
        FirstFit().plan(a_demand(a_volume()), cloud := FakeCloud(hosts, pools))
        assert cloud.pools_read == read


# Words


root, data = a_volume("root", 100), a_volume("data", 200)


@pytest.mark.parametrize(
    ("volumes", "pools", "words"),
    [
        ([root], [], "volume root (100 MiB) fits in no pool: zone z has no pool at all"),
        (
            [root],
            [a_pool("p1", cluster_id="c2")],
            "volume root (100 MiB) fits in no pool: cluster c1 reaches no shared pool",
        ),
        (
            [a_volume("root", 1, "local")],
            [a_pool()],
            "volume root (1 MiB) fits in no pool: host h1 reaches no local pool",
        ),
        (
            [a_volume("root", 1, "tape")],
            [a_pool()],
            "volume root (1 MiB) fits in no pool: host h1 reaches no tape pool",
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
        (
            [a_volume("root", 100, tags=("ssd", "fast"))],
            [a_pool("p1"), a_pool("p2", tags=("fast",)), a_pool("p3", 9, tags=("fast", "ssd"))],
            "volume root (100 MiB) fits in no pool: pool p1 lacks tags ssd, fast, pool p2 lacks tag ssd, "
            "pool p3 has 9 MiB free",
        ),
        (
            [a_volume("root", 100)],
            [a_pool("tight", 1000, used_mib=450)],
            "volume root (100 MiB) fits in no pool: pool tight has 50 MiB free below its threshold of 500 MiB",
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
    assert reason_for(demand, FakeCloud([a_host()], pools, most={"tight": 500})) == words


@given(st.data(), clouds(), demands())
def test_a_choice_of_pools_is_misplaced_exactly_if_it_is_wrong(
    data: st.DataObject, cloud: FakeCloud, demand: Demand
) -> None:
    """Any choice for the new volumes, sensible or not: what somebody else's planner may say."""
    hosts = list(cloud.hosts(ZONE))
    assume(hosts)
    host = data.draw(st.sampled_from(hosts))
    new = [volume for volume in demand.volumes if volume.pool_id is None]
    names = st.sampled_from([*(pool.id for pool in cloud.pools(ZONE)), "nowhere"])
    choice = {volume.id: data.draw(names) for volume in new}
    only_new = msgspec.structs.replace(demand, volumes=tuple(new))
    said = misplaced(choice, host, only_new, cloud)
    assert (said is None) == right(choice, only_new, usable_pools(only_new, cloud, host), cloud), said
