"""The planner that spreads an account's VMs, so that one host's end takes as few of them along as possible.

Promises: of the hosts that fit, the chosen one has the fewest VMs of the account; of those, the most room;
of those, the lowest id. Counts only VMs that hold capacity; never moves any.
"""

from __future__ import annotations

from interlock.planners.fitting import first_that_fits, room
from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan
from interlock.schema.cloud import Host


class Dispersing:
    """Spreads the VMs of an account over the hosts."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """The host that fits with the fewest VMs of the account, or why none does."""

        def rank(host: Host) -> tuple[int, int, str]:
            return cloud.vms_of(demand.account_id, host.id), -room(host, demand), host.id

        return first_that_fits(sorted(cloud.hosts(demand.zone_id), key=rank), demand, cloud)
