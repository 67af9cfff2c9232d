"""Whether a VM fits on a host, and the walk along the hosts that all planners of this room share.

A planner here is an order of hosts, nothing more: the first in it that fits is taken.

Promises: a host is taken only if it is enabled, not avoided, has the CPU and memory, and its pools take all
volumes; each host passed over has its first reason in words, with the figures. Never looks beyond the host
that is taken.
"""

from __future__ import annotations

from collections.abc import Iterable

from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan, Rejected
from interlock.planners.storage import Storage
from interlock.schema.cloud import Host


def first_that_fits(hosts: Iterable[Host], demand: Demand, cloud: CloudView) -> Plan | NoPlan:
    """The first of `hosts` with room for the demand, and its pools; or all of them, each with its reason."""
    storage = Storage(demand, cloud)
    rejected: list[Rejected] = []
    for host in hosts:
        placed = why_not(host, demand, cloud) or storage.place(host)
        if not isinstance(placed, str):
            return Plan(host_id=host.id, pools=placed, rejected=tuple(rejected))
        rejected.append(Rejected(f"host {host.id}", placed))
    return NoPlan(rejected=tuple(rejected) or (Rejected(f"zone {demand.zone_id}", "has no hosts"),))


def why_not(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """The first reason, storage aside, why the VM cannot go there; None if there is none."""
    if closed := cloud.enabled(host):
        return closed
    if (cause := demand.avoid_hosts.get(host.id)) is not None:
        return f"is avoided: {cause}"
    if demand.cpu_mhz > (free := host.cpu_free_mhz):
        return f"needs {demand.cpu_mhz} MHz CPU, has {free} free"
    if demand.memory_mib > (free := host.memory_free_mib):
        return f"needs {demand.memory_mib} MiB memory, has {free} free"
    return None


def room(host: Host, demand: Demand) -> int:
    """How much is free, for comparing hosts: CPU or memory, whichever runs out first on VMs like this one."""
    # How many more such VMs there is room for, times cpu × memory so that it stays whole.
    return min(host.cpu_free_mhz * demand.memory_mib, host.memory_free_mib * demand.cpu_mhz)
