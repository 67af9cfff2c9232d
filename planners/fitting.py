"""The walk along the hosts that all planners of this room share: the first in order that fits is taken.

A planner here is an order of hosts, and perhaps a rule of its own. The order is given twice: as a rank, by which the
few hosts that the demand names are sorted, and as a lazy walk along the shortlist, which comes in the order of the
rank.

Promises: first comes the host where the VM ran last, then those that are liked, the most liked first, then all to
which the demand is indifferent, then those that it would rather not have; within each, the planner's order. A host is
taken only if no rule refuses it and its pools take all volumes. Never looks beyond the host that is taken. When none
fits, every host of the zone is asked for its reason; those that an administrator's choice rules out come last. Of a
zone of more than some (`NAMED`), the first of those that were looked at, then of the others, are asked, and the rest
is counted by what it lacks: a fleet that is full must not cost a look at each host for every deploy that it refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

from interlock.planners.protocol import CloudView, Demand, NoPlan, Plan, Rejected, Shortlist
from interlock.planners.rules import CHOICES, Rule, first_reason, rules_for
from interlock.planners.storage import Placement, Storage
from interlock.schema.cloud import Host

SHOWN = 20
"""Refusals that a plan tells in words. Too low: `why` cannot say what was wrong with a near miss; too high: each
deploy on a full fleet makes, and the journal keeps for good, texts that nobody reads."""

NAMED = 100
"""Hosts that are named where none fits. Too low: a person must ask elsewhere what is wrong with a host; too high: each
deploy that a full fleet refuses costs milliseconds, and megabytes of the journal."""


class Order(Protocol):
    """The order of one planner, for one demand."""

    def rank(self, host: Host) -> Any:
        """What hosts are compared by, the least first; never the same for two of them."""
        ...

    def walk(self, shortlist: Shortlist) -> Iterable[Host]:
        """The hosts of the shortlist by rank; those that the planner's own rule refuses may be missing."""
        ...


def first_that_fits(order: Order, demand: Demand, cloud: CloudView, *more: Rule) -> Plan | NoPlan:
    """The first host with room for the demand, and its pools; or all of them, each with its reason.

    Args:
        order: in which hosts are asked.
        demand: what for.
        cloud: where.
        more: rules of the planner's own, asked after all others.
    """
    search = _Search(demand, cloud, (*rules_for(demand), *more))
    shortlist = cloud.shortlist(demand)
    host = search.along(_preferred(order, shortlist, demand, cloud))
    if host is None:
        return search.everywhere(shortlist)
    rejected, in_all = search.before(shortlist)
    return Plan(host_id=host.id, pools=search.pools, rejected=rejected, rejected_in_all=in_all)


def _preferred(order: Order, shortlist: Shortlist, demand: Demand, cloud: CloudView) -> Iterator[Host]:
    if not demand.liked_hosts and demand.last_host is None:
        yield from order.walk(shortlist)
        return
    likes = {id: -figure for id, figure in demand.liked_hosts.items() if figure and id != demand.last_host}
    liked = sorted(_in_zone(likes, demand, cloud), key=lambda host: (likes[host.id], order.rank(host)))
    named = list(likes)
    if demand.last_host is not None:
        named.append(demand.last_host)
        yield from _in_zone([demand.last_host], demand, cloud)
    yield from (host for host in liked if likes[host.id] < 0)
    yield from order.walk(shortlist.without(named) if named else shortlist)
    yield from (host for host in liked if likes[host.id] > 0)


def _in_zone(host_ids: Iterable[str], demand: Demand, cloud: CloudView) -> Iterator[Host]:
    """Those that there are: places that a demand names may have gone."""
    known = (cloud.host(id) for id in host_ids)
    return (host for host in known if host is not None and host.zone_id == demand.zone_id)


class _Search:
    """Asks hosts, and keeps what was refused. Lives as long as one call of a planner."""

    def __init__(self, demand: Demand, cloud: CloudView, rules: tuple[Rule, ...]) -> None:
        self._demand, self._cloud, self._rules = demand, cloud, rules
        self._storage = Storage(demand, cloud)
        self._refused: dict[str, str] = {}
        self.pools: dict[str, str] = {}
        """Of the host that was found."""

    def along(self, hosts: Iterable[Host]) -> Host | None:
        """The first of `hosts` that fits."""
        for host in hosts:
            placed = self._ask(host)
            if not isinstance(placed, str):
                self.pools = placed
                return host
            self._refused[host.id] = placed
        return None

    def everywhere(self, shortlist: Shortlist) -> NoPlan:
        """The hosts of the zone with their reasons; none fits."""
        zone_id, hosts = self._demand.zone_id, self._cloud.hosts(self._demand.zone_id)
        if len(first := list(islice(hosts, NAMED + 1))) > NAMED:
            return self._summed_up(shortlist)
        first.sort(key=self._was_not_chosen)
        rejected = tuple(_rejected(host.id, self._refused.get(host.id) or str(self._ask(host))) for host in first)
        return NoPlan(rejected=rejected or (Rejected(f"zone {zone_id}", "has no hosts"),))

    def _summed_up(self, shortlist: Shortlist) -> NoPlan:
        looked_at, (left_out, _) = sum(id in shortlist for id in self._refused), shortlist.left_out()
        passed_over, number = len(shortlist) - looked_at, left_out + len(shortlist)
        causes = [
            *shortlist.causes(),
            ("looked at one by one", looked_at),
            ("passed over by the planner", passed_over),
        ]
        counted = ", ".join(f"{many} {words}" for words, many in causes if many)
        summary = Rejected(f"zone {self._demand.zone_id}", f"has {number} hosts: {counted}")
        self._refused = {**self._asked(self._chosen()), **self._refused}
        if passed_over and len(self._refused) < NAMED:
            self._refused.update(self._asked(host for host in shortlist if host.id not in self._refused))
        return NoPlan(rejected=(*self._first(shortlist, NAMED), summary), rejected_in_all=number)

    def _asked(self, hosts: Iterable[Host]) -> dict[str, str]:
        """The first of them, each with its reason."""
        return {host.id: str(self._ask(host)) for host in islice(hosts, NAMED)}

    def _chosen(self) -> Iterable[Host]:
        """The hosts that an administrator's choice leaves; none, if there is no choice."""
        host_id, cluster_id, pod_id = self._demand.only_host, self._demand.only_cluster, self._demand.only_pod
        if host_id is not None:
            return _in_zone([host_id], self._demand, self._cloud)
        return (
            host
            for host in (self._cloud.hosts(self._demand.zone_id) if cluster_id or pod_id else ())
            if cluster_id in (None, host.cluster_id) and pod_id in (None, host.pod_id)
        )

    def before(self, shortlist: Shortlist) -> tuple[tuple[Rejected, ...], int]:
        """What a plan says of those before it. One that the demand names may be both looked at and left out."""
        in_list = sum(id in shortlist for id in self._refused) if self._refused else 0
        return self._first(shortlist, SHOWN), shortlist.left_out()[0] + in_list

    def _first(self, shortlist: Shortlist, most: int) -> tuple[Rejected, ...]:
        """Those that were looked at, then those that were left out."""
        looked_at = [_rejected(id, reason) for id, reason in islice(self._refused.items(), most)]
        return (*looked_at, *shortlist.told(self._tell, most - len(looked_at), self._refused))

    def _tell(self, host: Host) -> Rejected:
        return _rejected(host.id, str(self._ask(host)))

    def _ask(self, host: Host) -> Placement:
        return first_reason(self._rules, host, self._demand, self._cloud) or self._storage.place(host)

    def _was_not_chosen(self, host: Host) -> bool:
        return any(rule(host, self._demand, self._cloud) for rule, _ in CHOICES)


def _rejected(host_id: str, reason: str) -> Rejected:
    return Rejected(f"host {host_id}", reason)
