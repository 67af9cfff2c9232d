"""The hosts of one zone as rows, in the order of their ids: what is free of each, their labels, and what changed.

Labels (tags, drivers, places, and what the owner of the index adds) do not change between loads, so what a combination
of them comes to is kept, for the combinations that were asked for last. Of each change of a host the row is noted, so
that whoever keeps a set of rows can follow instead of making it anew.

Promises: `marked`, `labelled`, `roomy` and `vacant` equal a look at each host. `replace` costs microseconds; every
decision pays it twice.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from interlock.engine.orchestrator.slices import (
    AT,
    BITS,
    Column,
    Flags,
    Rows,
    all_of,
    both,
    either,
    flags_of,
    less,
    rows_of,
)
from interlock.schema.cloud import Cluster, Host, Pod, Zone, guaranteed

Label = tuple[object, ...]
"""A fact about a host that does not change between loads: its kind and which, as in ("tag", "ssd")."""
Labels = Iterable[Label]

OWNERS: Final = frozenset(("account", "domain"))
"""The kinds of labels that say for whom a host is dedicated."""
KEPT: Final = 64
"""Combinations of labels that are kept. Too few: each decision combines anew; too many: a byte per host each."""
DENSE: Final = 64
"""A label that one host in so many has is kept as a set, others as row numbers. Too few: decisions gather thousands of
rows; too many: a bit per host for each of thousands of clusters."""
RARE: Final = 2_048
"""Rows that are gathered one by one. Too few: sets are made where a handful would do; too many: each costs 50 ns."""
NOTED: Final = 8_192
"""Changes that are remembered. Too few: sets that are seldom asked for are made anew; too many: memory for nothing."""


def owners(place: Host | Cluster | Pod | Zone) -> Labels:
    """For whom a place is dedicated, as labels of its hosts."""
    if place.dedicated_account_id is not None:
        yield "account", place.dedicated_account_id
    if place.dedicated_domain_id is not None:
        yield "domain", place.dedicated_domain_id


class Terms(NamedTuple):
    """What the labels of a host must be."""

    every: tuple[Label, ...] = ()
    """It has all of these."""
    never: tuple[Label, ...] = ()
    """It has none of these."""
    some: frozenset[Label] | None = None
    """It has one of these at least; None: any or none."""
    owners: frozenset[Label] | None = None
    """It is dedicated to nobody, or to these alone; None: whoever."""
    pods: frozenset[str] | None = None
    """It is in one of these; None: in any."""


class Marked(NamedTuple):
    """A set of rows in both forms."""

    rows: Rows
    flags: Flags


class HostRows:
    """See the header."""

    def __init__(self, hosts: list[Host], labels: Callable[[Host], Labels]) -> None:
        self.hosts = hosts
        """By row. Read only, as are the next four."""
        self.number: Mapping[object, int] = {host.id: row for row, host in enumerate(hosts)}
        self.cpu = Column([host.cpu_free_mhz for host in hosts])
        self.memory = Column([host.memory_free_mib for host in hosts])
        self.vacant: Rows = self._set(row for row, host in enumerate(hosts) if is_vacant(host))
        self.changes = 0
        """How many there have been."""
        self._noted: list[int] = []
        self._ratios(hosts)
        self._label(hosts, labels)

    def _ratios(self, hosts: list[Host]) -> None:
        ratios: dict[tuple[float, float], list[int]] = defaultdict(list)
        for row, host in enumerate(hosts):
            ratios[host.cpu_overcommit, host.memory_overcommit].append(row)
        self._by_ratios = list(ratios)
        self._with_ratios = [self._set(rows) for rows in ratios.values()]
        self.kinds = array("I", bytes(4 * len(hosts)))
        """Of each row, which of the pairs of overcommit ratios it has."""
        for kind, rows in enumerate(ratios.values()):
            for row in rows:
                self.kinds[row] = kind

    def _label(self, hosts: list[Host], labels: Callable[[Host], Labels]) -> None:
        found: dict[Label, array[int]] = defaultdict(lambda: array("I"))
        owned: dict[frozenset[Label], array[int]] = defaultdict(lambda: array("I"))
        for row, host in enumerate(hosts):
            all_labels = set(labels(host))
            all_labels.update(_own_labels(host))
            for label in all_labels:
                found[label].append(row)
            if whose := frozenset(label for label in all_labels if label[0] in OWNERS):
                owned[whose].append(row)
        self._labels: dict[Label, array[int] | Rows] = {
            label: self._set(rows) if len(rows) * DENSE > len(hosts) else rows for label, rows in found.items()
        }
        self._owned = dict(owned)
        self._owned_by: dict[Label, list[frozenset[Label]]] = defaultdict(list)
        for whose in owned:
            for label in whose:
                self._owned_by[label].append(whose)
        self._is_owned = self._set(row for rows in owned.values() for row in rows)
        self._marked: dict[Terms, Marked] = {}

    def _set(self, rows: Iterable[int]) -> Rows:
        return rows_of(rows, len(self.hosts))

    # --- changes

    def replace(self, host: Host) -> None:
        """What is used of it has changed."""
        row = self.number[host.id]
        if is_vacant(host) != is_vacant(self.hosts[row]):
            self.vacant[row >> BITS] ^= 1 << (AT - (row & AT))
        self.hosts[row] = host
        self.cpu.put(row, host.cpu_free_mhz)
        self.memory.put(row, host.memory_free_mib)
        self.changes += 1
        self._noted.append(row)
        if len(self._noted) > 2 * NOTED:
            del self._noted[:NOTED]

    def changed(self, since: int) -> set[int] | None:
        """The rows that changed after so many changes; None: too many to follow them one by one."""
        number = self.changes - since
        if number > len(self._noted) or number > 64 + (len(self.hosts) >> 8):
            return None
        return set(self._noted[len(self._noted) - number :])

    # --- sets

    def rows(self, host_ids: Collection[str]) -> list[int]:
        """The rows of those hosts that are here."""
        try:
            return list(map(self.number.__getitem__, host_ids))
        except KeyError:
            return [row for id in host_ids if (row := self.number.get(id)) is not None]

    def rare(self, labels: Labels) -> set[int] | None:
        """The rows with one of the labels at least; None: more than are worth counting up."""
        rows = set[int]()
        for label in labels:
            found = self._labels.get(label)
            if isinstance(found, list) or len(rows) > RARE:
                return None
            rows.update(found or ())
        return rows

    def marked(self, terms: Terms) -> Marked:
        """The rows whose labels are as they must be."""
        found = self._marked.pop(terms, None)
        if found is None:
            rows = self.labelled(terms)
            found = Marked(rows, flags_of(rows, len(self.hosts)))
            while len(self._marked) >= KEPT:
                del self._marked[next(iter(self._marked))]
        self._marked[terms] = found
        return found

    def labelled(self, terms: Terms) -> Rows:
        """The same, only as a set, and not kept."""
        rows = less(all_of(len(self.hosts)), self._with_any(terms.never))
        for label in terms.every:
            rows = both(rows, self._with_any([label]))
        if terms.some is not None:
            rows = both(rows, self._with_any(terms.some))
        if terms.pods is not None:
            rows = both(rows, self._with_any(("pod", id) for id in terms.pods))
        if terms.owners is not None:
            rows = less(rows, less(self._is_owned, self._owned_within(terms.owners)))
        return rows

    def _with_any(self, labels: Labels) -> Rows:
        rows, sparse = self._set(()), list[int]()
        for label in labels:
            found = self._labels.get(label, [])
            if isinstance(found, array):
                sparse.extend(found)
            elif found:
                rows = either(rows, found)
        return either(rows, self._set(sparse)) if sparse else rows

    def _owned_within(self, allowed: frozenset[Label]) -> Rows:
        """Those that are dedicated, and to nobody else."""
        near = {whose for label in allowed for whose in self._owned_by.get(label, ())}
        return self._set(row for whose in near if whose <= allowed for row in self._owned[whose])

    # --- room

    def holdings(
        self, cpu_mhz: int, memory_mib: int, own_cpu: float | None, own_memory: float | None
    ) -> list[tuple[int, int]]:
        """What a VM holds of CPU and memory, by the kind of the host. A ratio of None: that of the host."""
        return [
            (
                guaranteed(cpu_mhz, cpu if own_cpu is None else own_cpu),
                guaranteed(memory_mib, memory if own_memory is None else own_memory),
            )
            for cpu, memory in self._by_ratios
        ]

    def roomy(self, holdings: Sequence[tuple[int, int]], vms: int = 1) -> Rows:
        """Those with room for so many VMs that hold so much."""
        if len(holdings) == 1 or len(set(holdings)) == 1:
            cpu, memory = holdings[0]
            return both(self.cpu.at_least(vms * cpu), self.memory.at_least(vms * memory))
        rows = self._set(())
        for (cpu, memory), with_ratios in zip(holdings, self._with_ratios, strict=True):
            enough = both(self.cpu.at_least(vms * cpu), self.memory.at_least(vms * memory))
            rows = either(rows, both(enough, with_ratios))
        return rows


def is_vacant(host: Host) -> bool:
    """Whether nothing of it is held."""
    return host.cpu_used_mhz == 0 and host.memory_used_mib == 0


def _own_labels(host: Host) -> Labels:
    yield from (("tag", tag) for tag in host.tags)
    yield from (("driver", host.driver), ("pod", host.pod_id), ("cluster", host.cluster_id))
