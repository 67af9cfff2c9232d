"""What hosts have told, in memory: which of it is news.

Promises: of two observations of one host the older loses, whenever it comes: by boot first, then by time (of guests
that told by events alone, the last `KEPT` of each host are known so). What was told before in the same words is no
news. Costs nothing but memory: eight bytes for each guest of a host that has reported (words.py).

What is known of a guest is what was last told, or what our own operation has just made of it: so a report that shows
what we did ourselves is no news either. It is no record of anything: `forget` a host, and all it says is news again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from interlock.engine.orchestrator.words import Words
from interlock.schema.records import Vm
from interlock.schema.reports import GuestEvent, HostReport, Observation, Power

Mark = tuple[int, int]
KEPT = 1000
"""Guests of a host whose last event is known to be newer than its last report. Too low: old events that come late cost
a look; too high: memory, on hosts that never report as a whole."""


class News(msgspec.Struct, frozen=True):
    """What is news in a report."""

    guests: Mapping[str, Power]
    """Of those that are there."""
    some_gone: bool
    """Whether there were others, that are not there any more: who, the records know."""


class Hearsay:
    """One per engine."""

    def __init__(self) -> None:
        self._guests: dict[str, Words] = {}
        self._hosts: dict[str, Mark] = {}
        """The newest observation of each host as a whole."""
        self._events: dict[str, dict[str, Mark]] = {}
        """Of guests, where they are newer than that."""

    def knows(self, host_id: str) -> bool:
        """Whether the host has reported all it has, since it was forgotten."""
        return host_id in self._guests

    def is_old(self, told: Observation) -> bool:
        """Whether something newer was told of the host as a whole; if not, this is the newest now."""
        if told.mark < self._hosts.get(told.host_id, told.mark):
            return True
        self._hosts[told.host_id] = told.mark
        return False

    def report(self, report: HostReport) -> News:
        """Take a report that is not old; what is news in it. All of it, from a host that was not known."""
        known = self._guests.get(report.host_id, Words({}))
        newer = self._newer_events(report)
        told = {guest: power for guest, power in report.guests.items() if guest not in newer}
        news = {guest: power for guest, power in told.items() if known.get(guest) is not power}
        some_gone = known.has_others(told.keys() | newer)
        self._guests[report.host_id] = Words(told | {guest: known.get(guest) for guest in newer})
        return News(news, some_gone)

    def _newer_events(self, report: HostReport) -> frozenset[str]:
        events = self._events.pop(report.host_id, {})
        newer = {guest: mark for guest, mark in events.items() if mark > report.mark}
        if newer:
            self._events[report.host_id] = newer
        return frozenset(newer)

    def event(self, event: GuestEvent) -> bool:
        """Take an event; whether it is news."""
        host, guest = event.host_id, event.guest_id
        events = self._events.setdefault(host, {})
        newest = max(self._hosts.get(host, event.mark), events.get(guest, event.mark))
        if event.mark < newest:
            return False
        events.pop(guest, None)  # to be the last to leave again
        events[guest] = event.mark
        if len(events) > KEPT:
            del events[next(iter(events))]
        if host not in self._guests:
            return True
        known = self._guests[host].get(guest)
        self._guests[host].put(guest, event.power)
        return known is not event.power

    def made(self, vm: Vm) -> None:
        """Our own operation has ended like this: a report of just that is no news."""
        for host in filter(None, (vm.host_id, vm.last_host_id)):
            if host in self._guests:
                here = vm.state == "Running" and host == vm.host_id
                self._guests[host].put(vm.id, Power.ON if here else Power.ABSENT)

    def unsay(self, host_id: str, guest_id: str) -> None:
        """What was told of this guest is news again when it is told again."""
        if host_id in self._guests:
            self._guests[host_id].put(guest_id, Power.ABSENT)

    def forget(self, host_ids: Iterable[str]) -> None:
        """All they tell is news again; what is old stays old."""
        for host_id in host_ids:
            self._guests.pop(host_id, None)
