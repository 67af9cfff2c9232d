"""Guests that should not be where they are: asked of the hosts now, and held against the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from interlock.drivers.protocol import Driver, Reporter
from interlock.engine.core.sightings import HOLDING, agrees
from interlock.engine.orchestrator import log
from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import Vm
from interlock.schema.reports import HostReport, Power

BATCH = 500
"""VMs read together. Too low: many reads; too high: memory."""


class Stray(msgspec.Struct, frozen=True, kw_only=True):
    """A guest that should not be there."""

    host_id: str
    guest_id: str
    """What its driver calls it: the id of its VM, if it is one's."""
    power: Power
    vm_name: str | None
    """None: it is no VM of this database."""
    why: str


async def strays(drivers: Mapping[str, Driver], store: Store) -> list[Stray]:
    """All there are on the hosts of drivers that report, by host and guest."""
    there = [
        (report.host_id, guest, power)
        for name, driver in drivers.items()
        if isinstance(driver, Reporter)
        for report in await _survey(name, driver)
        for guest, power in report.guests.items()
    ]
    vms = await _recorded(store, sorted({guest for _, guest, _ in there}))
    found = [(host, guest, power, vms.get(guest)) for host, guest, power in sorted(there)]
    return [
        Stray(host_id=host, guest_id=guest, power=power, vm_name=vm.name if vm else None, why=_why(vm))
        for host, guest, power, vm in found
        if vm is None or _differs(vm, host, power)
    ]


async def _survey(name: str, driver: Reporter) -> Sequence[HostReport]:
    try:
        return await driver.survey()
    except Exception as error:
        log.say("exception", "a driver cannot say what its hosts have: its bug", driver=name, error=str(error))
        return ()


def _differs(vm: Vm, host: str, power: Power) -> bool:
    moving = MACHINES["vm"].states[vm.state].stability is Stability.TRANSITIONAL
    expected_here = vm.state in HOLDING and vm.host_id == host
    return not moving and not expected_here and not agrees(vm.state, vm.host_id, host, power)


def _why(vm: Vm | None) -> str:
    if vm is None:
        return "it is no VM of this database"
    return f"VM {vm.name} is {vm.state}" + (f" on host {vm.host_id}" if vm.host_id else "")


async def _recorded(store: Store, guests: list[str]) -> dict[str, Vm]:
    found: dict[str, Vm] = {}
    for first in range(0, len(guests), BATCH):
        rows = await store.vms(queries.vms_of(guests[first : first + BATCH]))
        found.update({vm.id: vm for vm in rows})
    return found
