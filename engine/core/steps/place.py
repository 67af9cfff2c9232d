"""place: choose host and pools. No effect of its own; the capacity is taken in the commit that announces what follows.

Forward: the VM becomes Starting on the chosen host (StartRequested), or moves on to the next one (OperationRetry,
which gives the former host's capacity back in the same transition). What it holds there follows from the overcommit
ratio in force now, and is kept until it starts again. Undo: OperationFailed, capacity given back.
Races: two operations that choose the last room, or hosts that their affinity groups forbid, are told apart by the
guards at commit; the loser decides again on fresh figures.
"""

from __future__ import annotations

import msgspec

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Refusal, Step
from interlock.engine.core.snapshot import Cloud
from interlock.engine.core.steps.demand import demand_of
from interlock.engine.core.steps.specs import version_of_rules
from interlock.planners.protocol import Demand, HostPlanner, NoPlan, Plan
from interlock.planners.rules import why_not
from interlock.planners.storage import misplaced
from interlock.schema.cloud import Host, guaranteed
from interlock.schema.settings import ELSEWHERE
from interlock.schema.words import clean

LISTED = 20
"""Candidates that the message itself names; `reasons` has all. Too many: nobody reads a message of a thousand hosts."""


def _choose(draft: Draft) -> None:
    vm = draft.vm
    plan = chosen(draft, demand_of(draft))
    draft.plan = plan
    host = draft.cloud.find(Host, plan.host_id)
    assert host is not None
    draft.move(
        vm,
        "OperationRetry" if vm.state == "Starting" else "StartRequested",
        host_id=host.id,
        cpu_held_mhz=guaranteed(vm.cpu_mhz, vm.own_cpu_overcommit or host.cpu_overcommit),
        memory_held_mib=guaranteed(vm.memory_mib, vm.own_memory_overcommit or host.memory_overcommit),
        # The host is told the rules as they are when the guest starts: these, or later ones.
        rules_told=version_of_rules(draft),
    )


def chosen(draft: Draft, demand: Demand, *, or_elsewhere: bool = True) -> Plan:
    """The planner's answer; what it looked at goes into the journal.

    Args:
        or_elsewhere: whether the setting counts by which a VM goes anywhere if not where an administrator chose.

    Raises:
        Refusal: there is no place, with all reasons; or the planner is at fault.
    """
    vm = draft.vm
    planner = draft.rules.planners.get(vm.planner)
    if planner is None:
        raise Refusal(f"VM {vm.name} wants planner {vm.planner}, which is not installed here")
    answer = _answer(draft, planner, demand)
    if isinstance(answer, NoPlan) and or_elsewhere and _is_chosen(demand) and draft.cloud.setting(ELSEWHERE):
        anywhere = msgspec.structs.replace(demand, only_pod=None, only_cluster=None, only_host=None)
        answer = _answer(draft, planner, anywhere)
    rejected = tuple((each.candidate, each.reason) for each in answer.rejected)
    if isinstance(answer, NoPlan):
        raise Refusal(
            f"no place for VM {vm.name} in zone {vm.zone_id}: {_listed(rejected, answer.rejected_in_all)}", rejected
        )
    draft.detail["place"] = {"host": answer.host_id, "pools": answer.pools, "planner": vm.planner}
    # Those before the one that was taken, and no more of them than tell something: a full fleet would fill the journal.
    draft.detail["rejected"] = rejected[:LISTED]
    draft.detail["rejected_in_all"] = max(answer.rejected_in_all, len(rejected))
    return answer


def _is_chosen(demand: Demand) -> bool:
    return any((demand.only_pod, demand.only_cluster, demand.only_host))


def _answer(draft: Draft, planner: HostPlanner, demand: Demand) -> Plan | NoPlan:
    """What the planner says, if it can be true: a planner may be anybody's.

    Raises:
        Refusal: it raised, or named what is not there or has not the room.
    """
    try:
        answer = planner.plan(demand, draft.cloud)
        wrong = _wrong(answer, demand, draft.cloud)
    except Exception as error:
        wrong = clean(f"it raised {error!r}")
    if wrong:
        raise Refusal(f"planner {draft.vm.planner} has a bug: {wrong}")
    return answer


def _wrong(answer: object, demand: Demand, cloud: Cloud) -> str | None:
    if isinstance(answer, NoPlan):
        return None
    if not isinstance(answer, Plan):
        return f"it answered {type(answer).__name__}, not Plan or NoPlan"
    host = cloud.find(Host, answer.host_id)
    if host is None or host.zone_id != demand.zone_id:
        return f"it chose host {answer.host_id}, which zone {demand.zone_id} does not have"
    if reason := why_not(host, demand, cloud):
        return f"it chose host {host.id}, which {reason}"
    if reason := misplaced(answer.pools, host, demand, cloud):
        return f"it chose for {reason}"
    return None


def _listed(rejected: tuple[tuple[str, str], ...], in_all: int) -> str:
    said = [f"{candidate} {reason}" for candidate, reason in rejected[:LISTED]]
    more = max(len(rejected), in_all) - len(said)
    return "; ".join(said) + (f"; and {more} more, see the operation's reasons" if more else "")


def _give_back(draft: Draft) -> None:
    vm = draft.vm
    if vm.state == "Starting":
        draft.move(vm, "OperationFailed", host_id=None)


PLACE = Step("place", Act(announce=_choose), undo=Act(settle=_give_back))
