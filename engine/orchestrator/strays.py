"""Guests that should not be where they are, as far as is known here: logged once, and what is to become of them.

Held in memory only, so that the same report again is not logged again, and another setting finds them. What there is in
truth is asked of the hosts (`Engine.strays`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from interlock.engine.core.operations.strays import QUARANTINE, REPORT
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.inventory import Inventory
from interlock.schema.cloud import Host
from interlock.schema.reports import Power
from interlock.schema.requests import EvictGuest
from interlock.schema.settings import UNKNOWN_DOMAIN, SettingScope


class Strays:
    """One per engine."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._known: dict[str, dict[str, Power]] = {}

    def __iter__(self) -> Iterator[tuple[str, str, Power]]:
        """Guest, host, power."""
        return iter([(guest, host, power) for guest, seen in self._known.items() for host, power in seen.items()])

    def on(self, host: str) -> list[str]:
        """Those that are on a host."""
        return [guest for guest, seen in self._known.items() if host in seen]

    def found(self, guest: str, host: str, power: Power, why: str) -> None:
        """There is one."""
        if self._known.setdefault(guest, {}).get(host) is not power:
            log.say("warning", "a guest should not be there", guest=guest, host=host, power=power.value, why=why)
        self._known[guest][host] = power

    def gone(self, guest: str, hosts: Iterable[str]) -> None:
        """It is not there, or is meant to be."""
        for host in hosts if guest in self._known else ():
            self._known[guest].pop(host, None)
        if not self._known.get(guest, True):
            del self._known[guest]

    def stranger(self, guest: str, host: str, power: Power) -> list[EvictGuest]:
        """A host has said this of a guest that is no VM of ours; what to ask because of it."""
        if power is Power.ABSENT:
            self.gone(guest, [host])
            return []
        self.found(guest, host, power, "it is no VM of this database")
        way = self._way(host)
        halted = way == QUARANTINE and power is not Power.ON
        return [] if way == REPORT or halted else [EvictGuest(guest, host)]

    def _way(self, host_id: str) -> str:
        host = self._inventory.find(Host, host_id)
        if host is None:
            return REPORT
        where = ((SettingScope.CLUSTER, host.cluster_id), (SettingScope.ZONE, host.zone_id))
        return self._inventory.setting(UNKNOWN_DOMAIN, *where)
