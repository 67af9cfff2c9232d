"""The planner that keeps an account's VMs close together, and fills hosts before it begins new ones.

Promises: of the hosts that fit and that the demand likes equally, the chosen one is in a pod with the most VMs of the
account; of those, it has itself the most; of those, the lowest id. So pods come first, as in CloudStack's
UserConcentratedPod: VMs in one pod share its switch. Counts only VMs that hold capacity; never moves any.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from interlock.planners.fitting import first_that_fits
from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan, Shortlist
from interlock.schema.cloud import Host


class Concentrating:
    """Gathers the VMs of an account in few pods, on few hosts."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """The host that fits with the most VMs of the account around and on it, or why none does."""
        return first_that_fits(_ByMost(demand, cloud), demand, cloud)


class _ByMost:
    def __init__(self, demand: Demand, cloud: CloudView) -> None:
        self._on = cloud.hosts_of(demand.account_id)
        known = ((cloud.host(id), vms) for id, vms in self._on.items() if vms > 0)
        self._own = [(host, vms) for host, vms in known if host is not None and host.zone_id == demand.zone_id]
        self._in: Counter[str] = Counter()
        for host, vms in self._own:
            self._in[host.pod_id] += vms

    def rank(self, host: Host) -> tuple[int, int, str]:
        return -self._in[host.pod_id], -self._on.get(host.id, 0), host.id

    def walk(self, shortlist: Shortlist) -> Iterator[Host]:
        own = sorted((host for host, _ in self._own if host.id in shortlist), key=self.rank)
        others = shortlist.without([host.id for host in own])
        for pods in self._pods():
            yield from (host for host in own if host.pod_id in pods)
            yield from others.in_pods(pods)
        yield from (host for host in others if host.pod_id not in self._in)

    def _pods(self) -> list[set[str]]:
        """Those with VMs of the account; pods with equally many together, the most first."""
        by_number: dict[int, set[str]] = defaultdict(set)
        for pod_id, vms in self._in.items():
            by_number[vms].add(pod_id)
        return [by_number[vms] for vms in sorted(by_number, reverse=True)]
