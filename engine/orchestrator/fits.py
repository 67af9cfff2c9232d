"""The rows of a zone that fit one kind of demand: their labels are right, and there is room for one VM of the size.

A cloud has few kinds of demands (offerings, mostly), and from one decision to the next few hosts change. So a fit is
kept, and before it is asked it looks at the rows that changed since; only where these are many it is made anew, by
columns. A kind that nobody has asked for costs some hundred microseconds on a hundred thousand hosts.

Promises: equals a look at each host, whatever changed. What it hands out (`flags`) stays as it is.
Words that were said of rows are kept with the fit (`book`), for whom they are of the same account.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from interlock.engine.orchestrator.roomiest import Roomiest
from interlock.engine.orchestrator.rows import HostRows, Size, Terms, is_vacant
from interlock.engine.orchestrator.slices import AT, BITS, IN, OUT, Flags, Rows, both, count, flags_of
from interlock.planners.protocol import Rejected
from interlock.schema.cloud import Host

KEPT: Final = 128
"""Fits of a zone that are kept. Too few: each decision makes one anew; too many: a byte per host each."""
BOOKS: Final = 64
"""Accounts whose words a fit keeps. Too few: they are found anew; too many: memory, for words that nobody asks for."""
PAGES: Final = 1_024
"""Rows of which words are kept, for one account; likewise."""

Said = tuple[Host, str | None, Rejected]
"""The record of a host, why it is to be avoided, and what was said of it then."""


class Kind(NamedTuple):
    """A kind of demand."""

    terms: Terms
    size: Size
    drivers: tuple[tuple[str, str], ...] = ()
    """Those that cannot, and why: for the words."""
    vacant: bool = False
    """Whether nothing else may be there."""


class Fit:
    """See the header. One per zone and kind."""

    def __init__(self, rows: HostRows, kind: Kind) -> None:
        self._rows, self._kind = rows, kind
        self._labelled = rows.marked(kind.terms)
        self.holdings = rows.holdings(kind.size)
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

    def vacant(self) -> Kind:
        """The same kind, where nothing else may be there."""
        return self._kind._replace(vacant=True)

    def in_pods(self, pod_ids: Collection[str]) -> Kind:
        """The same kind, in one of the pods."""
        terms = self._kind.terms
        pods = frozenset(pod_ids) if terms.pods is None else terms.pods.intersection(pod_ids)
        return self._kind._replace(terms=terms._replace(pods=pods))

    def book(self, account_id: str) -> dict[int, Said]:
        """What was said of rows to an account."""
        book = self._books.get(account_id)
        if book is None or len(book) > PAGES:
            if len(self._books) >= BOOKS:
                self._books.clear()
            book = self._books[account_id] = {}
        return book
