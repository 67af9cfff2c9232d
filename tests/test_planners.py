"""The promises of the host planners, held over random small clouds against a brute-force oracle (`planned.py`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.planners import fitting as walk
from interlock.planners.concentrating import Concentrating
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.fitting import SHOWN
from interlock.planners.implicit import ImplicitDedication
from interlock.planners.protocol import CloudView, Demand, HostPlanner, NoPlan, Plan, Rejected, Shortlist
from interlock.planners.rules import CHOICES, IMPLICIT
from interlock.schema.cloud import Host
from tests.fakes import ZONE, FakeCloud, IndexedCloud, a_demand, a_host, such_vms
from tests.planned import PLANNERS, clouds, demands, equally_liked, every_planner, fitting, right, usable_pools

# Promises of every planner


@every_planner
@given(demand=demands(), cloud=clouds())
def test_a_plan_names_a_host_and_pools_that_fit(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> None:
    plan = planner.plan(demand, cloud)
    if isinstance(plan, Plan):
        host = {host.id: host for host in fitting(planner, demand, cloud)}[plan.host_id]
        assert plan.pools.keys() == {volume.id for volume in demand.volumes}
        assert right(plan.pools, demand, usable_pools(demand, cloud, host), cloud)


@every_planner
@given(demand=demands(), cloud=clouds())
def test_there_is_no_plan_only_where_nothing_fits_and_every_host_is_named(
    planner: HostPlanner, demand: Demand, cloud: FakeCloud
) -> None:
    plan = planner.plan(demand, cloud)
    assert isinstance(plan, Plan) == bool(fitting(planner, demand, cloud))
    if isinstance(plan, NoPlan):
        everyone = [f"host {host.id}" for host in cloud.hosts(ZONE)]
        assert sorted(rejected.candidate for rejected in plan.rejected) == sorted(everyone or [f"zone {ZONE}"])


@every_planner
@given(demand=demands(), cloud=clouds(), named=st.integers(0, 3))
def test_where_hosts_are_many_the_first_are_named_and_all_are_counted(
    planner: HostPlanner, demand: Demand, cloud: FakeCloud, named: int
) -> None:
    full, everyone = planner.plan(demand, cloud), cloud.hosts(ZONE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "NAMED", named)
        plan = planner.plan(demand, cloud)
    if isinstance(plan, Plan) or len(everyone) <= named:
        assert plan == full
        return
    *first, zone = plan.rejected
    assert len(first) == named and plan.rejected_in_all == len(everyone)
    assert len({each.candidate for each in first}) == named
    assert set(first) <= set(full.rejected)
    chosen = [f"host {host.id}" for host in everyone if not any(rule(host, demand, cloud) for rule, _ in CHOICES)]
    if len(chosen) < len(everyone):
        assert [each.candidate in chosen for each in first] == sorted(
            (each.candidate in chosen for each in first), reverse=True
        )
        assert sum(each.candidate in chosen for each in first) == min(named, len(chosen))
    match = re.fullmatch(r"has (\d+) hosts: (.+)", zone.reason)
    assert match and zone.candidate == f"zone {ZONE}"
    assert sum(int(part.split()[0]) for part in match[2].split(", ")) == int(match[1]) == len(everyone)


@every_planner
@given(demand=demands(), cloud=clouds())
def test_a_host_is_refused_only_for_a_reason_and_once(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> None:
    plan = planner.plan(demand, cloud)
    refused = [rejected.candidate for rejected in plan.rejected]
    assert not set(refused) & {f"host {host.id}" for host in fitting(planner, demand, cloud)}
    assert all(rejected.reason for rejected in plan.rejected)
    assert len(set(refused)) == len(refused)
    if isinstance(plan, Plan):
        assert plan.rejected_in_all == len(refused)  # fewer hosts than are shown


@every_planner
@given(demand=demands(), cloud=clouds())
def test_the_host_of_before_comes_first_then_the_most_liked(
    planner: HostPlanner, demand: Demand, cloud: FakeCloud
) -> None:
    plan = planner.plan(demand, cloud)
    if isinstance(plan, Plan):
        assert plan.host_id in {host.id for host in equally_liked(planner, demand, cloud)}


@every_planner
@given(demand=demands(), cloud=clouds())
def test_the_host_of_before_is_taken_or_named_with_its_reason(
    planner: HostPlanner, demand: Demand, cloud: FakeCloud
) -> None:
    plan = planner.plan(demand, cloud)
    known = {host.id for host in cloud.hosts(ZONE)}
    if isinstance(plan, Plan) and demand.last_host in known - {plan.host_id}:
        assert plan.rejected[0].candidate == f"host {demand.last_host}"


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
def test_a_planner_keeps_the_protocol(planner: HostPlanner) -> None:
    assert isinstance(planner, HostPlanner)
    assert isinstance(FakeCloud(), CloudView)
    assert isinstance(FakeCloud().shortlist(a_demand()), Shortlist)
    assert isinstance(IndexedCloud().shortlist(a_demand()), Shortlist)


def test_every_planner_is_registered_and_implicit_dedication_under_the_name_that_vms_keep() -> None:
    registered = {each.load(): each.name for each in entry_points(group="interlock.planners")}
    assert {type(planner) for planner in PLANNERS} == registered.keys()
    assert registered[ImplicitDedication] == IMPLICIT


@every_planner
def test_a_zone_without_hosts_is_said_to_have_none(planner: HostPlanner) -> None:
    elsewhere = FakeCloud([a_host(zone_id="elsewhere")])
    assert planner.plan(a_demand(), elsewhere) == NoPlan(rejected=(Rejected("zone z", "has no hosts"),))


# Promises of each


def the_best(planner: HostPlanner, demand: Demand, cloud: FakeCloud, *measures: Callable[[Host], int]) -> str | None:
    """Of the equally liked hosts that fit, by one measure after the other; of those the lowest id."""
    hosts = equally_liked(planner, demand, cloud)
    for measure in measures:
        hosts = [host for host in hosts if measure(host) == max(map(measure, hosts))]
    return min((host.id for host in hosts), default=None)


def chosen(planner: HostPlanner, demand: Demand, cloud: FakeCloud) -> str | None:
    plan = planner.plan(demand, cloud)
    return plan.host_id if isinstance(plan, Plan) else None


def vms(cloud: FakeCloud, host: Host) -> int:
    return cloud.vms_of("a", host.id)


@given(demand=demands(), cloud=clouds())
def test_first_fit_takes_the_lowest_id(demand: Demand, cloud: FakeCloud) -> None:
    assert chosen(FirstFit(), demand, cloud) == the_best(FirstFit(), demand, cloud)


@given(demand=demands(), cloud=clouds())
def test_dispersing_takes_the_fewest_vms_then_the_most_room_then_the_lowest_id(
    demand: Demand, cloud: FakeCloud
) -> None:
    best = the_best(Dispersing(), demand, cloud, lambda host: -vms(cloud, host), lambda host: such_vms(host, demand))
    assert chosen(Dispersing(), demand, cloud) == best


@given(demand=demands(), cloud=clouds())
def test_concentrating_takes_the_pod_with_the_most_vms_then_the_host_then_the_lowest_id(
    demand: Demand, cloud: FakeCloud
) -> None:
    in_pod: Counter[str] = Counter()
    for host in cloud.hosts(ZONE):
        in_pod[host.pod_id] += vms(cloud, host)
    best = the_best(Concentrating(), demand, cloud, lambda host: in_pod[host.pod_id], lambda host: vms(cloud, host))
    assert chosen(Concentrating(), demand, cloud) == best


@given(demand=demands(), cloud=clouds())
def test_implicit_dedication_takes_own_hosts_then_empty_ones_then_if_it_may_any(
    demand: Demand, cloud: FakeCloud
) -> None:
    def kind(host: Host) -> int:
        accounts, planners = set(cloud.tenants(host.id)), set(cloud.planners_on(host.id))
        if accounts <= {"a"} and planners <= {IMPLICIT}:
            return 2 if accounts else 1
        return 0

    best = the_best(ImplicitDedication(), demand, cloud, kind)
    assert chosen(ImplicitDedication(), demand, cloud) == best
    if best is not None and demand.planner_mode != "preferred":
        assert kind(next(host for host in cloud.hosts(ZONE) if host.id == best)) > 0


def test_first_fit_asks_nobody_after_the_first_that_fits() -> None:
    cloud = FakeCloud([a_host(f"h{number:03}", cpu=number) for number in range(1000)], sharp=False)
    assert FirstFit().plan(a_demand(cpu=7), cloud).rejected[-1].candidate == "host h006"
    assert cloud.hosts_asked == 8


@every_planner
def test_a_plan_tells_the_first_refusals_and_counts_them_all(planner: HostPlanner) -> None:
    full = [a_host(f"a{number:02}", cpu=1) for number in range(50)]
    ill = {f"b{number:02}": "it is ill" for number in range(30)}
    hosts = [*full, *(a_host(id) for id in ill), a_host("c")]
    for kind in (FakeCloud, IndexedCloud):
        plan = planner.plan(a_demand(avoid_hosts=ill), kind(hosts))
        assert isinstance(plan, Plan)
        assert (plan.host_id, len(plan.rejected), plan.rejected_in_all) == ("c", SHOWN, 80)


def test_only_the_accounts_own_vms_count() -> None:
    cloud = FakeCloud([a_host("h1"), a_host("h2")], vms={("other", "h1"): 5, ("a", "h2"): 1})
    assert [chosen(planner, a_demand(), cloud) for planner in (Dispersing(), Concentrating())] == ["h1", "h2"]


def test_a_pod_full_of_the_accounts_vms_comes_before_a_host_with_more_of_them() -> None:
    hosts = [a_host("h1", pod_id="p1"), a_host("h2", pod_id="p2"), a_host("h3", pod_id="p2")]
    cloud = FakeCloud(hosts, vms={("a", "h1"): 3, ("a", "h2"): 2, ("a", "h3"): 2})
    assert chosen(Concentrating(), a_demand(), cloud) == "h2"


@every_planner
@pytest.mark.parametrize(
    ("wishes", "host"),
    [
        ({"liked_hosts": {"h2": 1, "h3": 2}}, "h3"),
        ({"liked_hosts": {"h2": 1, "h3": 2}, "avoid_hosts": {"h3": "full"}}, "h2"),
        ({"liked_hosts": {"h1": -1}}, "h2"),
        ({"liked_hosts": {"h1": -1, "h2": -3, "h3": -2}}, "h1"),
        ({"liked_hosts": {"h1": -1, "h2": 0, "h3": -2}, "last_host": "h3"}, "h3"),
        ({"last_host": "h2", "avoid_hosts": {"h2": "full"}}, "h1"),
        ({"last_host": "gone", "liked_hosts": {"gone too": 7}}, "h1"),
    ],
)
def test_likes_come_before_the_planners_own_order(planner: HostPlanner, wishes: dict[str, Any], host: str) -> None:
    cloud = FakeCloud([a_host("h1"), a_host("h2"), a_host("h3")])
    assert chosen(planner, a_demand(**wishes), cloud) == host


# Implicit dedication


def used_by(account: str, planner: str = IMPLICIT, host: str = "h1") -> FakeCloud:
    """One host in use, another empty."""
    hosts = [a_host(host, cpu_used_mhz=1, memory_used_mib=1), a_host("h9")]
    return FakeCloud(hosts, vms={(account, host): 1}, placed={(planner, host): 1})


@every_planner
def test_a_host_that_another_account_uses_alone_is_left_to_it(planner: HostPlanner) -> None:
    plan = planner.plan(a_demand(planner_mode="preferred"), used_by("b"))
    assert isinstance(plan, Plan)
    assert plan.host_id == "h9"


@every_planner
def test_its_own_account_may_use_it(planner: HostPlanner) -> None:
    assert chosen(planner, a_demand(liked_hosts={"h1": 1}), used_by("a")) == "h1"


@pytest.mark.parametrize(("mode", "host"), [(None, None), ("strict", None), ("preferred", "h1")])
def test_only_preferred_shares_a_host(mode: str | None, host: str | None) -> None:
    shared = FakeCloud([a_host(cpu_used_mhz=1)], vms={("b", "h1"): 1}, placed={("first-fit", "h1"): 1})
    assert chosen(ImplicitDedication(), a_demand(planner_mode=mode), shared) == host


def test_whoever_shares_a_host_keeps_nobody_away() -> None:
    vms = {("b", "h1"): 1, ("c", "h1"): 1}
    shared = FakeCloud([a_host()], vms=vms, placed={("first-fit", "h1"): 1, (IMPLICIT, "h1"): 1})
    assert [chosen(planner, a_demand(), shared) for planner in PLANNERS] == ["h1", "h1", "h1", None]
