"""What hosts have told, in memory: which of it is news.

Promises: of two observations of one host the older loses, whenever it comes: by boot first, then by time. What was told
before in the same words is no news. Costs nothing but memory: a word for each guest of a host that has reported.

What is known of a guest is what was last told, or what our own operation has just made of it: so a report that shows
what we did ourselves is no news either. It is no record of anything: `forget` a host, and all it says is news again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from interlock.schema.records import Vm
from interlock.schema.reports import GuestEvent, HostReport, Observation, Power

Mark = tuple[int, int]
News = Mapping[str, Power]
"""By guest."""


class Hearsay:
    """One per engine."""

    def __init__(self) -> None:
        self._guests: dict[str, dict[str, Power]] = {}
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
        known = self._guests.get(report.host_id, {})
        newer = self._newer_events(report)
        told = {guest: power for guest, power in report.guests.items() if guest not in newer}
        gone = {guest: Power.ABSENT for guest in known if guest not in report.guests and guest not in newer}
        news = {guest: power for guest, power in told.items() if known.get(guest) is not power} | gone
        self._guests[report.host_id] = told | {guest: known[guest] for guest in newer if guest in known}
        return news

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
        events[guest] = event.mark
        if host not in self._guests:
            return True
        known = self._guests[host].get(guest, Power.ABSENT)
        self._put(host, guest, event.power)
        return known is not event.power

    def made(self, vm: Vm) -> None:
        """Our own operation has ended like this: a report of just that is no news."""
        for host in filter(None, (vm.host_id, vm.last_host_id)):
            if host in self._guests:
                here = vm.state == "Running" and host == vm.host_id
                self._put(host, vm.id, Power.ON if here else Power.ABSENT)

    def _put(self, host_id: str, guest_id: str, power: Power) -> None:
        if power is Power.ABSENT:
            self._guests[host_id].pop(guest_id, None)
        else:
            self._guests[host_id][guest_id] = power

    def unsay(self, host_id: str, guest_id: str) -> None:
        """What was told of this guest is news again when it is told again."""
        self._guests.get(host_id, {}).pop(guest_id, None)

    def forget(self, host_ids: Iterable[str]) -> None:
        """All they tell is news again; what is old stays old."""
        for host_id in host_ids:
            self._guests.pop(host_id, None)
