"""What may be said about where a VM is to run: at its deploy, and at each start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.schema.cloud import Account, Cluster, Offering, Pod, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.requests import StartVM, checked
from interlock.schema.settings import PLANNER, ZONE
from tests.asking import a_cloud, a_setting, a_vm, accepts, ask, but, refuses
from tests.fakes import a_host

TREE = (
    Pod(id="p2", zone_id="z"),
    Cluster(id="c2", zone_id="z", pod_id="p1"),
    Cluster(id="c3", zone_id="z", pod_id="p2"),
    a_host("h2", "c2"),
    a_host("h3", "c3", pod_id="p2"),
    Zone(id="y", enabled=False),
    Pod(id="q", zone_id="y"),
    Cluster(id="d", zone_id="y", pod_id="q"),
    a_host("k", "d", pod_id="q", zone_id="y"),
)
WHERE = {
    "h1": {"c1", "p1", "z"},
    "h2": {"c2", "p1", "z"},
    "h3": {"c3", "p2", "z"},
    "k": {"d", "q", "y"},
    "c1": {"p1", "z"},
    "c2": {"p1", "z"},
    "c3": {"p2", "z"},
    "d": {"q", "y"},
    "p1": {"z"},
    "p2": {"z"},
    "q": {"y"},
}
"""What each place lies in, written out by hand."""

choices = st.fixed_dictionaries(
    {},
    optional={
        "pod": st.sampled_from(["p1", "p2", "q", "gone"]),
        "cluster": st.sampled_from(["c1", "c2", "c3", "d", "gone"]),
        "host": st.sampled_from(["h1", "h2", "h3", "k", "gone"]),
    },
)


def lie_in_each_other(choice: dict[str, str]) -> bool:
    """Whether each place that is named lies in all larger ones that are, and in zone z."""
    larger = {"z"}
    for kind in ("pod", "cluster", "host"):
        if kind in choice:
            if choice[kind] not in WHERE or not larger <= WHERE[choice[kind]]:
                return False
            larger.add(choice[kind])
    return True


@given(choices, st.sampled_from([None, "system", "boss", "acme"]))
def test_a_place_is_chosen_by_administrators_in_the_zone_and_in_itself(
    choice: dict[str, Any], caller: str | None
) -> None:
    cloud = a_cloud(*TREE)
    fits = lie_in_each_other(choice) and (not choice or caller in (None, "system"))
    assert accepts(cloud, caller=caller, zone="z", **choice) == fits
    allocated = ask(cloud, zone="z", start=False)
    assert accepts(cloud, StartVM("vm-1", **choice), caller=caller, of=allocated) == fits
    if fits:
        assert ask(cloud, zone="z", caller=caller, **choice).operation.request.items() >= choice.items()


ratios = st.none() | st.floats(0.5, 120, allow_nan=False)


@given(ratios, ratios, st.sampled_from([None, "acme"]))
def test_an_overcommit_ratio_of_the_vms_own_is_bounded_and_for_administrators(
    cpu: float | None, memory: float | None, caller: str | None
) -> None:
    request = a_vm(cpu_overcommit=cpu, memory_overcommit=memory)
    bounded = all(ratio is None or 1 <= ratio <= 100 for ratio in (cpu, memory))
    if not bounded:
        with pytest.raises(InvalidRequest, match="overcommit"):
            checked(request)
        return
    fits = caller is None or (cpu is None and memory is None)
    assert accepts(a_cloud(), checked(request), caller=caller) == fits
    if fits:
        vm = ask(a_cloud(), checked(request), caller=caller).vm
        assert vm is not None
        assert (vm.own_cpu_overcommit, vm.own_memory_overcommit) == (cpu, memory)


planners = st.sampled_from([None, "first-fit", "other", "gone"])


@given(asked=planners, of_offering=planners, of_zone=planners, of_all=planners)
def test_the_planner_is_the_first_that_is_said_and_installed(
    asked: str | None, of_offering: str | None, of_zone: str | None, of_all: str | None
) -> None:
    settings = [
        *([a_setting(PLANNER, of_zone, ZONE, "z")] if of_zone else []),
        *([a_setting(PLANNER, of_all)] if of_all else []),
    ]
    cloud = a_cloud(but(Offering, "small", planner=of_offering), *settings)
    said = asked or of_offering or of_zone or of_all or "first-fit"
    assert accepts(cloud, planner=asked) == (said != "gone")
    if said != "gone":
        vm = ask(cloud, planner=asked).vm
        assert vm is not None
        assert vm.planner == said


@pytest.mark.parametrize("caller", [None, "acme"])
def test_a_start_wants_the_owner_enabled_whoever_asks(caller: str | None) -> None:
    allocated = ask(a_cloud(), start=False)
    assert accepts(a_cloud(), StartVM("vm-1"), of=allocated, caller=caller)
    disabled = a_cloud(but(Account, "acme", enabled=False))
    words = "account acme" if caller else "account acme, the owner, is disabled; an administrator can enable it"
    refuses(NotAllowed, words, disabled, StartVM("vm-1"), of=allocated, caller=caller)


def test_refusals_name_the_place_and_what_to_do() -> None:
    cloud = a_cloud(*TREE)
    words = "pod and host may be chosen by administrators only, and account acme is none; leave it out"
    refuses(NotAllowed, words, cloud, caller="acme", pod="p1", host="h1")
    refuses(NotAllowed, "cpu_overcommit may be chosen by administrators only", cloud, caller="boss", cpu_overcommit=2.0)
    refuses(NotFound, "there is no pod 'gone'; there are: p1, p2, q", cloud, zone="z", pod="gone")
    refuses(InvalidRequest, "host k is in zone y, not z; choose one of the two", cloud, zone="z", host="k")
    refuses(InvalidRequest, "host h3 is in cluster c3, not c1", cloud, cluster="c1", host="h3")
    refuses(InvalidRequest, "cluster c3 is in pod p2, not p1", cloud, pod="p1", cluster="c3")
    refuses(NotFound, "there is no planner 'gone'; there are: first-fit, other", cloud, planner="gone")


def test_a_start_refuses_a_place_in_another_zone_than_the_vms() -> None:
    cloud = a_cloud(*TREE)
    allocated = ask(cloud, zone="z", start=False)
    refuses(InvalidRequest, "pod q is in zone y, not z", cloud, StartVM("vm-1", pod="q"), of=allocated)
    words = "cluster may be chosen by administrators only, and account acme is none"
    refuses(NotAllowed, words, cloud, StartVM("vm-1", cluster="c1"), of=allocated, caller="acme")
