"""place: choose host and pools. No effect of its own; the capacity is taken in the commit that announces what follows.

Forward: the VM becomes Starting on the chosen host (StartRequested), or moves on to the next one (OperationRetry,
which gives the former host's capacity back in the same transition). Undo: OperationFailed, capacity given back.
Races: two operations that choose the last room are told apart by the host's capacity check at commit; the loser
decides again on fresh figures.
"""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Refusal, Step
from interlock.engine.core.snapshot import Cloud
from interlock.planners.protocol import Demand, HostPlanner, NoPlan, Plan, VolumeDemand
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.words import clean

LISTED = 20
"""Candidates that the message itself names; `reasons` has all. Too many: nobody reads a message of a thousand hosts."""


def _choose(draft: Draft) -> None:
    vm = draft.vm
    planner = draft.rules.planners.get(vm.planner)
    if planner is None:
        raise Refusal(f"VM {vm.name} wants planner {vm.planner}, which is not installed here")
    answer = _answer(draft, planner)
    rejected = tuple((each.candidate, each.reason) for each in answer.rejected)
    if isinstance(answer, NoPlan):
        raise Refusal(f"no place for VM {vm.name} in zone {vm.zone_id}: {_listed(rejected)}", rejected)
    draft.plan = answer
    draft.detail["place"] = {"host": answer.host_id, "pools": answer.pools, "planner": vm.planner}
    # Those before the one that was taken, and no more of them than tell something: a full fleet would fill the journal.
    draft.detail["rejected"] = rejected[:LISTED]
    draft.detail["rejected_in_all"] = len(rejected)
    draft.move(vm, "OperationRetry" if vm.state == "Starting" else "StartRequested", host_id=answer.host_id)


def _answer(draft: Draft, planner: HostPlanner) -> Plan | NoPlan:
    """What the planner says, if it can be true: a planner may be anybody's.

    Raises:
        Refusal: it raised, or named what is not there or has not the room.
    """
    demand = _demand(draft)
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
    if host.cpu_free_mhz < demand.cpu_mhz or host.memory_free_mib < demand.memory_mib:
        return f"it chose host {host.id}, which has not the room"
    pools = [answer.pools.get(volume.id) for volume in demand.volumes if volume.pool_id is None]
    lost = [pool for pool in pools if pool is None or cloud.find(StoragePool, pool) is None]
    return f"it chose for a volume the pool {lost[0]}, which is not there" if lost else None


def _listed(rejected: tuple[tuple[str, str], ...]) -> str:
    said = [f"{candidate} {reason}" for candidate, reason in rejected[:LISTED]]
    more = len(rejected) - len(said)
    return "; ".join(said) + (f"; and {more} more, see the operation's reasons" if more else "")


def _demand(draft: Draft) -> Demand:
    vm, operation = draft.vm, draft.operation
    avoided = [entry for entry in operation.avoid if entry.until > draft.at]
    return Demand(
        vm_id=vm.id,
        account_id=vm.account_id,
        zone_id=vm.zone_id,
        cpu_mhz=vm.cpu_mhz,
        memory_mib=vm.memory_mib,
        volumes=tuple(
            VolumeDemand(id=each.id, size_mib=each.size_mib, storage=each.storage, pool_id=each.pool_id)
            for each in draft.volumes
            if each.state in ("Allocated", "Ready")
        ),
        avoid_hosts={entry.id: entry.cause for entry in avoided if entry.scope == "host"},
        avoid_pools={entry.id: entry.cause for entry in avoided if entry.scope == "pool"},
        seed=f"{operation.id}/{operation.attempt}",
    )


def _give_back(draft: Draft) -> None:
    vm = draft.vm
    if vm.state == "Starting":
        draft.move(vm, "OperationFailed", host_id=None)


PLACE = Step("place", Act(announce=_choose), undo=Act(settle=_give_back))
