"""An index of hosts: which may do for a demand, without a look at each. The inventory's shortlists come from it.

For each zone, hosts are rows in the order of their ids (`rows.py`). Which of them fit a kind of demand is kept from
one decision to the next (`fits.py`); what one demand asks for beyond that (choices, avoid sets, strict affinity) names
few hosts, which are taken out of a copy.

Promises: a shortlist has exactly the hosts of the demand's zone that have all its tags and the room for what it would
hold there (by the host's ratio or its own), that its choices, avoid sets and strict affinity allow, and whose labels
are as asked; which they are stays as it was when it was made. `replace` costs microseconds, and every decision pays it
twice. Never decides: planners ask each host again. Not for changes of anything but the used columns: those need `load`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator

from interlock.engine.orchestrator.fits import KEPT, Fit, Kind, Said, kind_of
from interlock.engine.orchestrator.roomiest import END, ROW
from interlock.engine.orchestrator.rows import HostRows, Label, Labels, Terms, is_vacant, owners
from interlock.engine.orchestrator.slices import AT, BITS, IN, OUT, Flags, flagged, within, without
from interlock.planners.protocol import Demand, Rejected
from interlock.planners.rules import how_many
from interlock.schema.cloud import Host

__all__ = ["ANY", "HostIndex", "HostShortlist", "Label", "Terms", "owners"]

ANY = Terms()
FEW = 16
"""So many hosts are sorted rather than looked up in an order that is kept. Only speed follows from it."""


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
        self._zones = {zone_id: _Zone(HostRows(known, labels)) for zone_id, known in zones.items()}

    def replace(self, host: Host) -> None:
        """What is used of it, or who is there, has changed."""
        self._zones[host.zone_id].rows.replace(host)

    def forget_words(self) -> None:
        """Who is on the hosts is not known any more: nothing that was said of them is said again unasked."""
        for zone in self._zones.values():
            zone.forget_words()

    def shortlist(self, demand: Demand, terms: Terms = ANY) -> HostShortlist:
        """The hosts that may do.

        Args:
            demand: what for.
            terms: what their labels must be, beside what the demand says.
        """
        zone = self._zones.get(demand.zone_id) or _Zone(HostRows([], _no_labels))
        return HostShortlist(zone, zone.fit(kind_of(demand, terms)), demand)


class _Zone:
    """The rows of one zone, and the fits that are kept."""

    def __init__(self, rows: HostRows) -> None:
        self.rows = rows
        self._fits: dict[Kind, Fit] = {}

    def fit(self, kind: Kind) -> Fit:
        """As it is now."""
        fit = self._fits.pop(kind, None)
        if fit is None:
            while len(self._fits) >= KEPT:
                del self._fits[next(iter(self._fits))]
            fit = Fit(self.rows, kind)
        self._fits[kind] = fit
        fit.follow()
        return fit

    def forget_words(self) -> None:
        """See `HostIndex`."""
        for fit in self._fits.values():
            fit.forget_words()

    def narrowed(self, demand: Demand) -> tuple[list[int], set[int] | None]:
        """The rows that the demand takes out, and the only ones that it leaves, if it says so."""
        rows, gone, only = self.rows, list[int](), None
        if demand.avoid_hosts:
            gone = rows.rows(demand.avoid_hosts)
        for named in _only(demand, rows):
            only = set(named) if only is None else only.intersection(named)
        return gone, only


def _only(demand: Demand, rows: HostRows) -> Iterator[Iterable[int]]:
    if demand.only_hosts is not None:
        yield rows.rows(demand.only_hosts)
    if demand.only_host is not None:
        yield rows.rows([demand.only_host])


class HostShortlist:
    """Implements `Shortlist`: a fit, without the rows in `gone`, and only those in `only` if that is not None."""

    def __init__(
        self,
        zone: _Zone,
        fit: Fit,
        demand: Demand,
        narrowed: tuple[list[int], set[int] | None] | None = None,
    ) -> None:
        self._zone, self._fit, self._demand = zone, fit, demand
        self._rows, self._hosts = zone.rows, zone.rows.hosts
        self._gone, self._only = zone.narrowed(demand) if narrowed is None else narrowed
        self._is_whole = narrowed is None
        self._fitting, self._number, self._at = fit.flags(), fit.count, fit.at
        self._known: tuple[Flags, int] | None = None

    def _members(self) -> tuple[Flags, int]:
        """Which rows, and how many."""
        if self._known is None:
            flags, number = self._fitting, self._number
            if self._only is not None:
                flags, number = within(flags, self._only)
            if self._gone:
                flags, gone = without(flags, self._gone)
                number -= gone
            self._known = flags, number
        return self._known

    def __iter__(self) -> Iterator[Host]:
        hosts = self._hosts
        return (hosts[row] for row in flagged(self._members()[0]))

    def __len__(self) -> int:
        return self._members()[1]

    def __contains__(self, host_id: object) -> bool:
        row = self._rows.number.get(host_id)
        return row is not None and self._members()[0][row >> BITS][row & AT] == IN

    def roomiest_first(self) -> Iterator[Host]:
        """See `Shortlist`."""
        flags, number = self._members()
        if number <= FEW or self._only is not None or self._is_stale or not all(map(all, self._fit.holdings)):
            yield from sorted(self, key=lambda host: (-how_many(host, self._demand), host.id))
            return
        order, fitting = self._fit.roomiest(), self._fitting
        keys, last = order.first(fitting)
        while True:
            rows = (key & ROW for key in keys)
            yield from (self._hosts[row] for row in rows if flags[row >> BITS][row & AT] == IN)
            if last == END:
                return
            keys, last = order.after(last, fitting)

    def in_pods(self, pod_ids: Collection[str]) -> HostShortlist:
        """See `Shortlist`."""
        rows = self._rows.rare(("pod", id) for id in pod_ids)
        if rows is None and not self._is_stale:
            return self._narrowed(self._zone.fit(self._fit.in_pods(pod_ids)), self._gone, self._only)
        if rows is None:
            rows = {row for row in flagged(self._members()[0]) if self._hosts[row].pod_id in pod_ids}
        return self._narrowed(self._fit, self._gone, rows if self._only is None else rows & self._only)

    def vacant(self) -> HostShortlist:
        """See `Shortlist`."""
        if self._is_stale:
            rows = {row for row in flagged(self._members()[0]) if is_vacant(self._hosts[row])}
            return self._narrowed(self._fit, self._gone, rows)
        return self._narrowed(self._zone.fit(self._fit.vacant()), self._gone, self._only)

    def without(self, host_ids: Iterable[str]) -> HostShortlist:
        """See `Shortlist`."""
        return self._narrowed(self._fit, [*self._gone, *self._rows.rows(list(host_ids))], self._only)

    def left_out(self) -> tuple[int, Iterator[Host]]:
        """See `Shortlist`."""
        flags, number = self._members()
        return len(self._hosts) - number, (self._hosts[row] for row in flagged(flags, OUT))

    def causes(self) -> list[tuple[str, int]]:
        """See `Shortlist`. By the figures of now, and for the demand as a whole."""
        found = self._fit.causes()
        lacking = sum(number for _, number in found)
        named = len(self._hosts) - len(self) - lacking
        return [*found, ("avoided or not chosen", named)]

    def told(self, tell: Callable[[Host], Rejected], most: int, but: Container[str]) -> list[Rejected]:
        """See `Shortlist`."""
        hosts, avoided, book = self._hosts, self._demand.avoid_hosts, self._book()
        found: list[Rejected] = []
        rows = flagged(self._members()[0], OUT)
        # Not by slices or filters: every decision tells of twenty.
        while len(found) < most and (row := next(rows, None)) is not None:
            host = hosts[row]
            if host.id not in but:
                cause, said = avoided.get(host.id), book.get(row)
                if said is None or said[0] is not host or said[1] != cause:
                    book[row] = said = host, cause, tell(host)
                found.append(said[2])
        return found

    def _book(self) -> dict[int, Said]:
        """What was said before, where the same would be said again: see `Shortlist.told`."""
        is_plain = self._is_whole and self._only is None and not self._demand.avoid_pods
        return self._fit.book(self._demand.account_id) if is_plain else {}

    @property
    def _is_stale(self) -> bool:
        """Whether hosts have changed since it was made."""
        return self._at != self._rows.changes

    def _narrowed(self, fit: Fit, gone: list[int], only: set[int] | None) -> HostShortlist:
        return HostShortlist(self._zone, fit, self._demand, (gone, only))
