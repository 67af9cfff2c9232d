"""Why a host is refused: each rule in words, in the order in which a host is asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.planners.first_fit import FirstFit
from interlock.planners.implicit import ImplicitDedication, shared
from interlock.planners.protocol import Demand, HostPlanner, NoPlan, Plan
from interlock.planners.rules import RULES, how_many, why_not
from tests.fakes import FakeCloud, a_demand, a_host, has_tags_and_room, such_vms
from tests.planned import IMPLICIT, a_cluster, clouds, demands, every_planner, usable_hosts

HostFields = dict[str, Any]


def cloud_of(host: HostFields, view: HostFields) -> FakeCloud:
    return FakeCloud([a_host(**host)], **view)


def reason_for(demand: Demand, cloud: FakeCloud) -> str:
    """Of the only host there is."""
    (host,) = cloud.hosts("z")
    plan = FirstFit().plan(demand, cloud)
    assert isinstance(plan, NoPlan)
    assert plan.rejected[0].reason == why_not(host, demand, cloud)
    return plan.rejected[0].reason


REFUSALS: dict[str, tuple[HostFields, HostFields, HostFields, str]] = {
    "not_the_chosen_host": ({}, {"only_host": "h7"}, {}, "is not host h7, which was chosen"),
    "not_in_the_chosen_cluster": ({}, {"only_cluster": "c7"}, {}, "is in cluster c1, not c7, which was chosen"),
    "not_in_the_chosen_pod": ({}, {"only_pod": "p7"}, {}, "is in pod p1, not p7, which was chosen"),
    "apart_from_its_group": (
        {},
        {"only_hosts": {"h8": "vm4 of group g", "h7": "vm3 of group g"}},
        {},
        "is not where it must run: host h7 (vm3 of group g), host h8 (vm4 of group g)",
    ),
    "disabled": ({"enabled": False}, {}, {}, "host h1 is disabled"),
    "other_hypervisor": (
        {},
        {"hypervisor": "kvm"},
        {"clusters": [a_cluster("c1", "xen")]},
        "is in cluster c1 of hypervisor xen, needs kvm",
    ),
    "driver_that_cannot": (
        {"driver": "old"},
        {"avoid_drivers": {"old": "it has no security groups"}},
        {},
        "has driver old, which cannot run it: it has no security groups",
    ),
    "without_its_tags": ({"tags": ("ssd",)}, {"host_tags": ("ssd", "gpu")}, {}, "lacks tag gpu"),
    "dedicated_to_others": ({}, {}, {"dedicated": {"h1": "b"}}, "host h1 is dedicated to account b"),
    "dedicated_to_nobody": ({}, {"dedicated_only": True}, {}, "is not dedicated to account a or a domain above it"),
    "used_by_another_alone": (
        {},
        {},
        {"vms": {("b", "h1"): 3}, "placed": {(IMPLICIT, "h1"): 2, ("first-fit", "h1"): 1}},
        "is used by account b alone, which has 2 VMs there by implicit-dedication",
    ),
    "in_an_avoided_pod": (
        {},
        {"avoid_pods": {"p1": "no address is free"}},
        {},
        "is in pod p1, which is avoided: no address is free",
    ),
    "avoided": ({}, {"avoid_hosts": {"h1": "it is ill"}}, {}, "is avoided: it is ill"),
    "short_of_cpu": ({"cpu_used_mhz": 501}, {"cpu": 500}, {}, "needs 500 MHz CPU, has 499 free"),
    "short_of_memory": ({"memory_used_mib": 990}, {"memory": 11}, {}, "needs 11 MiB memory, has 10 free"),
    "in_a_cluster_over_its_threshold": (
        {"cpu_overcommit": 2.0},
        {"cpu": 800},
        {"spare": {"c1": 399}},
        "cluster c1 may hold 399 MHz CPU more, not 400",
    ),
}
"""By rule: the host, the demand, the cloud and the words."""


@pytest.mark.parametrize(("host", "demand", "view", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_host_is_refused_in_words(host: HostFields, demand: HostFields, view: HostFields, words: str) -> None:
    assert reason_for(a_demand(**demand), cloud_of(host, view)) == words


def test_every_rule_has_its_refusal_here() -> None:
    # Planners only meet a host elsewhere when a demand names it, and pass over it.
    assert [rule.__name__ for rule, _ in RULES] == ["in_another_zone", *REFUSALS]


def test_the_rule_named_is_the_one_that_refuses() -> None:
    for rule, matters in RULES[1:]:
        host, wishes, view, words = REFUSALS[rule.__name__]
        assert rule(a_host(**host), a_demand(**wishes), cloud_of(host, view)) == words
        assert matters(a_demand(**wishes))


@given(demand=demands(), cloud=clouds())
def test_a_rule_that_does_not_matter_has_nothing_against_any_host(demand: Demand, cloud: FakeCloud) -> None:
    for rule, matters in RULES:
        if not matters(demand):
            assert not any(rule(host, demand, cloud) for host in cloud.hosts("z"))


@pytest.mark.parametrize(
    ("host", "demand", "words"),
    [
        (
            {"cpu_overcommit": 2.0, "cpu_used_mhz": 700},
            {"cpu": 700},
            "needs 350 MHz CPU (for 700, overcommitted), has 300 free",
        ),
        (
            {"memory_overcommit": 2.0, "memory_used_mib": 700},
            {"memory": 900, "own_memory_overcommit": 1.5},
            "needs 600 MiB memory (for 900, overcommitted), has 300 free",
        ),
        ({"tags": ()}, {"host_tags": ("ssd", "gpu")}, "lacks tags ssd, gpu"),
        ({"zone_id": "y"}, {}, "is in zone y, not z"),
        ({}, {"only_hosts": {}}, "is not where it must run: no host is"),
        (
            {},
            {"only_hosts": {f"g{number}": "g" for number in range(7)}},
            "is not where it must run: host g0 (g), host g1 (g), host g2 (g), host g3 (g), host g4 (g) and 2 more",
        ),
    ],
)
def test_the_words_fit_the_case(host: HostFields, demand: HostFields, words: str) -> None:
    assert why_not(a_host(**host), a_demand(**demand), FakeCloud()) == words


def test_strict_implicit_dedication_says_whose_vms_are_in_the_way() -> None:
    cloud = FakeCloud([a_host()], vms={("b", "h1"): 2, ("a", "h1"): 1}, placed={("first-fit", "h1"): 3})
    words = "is not for implicit-dedication alone: it has VMs, 2 of account b, 3 of planner first-fit"
    assert shared(a_host(), a_demand(), cloud) == words
    plan = ImplicitDedication().plan(a_demand(), cloud)
    assert isinstance(plan, NoPlan)
    assert plan.rejected[0].reason == words


def test_a_host_is_refused_for_what_it_stands_in() -> None:
    cloud = FakeCloud([a_host()], closed={"h1": "cluster c1 is disabled"})
    assert reason_for(a_demand(), cloud) == "cluster c1 is disabled"


def test_an_administrator_may_use_what_is_disabled() -> None:
    cloud = FakeCloud([a_host(enabled=False)])
    assert isinstance(FirstFit().plan(a_demand(ignore_disabled=True), cloud), Plan)


def test_the_owner_may_use_what_is_dedicated() -> None:
    cloud = FakeCloud([a_host()], dedicated={"h1": "a"})
    assert isinstance(FirstFit().plan(a_demand(dedicated_only=True), cloud), Plan)


def test_an_own_ratio_comes_before_the_hosts() -> None:
    cloud = FakeCloud([a_host(cpu_overcommit=1.0, memory_overcommit=1.0)])
    own = {"own_cpu_overcommit": 4.0, "own_memory_overcommit": 2.0}
    assert isinstance(FirstFit().plan(a_demand(cpu=4000, memory=2000, **own), cloud), Plan)
    assert isinstance(FirstFit().plan(a_demand(cpu=4004, memory=2000, **own), cloud), NoPlan)


def test_what_a_choice_rules_out_is_named_last() -> None:
    cloud = FakeCloud([a_host("h1"), a_host("h2", enabled=False), a_host("h3")])
    plan = FirstFit().plan(a_demand(only_host="h2"), cloud)
    assert [rejected.candidate for rejected in plan.rejected] == ["host h2", "host h1", "host h3"]
    assert plan.rejected[0].reason == "host h2 is disabled"


@given(demand=demands(), cloud=clouds())
def test_the_rules_refuse_exactly_the_hosts_that_the_oracle_does(demand: Demand, cloud: FakeCloud) -> None:
    passed = [host.id for host in cloud.hosts("z") if why_not(host, demand, cloud) is None]
    assert passed == [host.id for host in usable_hosts(FirstFit(), demand, cloud)]


@given(demand=demands(), cloud=clouds())
def test_there_is_room_for_a_vm_where_there_is_room_for_one_or_more(demand: Demand, cloud: FakeCloud) -> None:
    for host in cloud.hosts("z"):
        assert how_many(host, demand) == such_vms(host, demand)
        if set(demand.host_tags) <= set(host.tags):
            assert has_tags_and_room(host, demand) == (how_many(host, demand) >= 1)


stricter: dict[str, tuple[Any, Any]] = {
    "only_pod": ("p1", None),
    "only_cluster": ("c1", None),
    "only_host": ("h1", None),
    "host_tags": (("gpu",), ()),
    "dedicated_only": (True, False),
    "hypervisor": ("odd", None),
    "avoid_hosts": ({"h1": "ill", "h2": "ill"}, {"h1": "ill"}),
    "avoid_pods": ({"p1": "ill"}, {}),
}
"""By wish: one that leaves fewer hosts, and one that leaves more."""


@every_planner
@given(demand=demands(), cloud=clouds(), name=st.sampled_from(sorted(stricter)))
def test_asking_for_less_never_loses_a_plan(planner: HostPlanner, demand: Demand, cloud: FakeCloud, name: str) -> None:
    strict, less = (msgspec.structs.replace(demand, **{name: wish}) for wish in stricter[name])
    if isinstance(planner.plan(strict, cloud), Plan):
        assert isinstance(planner.plan(less, cloud), Plan)
