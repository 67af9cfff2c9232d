"""Disks and NICs given to, and taken from, guests that run.

A guest whose firmware is counting its devices may hang when one appears: it is given none in its first seconds.

Promises: what is plugged already, or is not there, is Done. To unplug needs the guest's help: it is asked until it has
let go or `unplug_within_s` is over, and then that is refused as transient: the device is still there. A guest that is
booting does not hear the first time, so it is asked again.
"""

from __future__ import annotations

import asyncio
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from functools import partial

from interlock.drivers.libvirt import filters
from interlock.drivers.libvirt.boundary import Connection, lib
from interlock.drivers.libvirt.domain_xml import devices_in, disk_element, nic_element
from interlock.drivers.libvirt.guests import fenced, found_in, live_tree, running, until
from interlock.drivers.libvirt.metadata import find
from interlock.drivers.libvirt.nics import require_ready, shape_of
from interlock.drivers.libvirt.places import Places, Site
from interlock.drivers.libvirt.refusals import DONE, refused
from interlock.drivers.libvirt.seal import Seal
from interlock.drivers.libvirt.starting import disk_shape
from interlock.drivers.libvirt.threads import in_thread
from interlock.schema.commands import (
    Command,
    Outcome,
    PlugNic,
    PlugVolume,
    Refusal,
    Scope,
    UnplugNic,
    UnplugVolume,
)
from interlock.schema.reports import Power


async def plug_nic(places: Places, command: PlugNic, seal: Seal) -> Outcome:
    """Give it to the guest, filtered like the others."""
    site = places.site(command.at)
    guests = await in_thread(places.registry.guests)
    is_filtered = any(guest.rules is not None for guest in guests if (guest.vm, guest.host) == (command.vm_id, site.id))
    filter = filters.filter_name(command.vm_id) if is_filtered else None

    def plug(connection: Connection) -> None:
        domain = running(connection, command.vm_id, seal, site.id)
        require_ready(connection, places.options, (command.nic,), site.id)
        if command.nic.id not in devices_in(live_tree(domain), "interface"):
            element = nic_element(shape_of(places.options, command.nic, filter))
            domain.attachDeviceFlags(ET.tostring(element, encoding="unicode"), lib().VIR_DOMAIN_AFFECT_LIVE)

    await _settled(places, command.vm_id)
    await site.link.run(plug)
    return DONE


async def plug_volume(places: Places, command: PlugVolume, seal: Seal) -> Outcome:
    """Give it to the guest."""
    site = places.site(command.at)

    def plug(connection: Connection) -> None:
        domain = running(connection, command.vm_id, seal, site.id)
        shape = disk_shape(connection, places, command.volume)
        if command.volume.id not in devices_in(live_tree(domain), "disk"):
            text = ET.tostring(disk_element(shape), encoding="unicode")
            domain.attachDeviceFlags(text, lib().VIR_DOMAIN_AFFECT_LIVE)

    await _settled(places, command.vm_id)
    await site.link.run(plug)
    return DONE


async def _settled(places: Places, vm_id: str) -> None:
    """Wait until its firmware has counted its devices."""
    if vm_id in places.booted:
        await asyncio.sleep(max(0.0, places.booted[vm_id] + places.options.plug_after_s - time.monotonic()))


async def unplug_nic(places: Places, command: UnplugNic, seal: Seal) -> Outcome:
    """Take it from the guest; it stays ready on the host."""
    return await _unplug(places, command, seal, "interface", command.nic_id)


async def unplug_volume(places: Places, command: UnplugVolume, seal: Seal) -> Outcome:
    """Take it from the guest; it stays in its pool."""
    return await _unplug(places, command, seal, "disk", command.volume_id)


async def _unplug(places: Places, command: Command, seal: Seal, tag: str, id: str) -> Outcome:
    if command.at not in places.hosts:
        return DONE
    site, within = places.site(command.at), places.options.unplug_within_s
    await site.link.run(partial(_require_current, command=command, seal=seal, host=site.id))
    if not await until(partial(_gone, site, command, tag, id), within, wanted=True):
        reason = f"the guest of VM {command.vm_id} did not let go of {command.subject} within {within:g} s; try again"
        raise refused(Scope.VM, reason, Refusal.TRANSIENT)
    return DONE


def _require_current(connection: Connection, command: Command, seal: Seal, host: str) -> None:
    fenced(connection, command.vm_id, seal, host)


async def _gone(site: Site, command: Command, tag: str, id: str) -> bool:
    """Whether the guest is without it now; if not, it is asked to let go."""
    return await site.link.run(partial(_ask, vm_id=command.vm_id, tag=tag, id=id))


def _ask(connection: Connection, vm_id: str, tag: str, id: str) -> bool:
    domain = find(connection, vm_id)
    if domain is None or found_in(domain).power is Power.OFF:
        return True
    device = devices_in(live_tree(domain), tag).get(id)
    if device is None:
        return True
    with suppress(lib().libvirtError):  # it is being unplugged already, or has gone meanwhile: the next look tells
        domain.detachDeviceFlags(ET.tostring(device, encoding="unicode"), lib().VIR_DOMAIN_AFFECT_LIVE)
    return id not in devices_in(live_tree(domain), tag)
