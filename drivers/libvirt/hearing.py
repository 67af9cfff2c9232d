"""What hosts tell: libvirt's events and domain lists as reports, for those who listen.

The VM of a domain stands in its metadata; of one that is gone it is known from before, or from the VMs that commands
were about, whose domains have UUIDs that follow from their ids. A domain that is nobody's is told as a stranger.

Promises: what is told of one host has rising times, whatever the clock does. Tells are made on the event loop. Events
are hints: one that cannot be told, because its domain is unknown and cannot be asked for, is left to the next survey.

Clocks: libvirt does not tell the host's own clock or boot; the times are this process's, and the epoch is always 0, so
that a host that has booted shows as lost and back.
"""

from __future__ import annotations

import asyncio
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from typing import Any

from interlock.drivers.libvirt.boundary import Connection, lib
from interlock.drivers.libvirt.guests import live_tree, power_of
from interlock.drivers.libvirt.link import Trouble
from interlock.drivers.libvirt.metadata import STRANGER, mark_in, uuid_of
from interlock.drivers.libvirt.places import Places, Site, missing
from interlock.drivers.protocol import Tell
from interlock.schema.reports import GuestEvent, HostBack, HostLost, HostReport, Power, Report

EPOCH = 0


class Hearing:
    """Of one driver."""

    def __init__(self) -> None:
        self.places: Places
        self._tells: list[Tell] = []
        self._vms: dict[str, str] = {}
        """Whose domain it is, by UUID."""
        self._last = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, tell: Tell) -> Callable[[], None]:
        """Tell somebody; until what this returns is called."""
        self._tells.append(tell)

        def stop() -> None:
            if tell in self._tells:
                self._tells.remove(tell)

        return stop

    def know(self, vm_id: str) -> None:
        """There may be a domain of this VM."""
        if vm_id:
            self._vms[uuid_of(vm_id)] = vm_id

    def of(self, host_id: str) -> Callable[..., None]:
        """What a host's link calls."""
        return partial(self._heard, host_id)

    def _heard(self, host_id: str, what: str, uuid: str = "", more: tuple[Any, ...] = ()) -> None:
        if what == "lost":
            self._tell(HostLost(**self._mark(host_id)))
        elif what == "back":
            self._tell(HostBack(**self._mark(host_id)))
            self._begin(self._report(host_id))
        elif what == "reboot":
            self._rebooted(self._vms.get(uuid, ""))
        else:
            self._changed(host_id, uuid, more[0])

    def _rebooted(self, vm_id: str) -> None:
        self.places.booted[vm_id] = time.monotonic()
        if (event := self.places.reboots.get(vm_id)) is not None:
            event.set()

    def _changed(self, host_id: str, uuid: str, event: int) -> None:
        power = _power_after(event)
        if event == lib().VIR_DOMAIN_EVENT_STARTED:
            self.places.booted[self._vms.get(uuid, "")] = time.monotonic()
        elif power in (Power.OFF, Power.ABSENT):
            self.places.booted.pop(self._vms.get(uuid, ""), None)
        if power is None or not self._tells:
            return
        if uuid in self._vms:
            self._tell(GuestEvent(**self._mark(host_id), guest_id=self._vms[uuid], power=power))
        else:
            self._begin(self._report(host_id))  # it also says whose it is

    def _mark(self, host_id: str) -> dict[str, Any]:
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return {"host_id": host_id, "epoch": EPOCH, "observed_at": self._last}

    def _tell(self, report: Report) -> None:
        for tell in list(self._tells):
            tell(report)

    # Surveys

    async def survey(self) -> list[HostReport]:
        """What all hosts have; those that do not answer are left out."""
        asked = [self._ask(site) for site in self.places.sites.values()]
        return [report for report in await asyncio.gather(*asked) if report is not None]

    async def _ask(self, site: Site) -> HostReport | None:
        mark = self._mark(site.id)  # before it is asked: what it says may be newer, never older
        try:
            found = await site.link.run(domains)
        except Trouble:
            return None
        self._vms |= {uuid: vm_id for uuid, vm_id, _ in found if not vm_id.startswith(STRANGER)}
        return HostReport(**mark, guests={vm_id: power for _, vm_id, power in found})

    async def _report(self, host_id: str) -> None:
        if (report := await self._ask(self.places.sites[host_id])) is not None:
            self._tell(report)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work, name="interlock-libvirt-report")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Tell nothing more."""
        self._tells.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def domains(connection: Connection) -> list[tuple[str, str, Power]]:
    """UUID, VM and power of each domain of a host."""
    found = []
    for domain in connection.listAllDomains(0):
        try:
            tree, state = live_tree(domain), domain.state(0)[0]
        except Exception as error:
            if missing(error, "DOMAIN"):
                continue  # it has gone since the list was made
            raise
        uuid = domain.UUIDString()
        found.append((uuid, _vm_in(tree, uuid), power_of(state)))
    return found


def _vm_in(tree: ET.Element, uuid: str) -> str:
    mark = mark_in(tree)
    return mark.vm if mark is not None else STRANGER + uuid


def _power_after(event: int) -> Power | None:
    """What a domain is after an event; None: the same as before."""
    powers = {
        "DEFINED": None,
        "UNDEFINED": Power.ABSENT,
        "STARTED": Power.ON,
        "SUSPENDED": Power.PAUSED,
        "RESUMED": Power.ON,
        "STOPPED": Power.OFF,
        "CRASHED": Power.OFF,
        "PMSUSPENDED": Power.PAUSED,
    }
    named = {int(getattr(lib(), f"VIR_DOMAIN_EVENT_{name}")): power for name, power in powers.items()}
    return named.get(event)
