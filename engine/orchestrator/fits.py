"""The rows of a zone that fit one kind of demand: their labels are right, and there is room for one VM of the size.

A cloud has few kinds of demands (offerings, mostly), and from one decision to the next few hosts change. So a fit is
kept, and before it is asked it looks at the rows that changed since; only where these are many it is made anew, by
columns. A kind that nobody has asked for costs some hundred microseconds on a hundred thousand hosts.

Promises: equals a look at each host, whatever changed. What it hands out (`flags`) stays as it is.
Words that were said of rows are kept with the fit (`book`), for whom they are of the same account.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple

from interlock.engine.orchestrator.roomiest import Roomiest
from interlock.engine.orchestrator.rows import HostRows, Label, Terms, is_vacant
from interlock.engine.orchestrator.slices import AT, BITS, IN, OUT, Flags, Rows, all_of, both, count, flags_of, less
from interlock.planners.protocol import Demand, Rejected
from interlock.schema.cloud import Host

KEPT: Final = 128
"""Fits of a zone that are kept. Too few: each decision makes one anew; too many: a byte per host each."""
BOOKS: Final = 64
"""Accounts whose words a fit keeps. Too few: they are found anew; too many: memory, for words that nobody asks for."""
PAGES: Final = 1_024
"""Rows of which words are kept, for one account; likewise."""

_MISSING = {
    "tag": "without tag",
    "hypervisor": "without hypervisor",
    "cluster": "outside cluster",
    "pod": "outside pod",
}
_BAD = {"driver": "of driver", "pod": "in pod"}
"""Of a label that must be there, and of one that must not, what is said of hosts where it is otherwise."""

Said = tuple[Host, str | None, Rejected]
"""The record of a host, why it is to be avoided, and what was said of it then."""


class Kind(NamedTuple):
    """A kind of demand."""

    terms: Terms
    cpu_mhz: int
    memory_mib: int
    own_cpu_overcommit: float | None
    """By which it holds that; None: by the host's ratio. Also memory."""
    own_memory_overcommit: float | None
    tags: tuple[str, ...]
    only_cluster: str | None = None
    only_pod: str | None = None
    avoid_pods: tuple[str, ...] = ()
    avoid_drivers: tuple[tuple[str, str], ...] = ()
    """Each with the reason. From this and the next three words follow, and labels by way of `terms`."""
    hypervisor: str | None = None
    ignore_disabled: bool = False
    dedicated_only: bool = False
    pods: frozenset[str] | None = None
    """It is in one of these; None: in any."""
    vacant: bool = False
    """Whether nothing else may be there."""

    def all_terms(self) -> Terms:
        """All that it asks of labels."""
        places = ("cluster", self.only_cluster), ("pod", self.only_pod)
        chosen = (*(("tag", tag) for tag in self.tags), *(place for place in places if place[1] is not None))
        avoided = (*(("driver", name) for name, _ in self.avoid_drivers), *(("pod", id) for id in self.avoid_pods))
        terms = self.terms
        return terms._replace(every=(*terms.every, *chosen), never=(*terms.never, *avoided), pods=self.pods)


def kind_of(demand: Demand, terms: Terms) -> Kind:
    """The kind of a demand. What it says of single hosts is no part of it.

    Args:
        demand: which.
        terms: what of labels follows from the demand, and the demand itself does not say.
    """
    kind = (
        terms,
        demand.cpu_mhz,
        demand.memory_mib,
        demand.own_cpu_overcommit,
        demand.own_memory_overcommit,
        demand.host_tags,
        demand.only_cluster,
        demand.only_pod,
        tuple(demand.avoid_pods),
        tuple(demand.avoid_drivers.items()),
        demand.hypervisor,
        demand.ignore_disabled,
        demand.dedicated_only,
    )
    return Kind._make((*kind, None, False))


class Fit:
    """See the header. One per zone and kind."""

    def __init__(self, rows: HostRows, kind: Kind) -> None:
        self._rows, self._kind = rows, kind
        self._labelled = rows.marked(kind.all_terms())
        self.holdings = rows.holdings(
            kind.cpu_mhz, kind.memory_mib, kind.own_cpu_overcommit, kind.own_memory_overcommit
        )
        """What a VM of the size holds, by the kind of host."""
        self._roomiest: Roomiest | None = None
        self._books: dict[str, dict[int, Said]] = {}
        self._make()

    def _make(self) -> None:
        rows = self.with_room(1)
        self._flags, self._owned = flags_of(rows, len(self._rows.hosts)), set(range(len(rows)))
        self.count = count(rows)
        """How many rows fit."""
        self.at = self._rows.changes
        """Of how many changes it knows."""
        self._roomiest = None

    def with_room(self, vms: int) -> Rows:
        """The rows with room for so many VMs of the size."""
        rows = both(self._labelled.rows, self._rows.roomy(self.holdings, vms))
        return both(rows, self._rows.vacant) if self._kind.vacant else rows

    def follow(self) -> None:
        """Take in what has changed."""
        if self.at == self._rows.changes:
            return
        changed = self._rows.changed(self.at)
        if changed is None:
            self._make()
            return
        self._look_at(changed)
        self.at = self._rows.changes
        if self._roomiest is not None:
            self._roomiest.look_at(changed, self._flags)

    def _look_at(self, changed: set[int]) -> None:
        rows, flags, labelled = self._rows, self._flags, self._labelled.flags
        cpu, memory, kinds = rows.cpu.numbers, rows.memory.numbers, rows.kinds
        for row in changed:
            needed_cpu, needed_memory = self.holdings[kinds[row]]
            chunk, at = row >> BITS, row & AT
            fits = cpu[row] >= needed_cpu and memory[row] >= needed_memory and labelled[chunk][at] == IN
            if fits and self._kind.vacant:
                fits = is_vacant(rows.hosts[row])
            if fits != (flags[chunk][at] == IN):
                self._turn(chunk, at, fits)
                flags = self._flags

    def _turn(self, chunk: int, at: int, fits: bool) -> None:
        if not self._owned:
            self._flags = list(self._flags)
        if chunk not in self._owned:
            self._owned.add(chunk)
            self._flags[chunk] = bytearray(self._flags[chunk])
        self._flags[chunk][at] = IN if fits else OUT
        self.count += 1 if fits else -1

    def flags(self) -> Flags:
        """Which rows fit; nobody changes it afterwards, and whoever gets it must not either."""
        self._owned.clear()
        return self._flags

    def roomiest(self) -> Roomiest:
        """The rows that fit, by room."""
        if self._roomiest is None:
            self._roomiest = Roomiest(self._rows, self.holdings, self.with_room, self._flags)
        return self._roomiest

    def causes(self) -> list[tuple[str, int]]:
        """What the rows that do not fit lack, in words, and how many; each counts once, at the first of the causes."""
        found: list[tuple[str, int]] = []
        left = all_of(len(self._rows.hosts))
        for words, right in self._conditions():
            found.append((words, count(less(left, right))))
            left = both(left, right)
        return found

    def _conditions(self) -> Iterator[tuple[str, Rows]]:
        """Each in words for those that do not meet it, and the rows that do; all together leave those that fit."""
        rows, terms = self._rows, self._kind.all_terms()
        nobody = Terms()
        for label in terms.never:
            yield _said(_BAD, label), rows.labelled(nobody._replace(never=(label,)))
        for label in terms.every:
            yield _said(_MISSING, label), rows.labelled(nobody._replace(every=(label,)))
        yield "dedicated to others", rows.labelled(nobody._replace(owners=terms.owners))
        yield "not dedicated to it", rows.labelled(nobody._replace(some=terms.some))
        yield "in other pods", rows.labelled(nobody._replace(pods=terms.pods))
        yield "short of CPU", rows.roomy([(cpu, 0) for cpu, _ in self.holdings])
        yield "short of memory", rows.roomy([(0, memory) for _, memory in self.holdings])
        yield "in use", rows.vacant if self._kind.vacant else all_of(len(rows.hosts))

    def vacant(self) -> Kind:
        """The same kind, where nothing else may be there."""
        return self._kind._replace(vacant=True)

    def in_pods(self, pod_ids: Collection[str]) -> Kind:
        """The same kind, in one of the pods."""
        pods = frozenset(pod_ids) if self._kind.pods is None else self._kind.pods.intersection(pod_ids)
        return self._kind._replace(pods=pods)

    def forget_words(self) -> None:
        """Begin all books anew."""
        self._books.clear()

    def book(self, account_id: str) -> dict[int, Said]:
        """What was said of rows to an account."""
        book = self._books.get(account_id)
        if book is None or len(book) > PAGES:
            if len(self._books) >= BOOKS:
                self._books.clear()
            book = self._books[account_id] = {}
        return book


def _said(words: Mapping[str, str], label: Label) -> str:
    kind, *which = map(str, label)
    return " ".join([words.get(kind, kind), *which])
