"""The planner that takes the first host with room, in the order of their ids: quick, and easy to foretell.

Promises: of the hosts that fit and that the demand likes equally, none has a lower id than the chosen one.
"""

from __future__ import annotations

from collections.abc import Iterable

from interlock.planners.fitting import first_that_fits
from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan, Shortlist
from interlock.schema.cloud import Host


class FirstFit:
    """Fills the hosts one after the other."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """The host with the lowest id that fits, or why none does."""
        return first_that_fits(_ById(), demand, cloud)


class _ById:
    def rank(self, host: Host) -> str:
        return host.id

    def walk(self, shortlist: Shortlist) -> Iterable[Host]:
        return shortlist
