"""place, for a VM that runs: choose the host it migrates to. The capacity there is taken in the same commit.

Forward: Running → Migrating with `target_host_id` (MigrationRequested), or from one target to the next, which gives
the former one's capacity back. The VM holds there just what it holds where it is: the overcommit ratio is kept with
it until it starts again. Undo: OperationFailed, the target's capacity is given back.
Races: as for the place of a VM that starts: the guards tell apart who takes the last room, the loser decides again.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Step
from interlock.engine.core.steps.demand import addressed_by_pod, demand_of, is_within, ranges_of
from interlock.engine.core.steps.place import chosen
from interlock.engine.core.steps.specs import host_of
from interlock.planners.protocol import Demand
from interlock.schema.cloud import Cluster, Pod


def _choose(draft: Draft) -> None:
    draft.plan = chosen(draft, demand_of_move(draft), or_elsewhere=False)
    draft.move(draft.vm, "MigrationRequested", target_host_id=draft.plan.host_id)


def demand_of_move(draft: Draft) -> Demand:
    """What the VM asks of its next host: all that it asked of this one, and that it can get there as it runs."""
    vm, demand, source = draft.vm, demand_of(draft), host_of(draft)
    cluster = draft.cloud.find(Cluster, source.cluster_id)
    return msgspec.structs.replace(
        demand,
        # With a ratio of 1, what is asked for is what is held: exactly as much as here.
        cpu_mhz=vm.cpu_held_mhz,
        memory_mib=vm.memory_held_mib,
        own_cpu_overcommit=1.0,
        own_memory_overcommit=1.0,
        hypervisor=cluster.hypervisor if cluster else demand.hypervisor,
        # Whoever names a host means it; whoever names none does not ask for one that is being emptied.
        ignore_disabled=demand.only_host is not None,
        avoid_drivers={**demand.avoid_drivers, **_other_drivers(draft, source.driver)},
        avoid_pods=_other_pods(draft),
        avoid_hosts={**demand.avoid_hosts, source.id: "it runs there now"},
        last_host=None,
    )


def _other_drivers(draft: Draft, own: str) -> Mapping[str, str]:
    """A running guest cannot change its driver."""
    return {driver: f"it runs by driver {own}" for driver in draft.rules.capabilities if driver != own}


def _other_pods(draft: Draft) -> Mapping[str, str]:
    """A running guest cannot change its address, which may be one of a pod's."""
    return {
        pod.id: f"its address {nic.ip_address} in network {network.id} is not one of pod {pod.id}"
        for nic, network in addressed_by_pod(draft)
        for pod in draft.cloud.all(Pod)
        if pod.zone_id == draft.vm.zone_id
        and not any(is_within(nic.ip_address or "", each) for each in ranges_of(draft, network.id, pod.id))
    }


def _give_back(draft: Draft) -> None:
    if draft.vm.state == "Migrating":
        draft.move(draft.vm, "OperationFailed", target_host_id=None)


TARGET = Step("place", Act(announce=_choose), undo=Act(settle=_give_back))
"""Named like the other: from it a new plan begins."""
