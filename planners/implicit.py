"""The planner that gives an account hosts of its own without anybody dedicating them: implicit dedication.

A host is taken into use by the first VM that is placed there so, and is free for others when the last one is gone.
By the demand's mode:

- strict (all that is not preferred): only hosts on which no VM of another account runs and none that another planner
  placed; otherwise there is no plan.
- preferred: such a host if there is one, else any. A VM that shares its host keeps nobody away; once it is alone with
  VMs of its account, the host is theirs (`rules.used_by_another_alone`). CloudStack marks a host as shared or
  dedicated when its first VM comes; here it follows from what runs there, and no mark can go stale.

Promises: of the hosts that fit and that the demand likes equally, first those with VMs of the account and of this
planner alone, then empty ones, then (preferred) the rest; of equals, the lowest id. That all planners keep away from
hosts held like this is a rule for all of them. Figures include what is decided but not yet written, so decisions of
one engine never meet; those of two engines may, within one commit.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.planners.fitting import first_that_fits
from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan, Shortlist
from interlock.planners.rules import IMPLICIT
from interlock.schema.cloud import Host

PREFERRED = "preferred"


class ImplicitDedication:
    """Puts the VMs of an account on hosts that no other account uses."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """An own host, or an empty one, or if preferred is enough any; or why none will do."""
        order = _OwnFirst(demand, cloud)
        if demand.planner_mode == PREFERRED:
            return first_that_fits(order, demand, cloud)
        return first_that_fits(order, demand, cloud, shared)


def shared(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """Strict: nobody else's VMs may be there, and none that another planner placed."""
    others = {f"account {id}": vms for id, vms in cloud.tenants(host.id).items() if id != demand.account_id}
    placed = {f"planner {name}": vms for name, vms in cloud.planners_on(host.id).items() if name != IMPLICIT}
    named = ", ".join(f"{vms} of {who}" for who, vms in sorted({**others, **placed}.items()) if vms > 0)
    return f"is not for {IMPLICIT} alone: it has VMs, {named}" if named else None


class _OwnFirst:
    def __init__(self, demand: Demand, cloud: CloudView) -> None:
        self._demand, self._cloud = demand, cloud

    def rank(self, host: Host) -> tuple[int, str]:
        if shared(host, self._demand, self._cloud):
            return 2, host.id
        return 0 if self._cloud.vms_of(self._demand.account_id, host.id) > 0 else 1, host.id

    def walk(self, shortlist: Shortlist) -> Iterator[Host]:
        hosts_of = self._cloud.hosts_of(self._demand.account_id)
        known = (self._cloud.host(id) for id in sorted(hosts_of) if hosts_of[id] > 0 and id in shortlist)
        yield from (host for host in known if host is not None and self.rank(host)[0] == 0)
        yield from shortlist.vacant()
        if self._demand.planner_mode == PREFERRED:
            yield from (host for host in shortlist if self.rank(host)[0] == 2)
