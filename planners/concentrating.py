"""The planner that keeps an account's VMs close together, and fills hosts before it begins new ones.

Promises: of the hosts that fit, the chosen one has the most VMs of the account; of those, the least room; of
those, the lowest id. Counts only VMs that hold capacity; never moves any.
"""

from __future__ import annotations

from interlock.planners.fitting import first_that_fits, room
from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan
from interlock.schema.cloud import Host


class Concentrating:
    """Gathers the VMs of an account on few hosts."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """The host that fits with the most VMs of the account, or why none does."""

        def rank(host: Host) -> tuple[int, int, str]:
            return -cloud.vms_of(demand.account_id, host.id), room(host, demand), host.id

        return first_that_fits(sorted(cloud.hosts(demand.zone_id), key=rank), demand, cloud)
