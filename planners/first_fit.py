"""The planner that takes the first host with room, in the order of their ids: quick, and easy to foretell.

Promises: no host with a lower id than the chosen one fits. Reads hosts only until one fits.
"""

from __future__ import annotations

from interlock.planners.fitting import first_that_fits
from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan


class FirstFit:
    """Fills the hosts one after the other."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """The host with the lowest id that fits, or why none does."""
        return first_that_fits(cloud.hosts(demand.zone_id), demand, cloud)
