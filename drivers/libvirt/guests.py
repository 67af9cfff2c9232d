"""Guests on hosts: looked for, stopped, rebooted, halted. How one is started is in starting.py.

Promises: each is idempotent by itself, but a reboot. A domain whose metadata knows a higher fence than the command's is
not touched; one that is touched knows the command's from then on. A gentle stop asks once and waits; a guest that does
not heed it in time is left running, and that is refused as permanent: force is another command.
"""

from __future__ import annotations

import asyncio
import time
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from functools import partial

from interlock.drivers.libvirt import filters
from interlock.drivers.libvirt.boundary import Connection, Domain, lib
from interlock.drivers.libvirt.metadata import Mark, find, mark_of, write
from interlock.drivers.libvirt.places import Places, Site
from interlock.drivers.libvirt.pools import delete_volume_named, open_pool
from interlock.drivers.libvirt.refusals import DONE, Refuse, refused
from interlock.drivers.libvirt.seal import Seal
from interlock.drivers.libvirt.threads import in_thread
from interlock.schema.commands import (
    Done,
    LookForDomain,
    Outcome,
    QuarantineDomain,
    RebootDomain,
    Refusal,
    Scope,
    StopDomain,
)
from interlock.schema.reports import MIGRATED, Found, Power

POLL = 0.25
"""Seconds between two looks at a guest that is shutting down. Too short: libvirt is kept busy; too long: a stop is
slower than it need be."""


def live_tree(domain: Domain) -> ET.Element:
    """The domain's XML, as it runs."""
    return ET.fromstring(domain.XMLDesc(0))


def fenced(connection: Connection, vm_id: str, seal: Seal, host: str) -> Domain | None:
    """The VM's domain, which knows the command's fence from now on; None: there is none.

    Raises:
        Refuse: the domain knows a higher one.
    """
    domain = find(connection, vm_id)
    if domain is None:
        return None
    mark = mark_of(domain)
    if mark is None:
        return domain  # a stranger: nothing of ours is written into it
    require_current(mark, seal)
    if mark.fence < seal.fence:
        write(domain, Mark(mark.vm, host, seal.token, seal.fence))
    return domain


def require_current(mark: Mark, seal: Seal) -> None:
    """See that the command is not late.

    Raises:
        Refuse: it is.
    """
    if mark.fence > seal.fence:
        raise refused(
            Scope.VM, f"fence {seal.fence} of VM {mark.vm} is too low: its domain on {mark.host} knows {mark.fence}"
        )


# Looking

OFF_REASONS = {
    "SHUTOFF_SHUTDOWN": "shut down from inside",
    "SHUTOFF_DESTROYED": "destroyed from outside",
    "SHUTOFF_CRASHED": "crashed",
    "SHUTOFF_MIGRATED": MIGRATED,
    "SHUTOFF_SAVED": "saved",
    "SHUTOFF_FAILED": "its hypervisor failed",
    "SHUTOFF_DAEMON": "found off by libvirtd",
}
PAUSED_REASONS = {"PAUSED_IOERROR": "disk error", "PAUSED_WATCHDOG": "watchdog", "PAUSED_CRASHED": "crashed"}


def found_in(domain: Domain | None) -> Found:
    """What there is of a guest."""
    if domain is None:
        return Found(Power.ABSENT)
    state, reason = domain.state(0)[:2]
    power = power_of(state)
    if power is Power.OFF:
        return Found(power, _word(OFF_REASONS, reason))
    return Found(power, _word(PAUSED_REASONS, reason) if power is Power.PAUSED else "")


def power_of(state: int) -> Power:
    """libvirt's state of a domain as ours. What it does not know may run, and so counts as on."""
    if state in (lib().VIR_DOMAIN_SHUTOFF, lib().VIR_DOMAIN_CRASHED):
        return Power.OFF
    if state in (lib().VIR_DOMAIN_PAUSED, lib().VIR_DOMAIN_PMSUSPENDED):
        return Power.PAUSED
    return Power.ON


def _word(words: dict[str, str], reason: int) -> str:
    return next((word for name, word in words.items() if getattr(lib(), f"VIR_DOMAIN_{name}") == reason), "")


async def look_for_domain(places: Places, command: LookForDomain, seal: Seal) -> Outcome:
    """Say what there is."""
    site = places.site(command.at)

    def look(connection: Connection) -> Found:
        return found_in(fenced(connection, command.vm_id, seal, site.id))

    return Done(found=await site.link.run(look))


async def quarantine_domain(places: Places, command: QuarantineDomain, seal: Seal) -> Outcome:
    """Halt it."""
    site = places.site(command.at)

    def halt(connection: Connection) -> None:
        domain = fenced(connection, command.vm_id, seal, site.id)
        if domain is not None and found_in(domain).power is Power.ON:
            domain.suspend()

    await site.link.run(halt)
    return DONE


# Stopping


async def stop_domain(places: Places, command: StopDomain, seal: Seal) -> Outcome:
    """Stop it, and remove what is left of it on this host: its domain, its filter, its config drive."""
    if command.at not in places.hosts:
        return DONE  # nothing was ever started there
    site = places.site(command.at)
    if not command.forced and not command.unless_up:
        await _shut_down(places, site, command, seal)
    await site.link.run(partial(_remove, command=command, seal=seal))
    await site.link.run(partial(_clean, places=places, vm_id=command.vm_id, host=site.id))
    await forget(places, command.vm_id, site.id)
    return DONE


async def forget(places: Places, vm_id: str, host: str) -> None:
    """It is in no group any more: who names its groups is told."""
    was = {guest.vm: guest for guest in await in_thread(places.registry.guests) if guest.host == host}.get(vm_id)
    if was is not None:
        await in_thread(partial(places.registry.forget_guest, vm_id, host))
        await places.refilter(frozenset(group.group for group in was.rules or ()), but=vm_id)


async def _shut_down(places: Places, site: Site, command: StopDomain, seal: Seal) -> None:
    """Ask it, and wait.

    Raises:
        Refuse: it did not heed that in time.
    """

    def ask(connection: Connection) -> bool:
        domain = fenced(connection, command.vm_id, seal, site.id)
        if domain is None or found_in(domain).power is not Power.ON:
            return False
        domain.shutdownFlags(0)
        return True

    def is_up(connection: Connection) -> bool:
        return found_in(find(connection, command.vm_id)).power.is_up

    within = places.options.shutdown_within_s
    if await site.link.run(ask) and not await until(lambda: site.link.run(is_up), within, wanted=False):
        reason = f"VM {command.vm_id} did not shut down within {within:g} s on host {site.id}; stop it forced"
        raise refused(Scope.VM, reason, Refusal.PERMANENT)


async def until(ask: Callable[[], Awaitable[bool]], within: float, *, wanted: bool) -> bool:
    """Ask again and again; whether the answer was as wanted in time."""
    end = time.monotonic() + within
    while (await ask()) is not wanted:
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(POLL)
    return True


def _remove(connection: Connection, command: StopDomain, seal: Seal) -> None:
    domain = fenced(connection, command.vm_id, seal, command.at)
    if domain is None:
        return
    if command.unless_up and found_in(domain).power.is_up:
        raise refused(
            Scope.VM, f"VM {command.vm_id} runs on host {command.at}, and is only to be removed if it does not"
        )
    _ignoring("OPERATION_INVALID", lambda: domain.destroyFlags(0) if domain.isActive() else None)
    _undefine(connection, domain)


def _undefine(connection: Connection, domain: Domain) -> None:
    _ignoring("NO_DOMAIN", lambda: domain.undefineFlags(_undefining(connection)))


def _undefining(connection: Connection) -> int:
    if connection.getType() == "TEST":
        return 0
    flags = ("MANAGED_SAVE", "SNAPSHOTS_METADATA", "NVRAM", "CHECKPOINTS_METADATA")
    return sum(int(getattr(lib(), f"VIR_DOMAIN_UNDEFINE_{flag}")) for flag in flags)


def _ignoring(code: str, work: Callable[[], object]) -> None:
    """It has ended by itself meanwhile; or was transient, and is gone with its end."""
    try:
        work()
    except lib().libvirtError as error:
        if error.get_error_code() != getattr(lib(), f"VIR_ERR_{code}"):
            raise


def leave_nothing(connection: Connection, places: Places, vm_id: str, host: str) -> bool:
    """Remove what there is of a guest that is off; whether it was."""
    domain = find(connection, vm_id)
    if domain is not None:
        if found_in(domain).power.is_up:
            return False
        _undefine(connection, domain)
    _clean(connection, places, vm_id, host)
    return True


def _clean(connection: Connection, places: Places, vm_id: str, host: str) -> None:
    """What belongs to a guest on its host besides."""
    if connection.getType() == "TEST":
        return
    filters.remove(connection, vm_id)
    for options in places.pools_of(host):
        try:
            pool = open_pool(connection, options)
        except Refuse:
            continue  # it is not there, and so holds nothing
        delete_volume_named(pool, config_name(vm_id))


def config_name(vm_id: str) -> str:
    """What a guest's config drive is called in its pool."""
    return f"interlock-{vm_id}-config.iso"


# Rebooting


async def reboot_domain(places: Places, command: RebootDomain, seal: Seal) -> Outcome:
    """Restart it where it runs: asked first, if there is time for that, then reset."""
    site, within = places.site(command.at), places.options.shutdown_within_s
    heard = places.reboots.setdefault(command.vm_id, asyncio.Event())
    heard.clear()
    await site.link.run(partial(_reboot, command=command, seal=seal, gentle=within > 0))
    if within > 0:
        try:
            async with asyncio.timeout(within):
                await heard.wait()
        except TimeoutError:
            await site.link.run(partial(_reboot, command=command, seal=seal, gentle=False))
    places.reboots.pop(command.vm_id, None)
    return DONE


def _reboot(connection: Connection, command: RebootDomain, seal: Seal, gentle: bool) -> None:
    domain = running(connection, command.vm_id, seal, command.at)
    if gentle:
        domain.reboot(lib().VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)
    else:
        domain.reset(0)


def running(connection: Connection, vm_id: str, seal: Seal, host: str) -> Domain:
    """The VM's domain, which runs.

    Raises:
        Refuse: it does not.
    """
    domain = fenced(connection, vm_id, seal, host)
    if domain is None or found_in(domain).power is not Power.ON:
        raise refused(Scope.VM, f"VM {vm_id} does not run on host {host}; start it there first")
    return domain
