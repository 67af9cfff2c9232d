"""The planner kit: our own planners pass it, and each planted bug is caught, with the sentence that it breaks."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from interlock.planners.concentrating import Concentrating
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.fitting import first_that_fits
from interlock.planners.implicit import PREFERRED, ImplicitDedication, shared
from interlock.planners.protocol import CloudView, Demand, HostPlanner, NoPlan, Plan, Rejected, Shortlist
from interlock.schema.cloud import Host
from interlock.testing import Broken, PlannerConformance
from interlock.testing.kits import promises as p
from interlock.testing.kits.promises import Promise
from interlock.testing.kits.purity import watched


class TestFirstFit(PlannerConformance):
    def make(self) -> HostPlanner:
        return FirstFit()


class TestDispersing(PlannerConformance):
    def make(self) -> HostPlanner:
        return Dispersing()


class TestConcentrating(PlannerConformance):
    def make(self) -> HostPlanner:
        return Concentrating()


class TestImplicitDedication(PlannerConformance):
    def make(self) -> HostPlanner:
        return ImplicitDedication()

    def refuses(self, host: Host, demand: Demand, cloud: CloudView) -> str | None:
        return None if demand.planner_mode == PREFERRED else shared(host, demand, cloud)


# Planted bugs

Answer = Plan | NoPlan


class Honest:
    """No bug: first fit."""

    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        return FirstFit().plan(demand, cloud)


class DrawsLots(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        return first_that_fits(self, demand, cloud)

    def rank(self, host: Host) -> str:
        return host.id

    def walk(self, shortlist: Shortlist) -> list[Host]:
        return random.sample(list(shortlist), len(list(shortlist)))


class ReadsTheClock(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        answer = super().plan(demand, cloud)
        return NoPlan(rejected=()) if time.time() < 0 else answer


class ReadsAFile(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        with Path(__file__).open() as file:
            assert file
        return super().plan(demand, cloud)


class TakesTurns(Honest):
    """Keeps where it was: the next VM goes to the next host."""

    def __init__(self) -> None:
        self.turn = 0

    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        self.turn += 1
        answer = super().plan(demand, cloud)
        others = [host.id for host in cloud.hosts(demand.zone_id)]
        if isinstance(answer, Plan) and self.turn % 2:
            return super().plan(replace(demand, avoid_hosts={**demand.avoid_hosts, others[0]: "not again"}), cloud)
        return answer


class ForgetsTags(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        return super().plan(replace(demand, host_tags=()), cloud)


class ForgetsTagsOfPools(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        volumes = tuple(replace(volume, tags=()) for volume in demand.volumes)
        return super().plan(replace(demand, volumes=volumes), cloud)


class ForgetsAvoidSets(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        return super().plan(replace(demand, avoid_hosts={}), cloud)


class NamesNoPools(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        answer = super().plan(demand, cloud)
        return replace(answer, pools={}) if isinstance(answer, Plan) else answer


class MovesVolumes(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        volumes = tuple(replace(volume, pool_id=None) for volume in demand.volumes)
        return super().plan(replace(demand, volumes=volumes), cloud)


class GoesAnywhere(Honest):
    """If nothing fits, at least something."""

    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        return Plan(host_id="h1", pools={volume.id: "s0" for volume in demand.volumes}, rejected=())


class GivesNoReasons(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        answer = super().plan(demand, cloud)
        return NoPlan(rejected=()) if isinstance(answer, NoPlan) else answer


class RejectsWhatItTakes(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        answer = super().plan(demand, cloud)
        taken = Rejected(f"host {answer.host_id}", "was looked at") if isinstance(answer, Plan) else None
        return replace(answer, rejected=(*answer.rejected, taken)) if taken else answer


class GivesUpEarly(Honest):
    """Looks at the first three hosts of the shortlist."""

    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        return first_that_fits(self, demand, cloud)

    def rank(self, host: Host) -> str:
        return host.id

    def walk(self, shortlist: Shortlist) -> list[Host]:
        return list(shortlist)[:1]


class HasFavourites(Honest):
    """Forgets where the VM ran, and what it likes."""

    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        return super().plan(replace(demand, last_host=None), cloud)


class LikesNothing(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        return super().plan(replace(demand, liked_hosts={}), cloud)


class LikesTheFirst(Honest):
    """Of equally liked hosts the one that the mapping happens to name first."""

    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        first = next(iter(cloud.hosts_of(demand.account_id)), None)
        return super().plan(replace(demand, last_host=demand.last_host or first), cloud)


class WritesDown(Honest):
    """Keeps its books in what it is shown."""

    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        for host in cloud.hosts(demand.zone_id):
            on: Any = cloud.tenants(host.id)
            on[demand.account_id] = on.get(demand.account_id, 0) + 1
        return super().plan(demand, cloud)


class ChangesTheDemand(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        answer = super().plan(demand, cloud)
        avoid: Any = demand.avoid_hosts
        avoid["h4"] = "it was asked already"
        return answer


class Raises(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        answer = super().plan(demand, cloud)
        if isinstance(answer, NoPlan):
            raise LookupError("nothing fits")
        return answer


class AnswersNone(Honest):
    def plan(self, demand: Demand, cloud: CloudView) -> Any:
        answer = super().plan(demand, cloud)
        return None if isinstance(answer, NoPlan) else answer


class NoPlanner:
    """Lacks the method."""


class Kit(PlannerConformance):
    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind

    def make(self) -> HostPlanner:
        made: HostPlanner = self.kind()
        return made


IS, TAKES, NAMES = (
    "test_it_is_a_planner",
    "test_a_plan_is_one_that_the_engine_takes",
    "test_no_plan_names_every_host_and_why",
)
FOUND, FIRST = "test_a_host_that_fits_is_found", "test_where_it_ran_last_comes_first_and_then_what_is_liked"
SAME, ORDER = "test_the_same_question_has_the_same_answer", "test_the_order_in_which_facts_are_told_does_not_matter"
LOOKS, LEAVES = "test_it_looks_at_neither_clock_nor_chance_nor_files", "test_what_it_is_shown_it_leaves_as_it_is"

CAUGHT: list[tuple[type[Any], str, Promise, str]] = [
    (DrawsLots, LOOKS, p.KEEPS_NOTHING, "it looked at chance, by the common generator's"),
    (ReadsTheClock, LOOKS, p.KEEPS_NOTHING, r"it looked at the clock, by time\.time"),
    (ReadsAFile, LOOKS, p.KEEPS_NOTHING, "it looked at a file, by open"),
    (TakesTurns, SAME, p.KEEPS_NOTHING, "asked three times, it answered"),
    (ForgetsTags, TAKES, p.AVOIDS, "which lacks tag"),
    (ForgetsTagsOfPools, TAKES, p.AVOIDS, "pool s[0-9], which lacks tag"),
    (ForgetsAvoidSets, TAKES, p.AVOIDS, "which is avoided: it refused"),
    (NamesNoPools, TAKES, p.POOLS, r"pools are named for \[\] alone"),
    (MovesVolumes, TAKES, p.STAYING, "volume v[0-9] lies in pool .* and was given pool"),
    (GoesAnywhere, TAKES, p.PLAN, "host h1 is not in zone z"),
    (GivesNoReasons, NAMES, p.NAMED, r"nothing is said of host h[0-9]+, only of \[\]"),
    (RejectsWhatItTakes, TAKES, p.REJECTED, "host h[0-9]+ is taken and rejected"),
    (GivesUpEarly, FOUND, p.NOWHERE, "host h[0-9]+ fits, and there is no plan"),
    (HasFavourites, FIRST, p.LAST, "it chose host h[0-9]+"),
    (LikesNothing, FIRST, p.LIKED, "it chose host h[0-9]+ of"),
    (LikesTheFirst, ORDER, p.PURE, "and with the same mappings in another order"),
    (WritesDown, LEAVES, p.READING, "it wrote into what the cloud handed out"),
    (ChangesTheDemand, LEAVES, p.PURE, "it changed the demand"),
    (Raises, NAMES, p.RAISES, r"it raised LookupError\('nothing fits'\)"),
    (AnswersNone, NAMES, p.ANSWERS, "it answered None, which is neither Plan nor NoPlan"),
    (NoPlanner, IS, p.ANSWERS, "NoPlanner has no method `plan`"),
]


@pytest.mark.parametrize(("kind", "check", "promise", "words"), CAUGHT, ids=[kind.__name__ for kind, *_ in CAUGHT])
def test_a_planted_bug_is_caught(kind: type[Any], check: str, promise: Promise, words: str) -> None:
    body: Callable[[], None] = getattr(Kit(kind), check)
    with pytest.raises(Broken) as caught:
        body()
    said = str(caught.value)
    assert caught.value.promise is promise, said
    assert re.search(words, said), said
    assert check == IS or re.search(r"asked:\n  demand vm_id='vm1'.*", said), said


def test_every_check_catches_something() -> None:
    checks = {name for name in vars(PlannerConformance) if name.startswith("test_")}
    assert {check for _, check, *_ in CAUGHT} == checks


def test_what_is_told_is_small() -> None:
    with pytest.raises(Broken) as caught:
        getattr(Kit(ForgetsTags), TAKES)()
    hosts = [line for line in str(caught.value).splitlines() if line.startswith("  host")]
    assert len(hosts) == 1


@pytest.mark.parametrize(
    ("ask", "seen"),
    [
        (lambda: random.Random("a seed").choice([1, 2]), []),
        (lambda: random.choice([1, 2]), ["chance, by the common generator's getrandbits"]),
        (lambda: random.SystemRandom().random(), ["chance, by the system's generator"]),
        (time.monotonic, ["the clock, by time.monotonic"]),
        (lambda: sorted({"b", "a"}), []),
    ],
)
def test_purity_is_seen_where_it_is_left(ask: Callable[[], object], seen: list[str]) -> None:
    assert watched(ask)[1] == seen


def test_whoever_says_nothing_is_told_what_to_say() -> None:
    with pytest.raises(NotImplementedError, match="PlannerConformance must say how its planner is made"):
        PlannerConformance().test_it_is_a_planner()
