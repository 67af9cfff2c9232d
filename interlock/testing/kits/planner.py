"""The conformance kit of host planners: a base class of pytest classes.

    class TestMyPlanner(PlannerConformance):
        def make(self): return MyPlanner()

It asks the planner about small clouds at random: hosts of all kinds and fullness, pools, other accounts' VMs,
dedication, tags, avoid sets, wishes. A plan is checked as the engine checks it, by the same rules.

Promises: each failure names the sentence of the protocol that is broken, and shows the demand and the cloud, as small
as they were found. Never asks for a particular choice among hosts that do: that is the planner's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from interlock.planners.protocol import CloudView, Demand, HostPlanner, NoPlan, Plan
from interlock.planners.rules import why_not
from interlock.planners.storage import Storage, misplaced
from interlock.schema.cloud import Host
from interlock.testing.kits import promises as p
from interlock.testing.kits.at_random import smallest
from interlock.testing.kits.broken import Broken
from interlock.testing.kits.clouds import FakeCloud, a_demand, a_host, a_pool, a_volume, unusual
from interlock.testing.kits.demands import cases, simpler
from interlock.testing.kits.promises import Promise
from interlock.testing.kits.purity import watched

Answer = Plan | NoPlan


class PlannerConformance:
    """What must hold of every host planner."""

    examples: ClassVar[int] = 300
    """Random clouds for each check. Too few: rare rules are never met together."""

    def make(self) -> HostPlanner:
        """A new planner."""
        raise NotImplementedError(f"{type(self).__name__} must say how its planner is made: def make(self)")

    def refuses(self, host: Host, demand: Demand, cloud: CloudView) -> str | None:
        """Why the planner will not have a host that fits, by a rule of its own; None if it has nothing against it."""
        return None

    # What it answers

    def test_it_is_a_planner(self) -> None:
        """It has the method, and one roomy host that fits is taken."""
        planner, demand = self.make(), a_demand(a_volume())
        if not isinstance(planner, HostPlanner):
            raise Broken(p.ANSWERS, f"{type(planner).__name__} has no method `plan`")
        host = a_host()
        cloud = FakeCloud([host], [a_pool()])
        answer = self._ask(demand, cloud, planner)
        if self.refuses(host, demand, cloud) is None and not (isinstance(answer, Plan) and answer.host_id == host.id):
            raise _broken(p.ANSWERS, f"the only host there is fits, and the answer is {answer}", demand, cloud)

    def test_a_plan_is_one_that_the_engine_takes(self) -> None:
        """The host is in the zone and no rule refuses it; there is a pool for each volume."""

        def check(demand: Demand, cloud: FakeCloud) -> None:
            answer = self._ask(demand, cloud)
            if isinstance(answer, Plan):
                self._takes(answer, demand, cloud)

        self._for_any(check)

    def _takes(self, plan: Plan, demand: Demand, cloud: FakeCloud) -> None:
        host = cloud.host(plan.host_id)
        if host is None or host.zone_id != demand.zone_id:
            raise _broken(p.PLAN, f"host {plan.host_id} is not in zone {demand.zone_id}", demand, cloud)
        if reason := why_not(host, demand, cloud):
            raise _broken(p.AVOIDS, f"it chose host {host.id}, which {reason}", demand, cloud)
        if set(plan.pools) != {volume.id for volume in demand.volumes}:
            raise _broken(p.POOLS, f"pools are named for {sorted(plan.pools)} alone", demand, cloud)
        if reason := misplaced(plan.pools, host, demand, cloud):
            raise _broken(p.AVOIDS, f"it chose for {reason}", demand, cloud)
        if reason := _moved(plan, host, demand, cloud):
            raise _broken(p.STAYING, reason, demand, cloud)
        if f"host {host.id}" in {each.candidate for each in plan.rejected}:
            raise _broken(p.REJECTED, f"host {host.id} is taken and rejected", demand, cloud)

    def test_no_plan_names_every_host_and_why(self) -> None:
        """Whoever asked reads why each host will not do."""

        def check(demand: Demand, cloud: FakeCloud) -> None:
            answer = self._ask(demand, cloud)
            if not isinstance(answer, NoPlan):
                return
            named = {each.candidate: each.reason for each in answer.rejected}
            for host in cloud.hosts(demand.zone_id):
                if not named.get(f"host {host.id}"):
                    raise _broken(p.NAMED, f"nothing is said of host {host.id}, only of {sorted(named)}", demand, cloud)

        self._for_any(check)

    def test_a_host_that_fits_is_found(self) -> None:
        """Where the pools have room for anything, and no rule refuses a host, there is a plan."""

        def check(demand: Demand, cloud: FakeCloud) -> None:
            fitting = self._fitting(demand, cloud)
            if fitting and isinstance(self._ask(demand, cloud), NoPlan):
                raise _broken(p.NOWHERE, f"host {fitting[0].id} fits, and there is no plan", demand, cloud)

        self._for_any(lambda demand, cloud: check(demand, cloud.with_vast_pools()))

    def test_where_it_ran_last_comes_first_and_then_what_is_liked(self) -> None:
        """Whatever the planner's own order is."""

        def check(demand: Demand, cloud: FakeCloud) -> None:
            fitting, answer = {host.id for host in self._fitting(demand, cloud)}, self._ask(demand, cloud)
            if not fitting or isinstance(answer, NoPlan):
                return
            if demand.last_host in fitting:
                if answer.host_id != demand.last_host:
                    raise _broken(p.LAST, f"it chose host {answer.host_id}", demand, cloud)
                return
            likes = {id: demand.liked_hosts.get(id, 0) for id in fitting}
            if likes.get(answer.host_id, 0) < max(likes.values()):
                raise _broken(p.LIKED, f"it chose host {answer.host_id} of {likes}", demand, cloud)

        self._for_any(lambda demand, cloud: check(demand, cloud.with_vast_pools()))

    # Whether it is pure

    def test_the_same_question_has_the_same_answer(self) -> None:
        """Asked again, asked of another planner, asked after something else."""
        planner = self.make()

        def check(demand: Demand, cloud: FakeCloud) -> None:
            first = self._ask(demand, cloud, planner)
            self._ask(a_demand(a_volume()), FakeCloud([a_host("h2"), a_host("h3")], [a_pool()]), planner)
            again, fresh = self._ask(demand, cloud, planner), self._ask(demand, cloud)
            if not first == again == fresh:
                what = f"asked three times, it answered {first}, {again} and, newly made, {fresh}"
                raise _broken(p.KEEPS_NOTHING, what, demand, cloud)

        self._for_any(check)

    def test_the_order_in_which_facts_are_told_does_not_matter(self) -> None:
        """Mappings have no order; what has one is in the order that the protocol says."""

        def check(demand: Demand, cloud: FakeCloud) -> None:
            answer, turned = self._ask(demand, cloud), self._ask(_turned(demand), cloud.turned())
            if answer != turned:
                what = f"it answered {answer}, and with the same mappings in another order {turned}"
                raise _broken(p.PURE, what, demand, cloud)

        self._for_any(check)

    def test_it_looks_at_neither_clock_nor_chance_nor_files(self) -> None:
        """What follows from the arguments alone can be asked again years later."""

        def check(demand: Demand, cloud: FakeCloud) -> None:
            planner = self.make()
            _, looked_at = watched(lambda: self._ask(demand, cloud, planner))
            if looked_at:
                raise _broken(p.KEEPS_NOTHING, f"it looked at {', '.join(looked_at)}", demand, cloud)

        self._for_any(check)

    def test_what_it_is_shown_it_leaves_as_it_is(self) -> None:
        """The cloud, the demand, and the mappings that the cloud hands out."""

        def check(demand: Demand, cloud: FakeCloud) -> None:
            shown, contents = copy.deepcopy(demand), cloud.contents()
            self._ask(shown, cloud)
            if shown != demand:
                raise _broken(p.PURE, f"it changed the demand into {shown}", demand, cloud)
            if cloud.contents() != contents or cloud.written_into:
                raise _broken(p.READING, "it wrote into what the cloud handed out", demand, cloud)

        self._for_any(check)

    # Plumbing

    def _ask(self, demand: Demand, cloud: FakeCloud, planner: HostPlanner | None = None) -> Answer:
        try:
            answer: object = (planner or self.make()).plan(demand, cloud)
        except Exception as error:
            raise _broken(p.RAISES, f"it raised {error!r}", demand, cloud) from error
        if isinstance(answer, Plan | NoPlan):
            return answer
        raise _broken(p.ANSWERS, f"it answered {answer!r}, which is neither Plan nor NoPlan", demand, cloud)

    def _fitting(self, demand: Demand, cloud: FakeCloud) -> list[Host]:
        """The hosts that no rule refuses, and whose pools take all volumes."""
        storage = Storage(demand, cloud)
        usable = (host for host in cloud.hosts(demand.zone_id) if why_not(host, demand, cloud) is None)
        open = (host for host in usable if self.refuses(host, demand, cloud) is None)
        return [host for host in open if not isinstance(storage.place(host), str)]

    def _for_any(self, check: Callable[[Demand, FakeCloud], None]) -> None:
        for case in cases(self.examples):
            try:
                check(*case)
            except Broken as broken:
                raise smallest(case, broken, simpler, lambda smaller: check(*smaller)) from broken.__cause__


def _moved(plan: Plan, host: Host, demand: Demand, cloud: FakeCloud) -> str | None:
    """What is wrong with the volumes that lie in a pool already."""
    staying = tuple(volume for volume in demand.volumes if volume.pool_id is not None)
    for volume in staying:
        if plan.pools[volume.id] != volume.pool_id:
            return f"volume {volume.id} lies in pool {volume.pool_id} and was given pool {plan.pools[volume.id]}"
    placed = Storage(msgspec.structs.replace(demand, volumes=staying), cloud).place(host)
    return f"it chose host {host.id}, though {placed}" if isinstance(placed, str) else None


def _turned(demand: Demand) -> Demand:
    """The same demand with its mappings in another order."""
    fields: dict[str, Any] = {name: getattr(demand, name) for name in demand.__struct_fields__}
    mappings = {name: dict(reversed([*value.items()])) for name, value in fields.items() if isinstance(value, Mapping)}
    return msgspec.structs.replace(demand, **mappings)


def _broken(promise: Promise, what: str, demand: Demand, cloud: FakeCloud) -> Broken:
    return Broken(promise, what, [f"  {line}" for line in (f"demand {unusual(demand)}", *cloud.in_words())], "asked")
