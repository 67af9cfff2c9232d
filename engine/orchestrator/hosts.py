"""An index of hosts: which may do for a demand, without a look at each. The inventory's shortlists come from it.

For each zone, hosts are rows in the order of their ids. A set of rows is one integer (`slices.py`): one for each
label (a tag, pod, cluster, driver, overcommit ratio, and what the owner of the index adds, such as the hypervisor and
for whom it is dedicated), so that any combination is a few ANDs; what is free of CPU and memory is a column each.

Promises: a shortlist has exactly the hosts of the demand's zone that have all its tags and the room for what it would
hold there (by the host's ratio or its own), that its choices, avoid sets and strict affinity allow, and whose labels
are as asked; it stays as it was when it was made. `replace` costs microseconds, and every decision pays it twice.
Never decides: planners ask each host again. Not for changes of anything but the used columns: those need `load`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import reduce
from operator import or_

from interlock.engine.orchestrator.slices import Column, Rows, each, rows_of
from interlock.planners.protocol import Demand
from interlock.schema.cloud import Cluster, Host, Pod, Zone, guaranteed

Label = tuple[object, ...]
"""A fact about a host that does not change between loads: its kind and which, as in ("tag", "ssd")."""
Labels = Iterable[Label]


def owners(place: Host | Cluster | Pod | Zone) -> Iterable[Label]:
    """For whom a place is dedicated, as labels of its hosts."""
    if place.dedicated_account_id is not None:
        yield "account", place.dedicated_account_id
    if place.dedicated_domain_id is not None:
        yield "domain", place.dedicated_domain_id


def _no_labels(_: Host) -> Labels:
    return ()


class HostIndex:
    """All hosts, by zone."""

    def __init__(self, hosts: Iterable[Host] = (), labels: Callable[[Host], Labels] = _no_labels) -> None:
        self.load(hosts, labels)

    def load(self, hosts: Iterable[Host], labels: Callable[[Host], Labels] = _no_labels) -> None:
        """Forget all; take these. `labels` says what else is true of a host."""
        zones: dict[str, list[Host]] = defaultdict(list)
        for host in sorted(hosts, key=lambda host: host.id):
            zones[host.zone_id].append(host)
        self._zones = {zone_id: _Rows(known, labels) for zone_id, known in zones.items()}

    def replace(self, host: Host) -> None:
        """What is used of it has changed."""
        self._zones[host.zone_id].replace(host)

    def shortlist(
        self, demand: Demand, every: Labels = (), never: Labels = (), some: Labels | None = None
    ) -> HostShortlist:
        """The hosts that may do.

        Args:
            demand: what for.
            every: labels of which they have all.
            never: labels of which they have none.
            some: labels of which they have one at least; None: any or none.
        """
        rows = self._zones.get(demand.zone_id) or _Rows([], _no_labels)
        tags = (("tag", tag) for tag in demand.host_tags)
        labelled = rows.labelled((*every, *tags, *_chosen(demand)), (*never, *_avoided(demand)), some)
        among = labelled & rows.roomy(demand, 1) & ~rows.of(demand.avoid_hosts)
        if demand.only_hosts is not None:
            among &= rows.of(demand.only_hosts)
        if demand.only_host is not None:
            among &= rows.of([demand.only_host])
        return HostShortlist(rows, demand, among)


def _chosen(demand: Demand) -> Labels:
    places = ("cluster", demand.only_cluster), ("pod", demand.only_pod)
    return [place for place in places if place[1] is not None]


def _avoided(demand: Demand) -> Labels:
    return [*(("pod", id) for id in demand.avoid_pods), *(("driver", name) for name in demand.avoid_drivers)]


class HostShortlist:
    """Implements `Shortlist`."""

    def __init__(self, rows: _Rows, demand: Demand, among: Rows) -> None:
        self._rows, self._demand, self._among = rows, demand, among

    def __iter__(self) -> Iterator[Host]:
        return self._rows.hosts_in(self._among)

    def __contains__(self, host_id: object) -> bool:
        row = self._rows.number.get(host_id)
        return row is not None and bool(self._among >> row & 1)

    def roomiest_first(self) -> Iterator[Host]:
        """See `Shortlist`. Each step looks for the greatest number of VMs that some host still has room for."""
        among = self._among
        most = self._rows.most(self._demand, among)
        while among:
            most, best = self._roomiest(among, most)
            yield from self._rows.hosts_in(best)
            among, most = among & ~best, most - 1

    def _roomiest(self, among: Rows, most: int) -> tuple[int, Rows]:
        """The number, at most `most`, and which have room for so many. All have for one, if `among` is not empty."""
        least, best = 0, among
        while least < most:
            half = (least + most + 1) // 2
            if roomy := best & self._rows.roomy(self._demand, half):
                least, best = half, roomy
            else:
                most = half - 1
        return least, best

    def in_pods(self, pod_ids: Collection[str]) -> HostShortlist:
        """See `Shortlist`."""
        return self._narrowed(self._rows.with_any(("pod", id) for id in pod_ids))

    def vacant(self) -> HostShortlist:
        """See `Shortlist`."""
        return self._narrowed(self._rows.vacant)

    def without(self, host_ids: Iterable[str]) -> HostShortlist:
        """See `Shortlist`."""
        return self._narrowed(~self._rows.of(host_ids))

    def left_out(self) -> tuple[int, Iterator[Host]]:
        """See `Shortlist`."""
        others = self._rows.all & ~self._among
        return others.bit_count(), self._rows.hosts_in(others)

    def _narrowed(self, rows: Rows) -> HostShortlist:
        return HostShortlist(self._rows, self._demand, self._among & rows)


class _Rows:
    """The hosts of one zone."""

    def __init__(self, hosts: list[Host], labels: Callable[[Host], Labels]) -> None:
        self._hosts = hosts
        self.number: Mapping[object, int] = {host.id: row for row, host in enumerate(hosts)}
        self.all: Rows = (1 << len(hosts)) - 1
        self.vacant: Rows = rows_of(row for row, host in enumerate(hosts) if _is_vacant(host))
        self._cpu = _Free([host.cpu_free_mhz for host in hosts], [host.cpu_overcommit for host in hosts])
        self._memory = _Free([host.memory_free_mib for host in hosts], [host.memory_overcommit for host in hosts])
        self._labelled = _labelled(hosts, labels)

    def replace(self, host: Host) -> None:
        row = self.number[host.id]
        self._hosts[row] = host
        self._cpu.put(row, host.cpu_free_mhz)
        self._memory.put(row, host.memory_free_mib)
        if _is_vacant(host) != bool(self.vacant >> row & 1):
            self.vacant ^= 1 << row

    def hosts_in(self, rows: Rows) -> Iterator[Host]:
        return (self._hosts[row] for row in each(rows))

    def of(self, host_ids: Iterable[str]) -> Rows:
        return rows_of(row for id in host_ids if (row := self.number.get(id)) is not None)

    def with_any(self, labels: Labels) -> Rows:
        return reduce(or_, (self._labelled.get(label, 0) for label in labels), 0)

    def labelled(self, every: Labels, never: Labels, some: Labels | None) -> Rows:
        rows = self.all & ~self.with_any(never)
        for label in every:
            rows &= self._labelled.get(label, 0)
        return rows if some is None else rows & self.with_any(some)

    def roomy(self, demand: Demand, vms: int) -> Rows:
        """Those with room for so many VMs like it."""
        cpu = self._cpu.enough(demand.cpu_mhz, demand.own_cpu_overcommit, vms)
        return cpu and cpu & self._memory.enough(demand.memory_mib, demand.own_memory_overcommit, vms)

    def most(self, demand: Demand, among: Rows) -> int:
        """No host among them has room for more such VMs."""
        cpu = self._cpu.most(demand.cpu_mhz, demand.own_cpu_overcommit, among)
        return min(cpu, self._memory.most(demand.memory_mib, demand.own_memory_overcommit, among))


class _Free:
    """What is free of one thing on each host, and by which ratio VMs hold it there."""

    def __init__(self, free: list[int], ratios: list[float]) -> None:
        self._column = Column(free)
        rows: dict[float, list[int]] = defaultdict(list)
        for row, ratio in enumerate(ratios):
            rows[ratio].append(row)
        self._with_ratio = {ratio: rows_of(numbers) for ratio, numbers in rows.items()}

    def put(self, row: int, free: int) -> None:
        self._column.put(row, free)

    def enough(self, size: int, own: float | None, vms: int) -> Rows:
        if own is not None:
            return self._column.at_least(vms * guaranteed(size, own))
        rows = 0
        for ratio, with_it in self._with_ratio.items():
            rows |= with_it & self._column.at_least(vms * guaranteed(size, ratio))
        return rows

    def most(self, size: int, own: float | None, among: Rows) -> int:
        ratio = max(self._with_ratio, default=1.0) if own is None else own
        return self._column.greatest(among) // max(1, guaranteed(size, ratio))


def _labelled(hosts: Iterable[Host], labels: Callable[[Host], Labels]) -> dict[Label, Rows]:
    rows: dict[Label, list[int]] = defaultdict(list)
    for row, host in enumerate(hosts):
        for label in (*_own_labels(host), *labels(host)):
            rows[label].append(row)
    return {label: rows_of(numbers) for label, numbers in rows.items()}


def _own_labels(host: Host) -> Labels:
    yield from (("tag", tag) for tag in host.tags)
    yield from (("driver", host.driver), ("pod", host.pod_id), ("cluster", host.cluster_id))


def _is_vacant(host: Host) -> bool:
    return host.cpu_used_mhz == 0 and host.memory_used_mib == 0
