"""The planner that spreads an account's VMs, so that one host's end takes as few of them along as possible.

Promises: of the hosts that fit and that the demand likes equally, the chosen one has the fewest VMs of the account;
of those, room for the most VMs of this size; of those, the lowest id. Counts only VMs that hold capacity; never
moves any. CloudStack's UserDispersing counts by cluster or pod; by host, the same wish is kept more finely.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.planners.fitting import first_that_fits
from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan, Shortlist
from interlock.planners.rules import how_many
from interlock.schema.cloud import Host


class Dispersing:
    """Spreads the VMs of an account over the hosts."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """The host that fits with the fewest VMs of the account, or why none does."""
        return first_that_fits(_ByFewest(demand, cloud), demand, cloud)


class _ByFewest:
    def __init__(self, demand: Demand, cloud: CloudView) -> None:
        self._demand, self._cloud = demand, cloud

    def rank(self, host: Host) -> tuple[int, int, str]:
        return self._cloud.vms_of(self._demand.account_id, host.id), -how_many(host, self._demand), host.id

    def walk(self, shortlist: Shortlist) -> Iterator[Host]:
        own = self._cloud.hosts_of(self._demand.account_id)
        yield from (host for host in shortlist.roomiest_first() if own.get(host.id, 0) <= 0)
        known = (self._cloud.host(id) for id, vms in own.items() if vms > 0 and id in shortlist)
        yield from sorted((host for host in known if host is not None), key=self.rank)
