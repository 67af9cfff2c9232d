"""How a guest comes to run: what must be there, its shape, its filter, its config drive, its domain.

In this order, so that each step can be undone or done again whatever the others have done:

    what is needed is looked at    the guest itself, its volumes, its NICs, its kind of machine
    the registry                   who is in which group, before anybody is let in by it
    the filter                     before the domain, which names it
    the config drive               a small ISO in the pool of the root disk, or the first pool of files
    the domain                     defined, then started; it is there, off, if the second fails

Promises: a guest that runs there is left alone, and Done; one that is halted is refused. Starting again begins anew: a
domain of the VM that is off is defined over. Files are named by options only, never by a request.

Races: libvirt tells that the guest has started before `create` returns, or after; nothing here waits for that.
"""

from __future__ import annotations

import io
from functools import partial
from typing import Literal, cast

from interlock.drivers.libvirt import filters, seed
from interlock.drivers.libvirt.boundary import Connection
from interlock.drivers.libvirt.domain_xml import domain_xml
from interlock.drivers.libvirt.guests import config_name, fenced, found_in, leave_nothing, require_current
from interlock.drivers.libvirt.images import bring, upload
from interlock.drivers.libvirt.link import Trouble
from interlock.drivers.libvirt.metadata import Mark, find, mark_of, uuid_of
from interlock.drivers.libvirt.nics import require_ready, shape_of
from interlock.drivers.libvirt.options import BootOptions, PoolOptions
from interlock.drivers.libvirt.places import Places, Site
from interlock.drivers.libvirt.pools import (
    FILES,
    delete_volume_named,
    find_volume,
    format_of,
    kind_of_pool,
    open_pool,
    volume_xml,
)
from interlock.drivers.libvirt.probe import kind_of_guests
from interlock.drivers.libvirt.refusals import DONE, Refuse, refused
from interlock.drivers.libvirt.registry import Guest
from interlock.drivers.libvirt.seal import Seal
from interlock.drivers.libvirt.shape import CONFIG_TARGET, DiskShape, DomainShape, KernelShape, alias_of, target_of
from interlock.drivers.libvirt.threads import in_thread
from interlock.schema.commands import ApplyRules, Outcome, Refusal, Scope, StartDomain, VolumeSpec
from interlock.schema.reports import Power

BOOT, FIRMWARE = "libvirt.boot", "libvirt.firmware"
"""The details of a VM or a template that mean something here."""
CONFIG, ISO = "config", "iso"
"""Ids of the drives that are no volumes."""


async def start_domain(places: Places, command: StartDomain, seal: Seal) -> Outcome:
    """Define the guest, with all that is plugged into it, and run it."""
    site = places.site(command.at)
    if await site.link.run(partial(_runs, command=command, seal=seal)):
        return DONE
    await _require_nowhere_else(places, command)
    async with site.looking:
        site.kind = site.kind or await kind_of_guests(places, site)
    groups = frozenset(group.group for group in command.rules or ())
    guest = Guest(command.vm_id, site.id, command.rules, _ips(command))
    await in_thread(partial(places.registry.put_guest, guest))
    guests = await in_thread(places.registry.guests)
    job = partial(_start, places=places, site=site, command=command, seal=seal, members=filters.members_of(guests))
    try:
        await site.link.run(job)
    except (Trouble, Refuse) as error:
        raise await _undone(places, site, command, error) from error
    await refilter(places, groups, but=command.vm_id)
    return DONE


async def _undone(places: Places, site: Site, command: StartDomain, error: Trouble | Refuse) -> Exception:
    """Take away what a start that failed has left, so that its refusal is true; where nobody knows, it is unknown."""
    if isinstance(error, Trouble) and not error.answered:
        return error
    try:
        is_off = await site.link.run(partial(leave_nothing, places=places, vm_id=command.vm_id, host=site.id))
    except Trouble as another:
        return Trouble(Refusal.UNKNOWN, f"{error}; and then {another.reason}")
    if not is_off:
        return Trouble(Refusal.UNKNOWN, f"{error}; but it runs")
    await in_thread(partial(places.registry.forget_guest, command.vm_id, site.id))
    if isinstance(error, Refuse):
        return error
    kind = Refusal.TRANSIENT if error.kind is Refusal.UNKNOWN else error.kind
    return Trouble(kind, error.reason, answered=True, undone=True)


def _ips(command: StartDomain) -> tuple[str, ...]:
    return tuple(ip for nic in command.nics for ip in (nic.ip_address, nic.ip6_address) if ip)


async def _require_nowhere_else(places: Places, command: StartDomain) -> None:
    """See that no other host has it, as far as this driver has started it there.

    Raises:
        Refuse: one has.
    """
    for guest in await in_thread(places.registry.guests):
        if guest.vm != command.vm_id or guest.host == command.at or guest.host not in places.sites:
            continue
        domain = await places.sites[guest.host].link.run(lambda connection: found_in(find(connection, command.vm_id)))
        if domain.power is not Power.ABSENT:
            raise refused(Scope.VM, f"VM {command.vm_id} is {domain} on host {guest.host}; stop it there first")


# Jobs


def _runs(connection: Connection, command: StartDomain, seal: Seal) -> bool:
    domain = find(connection, command.vm_id)
    if domain is None:
        return False
    if (mark := mark_of(domain)) is not None:
        require_current(mark, seal)
    power = found_in(domain).power
    if power is Power.PAUSED:
        raise refused(Scope.VM, f"VM {command.vm_id} is halted on host {command.at}; stop it there first")
    return power is Power.ON


def _start(
    connection: Connection,
    places: Places,
    site: Site,
    command: StartDomain,
    seal: Seal,
    members: filters.Members,
) -> None:
    drives: list[DiskShape] = []
    if site.kind != "test":
        require_ready(connection, places.options, command.nics, site.id)
        drives = [disk_shape(connection, places, volume, order=2 + volume.device) for volume in command.volumes]
        if command.iso is not None:
            drives.append(_iso(connection, places, command, command.iso))
        if command.rules is not None:
            has_ip6 = any(nic.ip6_address for nic in command.nics)
            filters.define(connection, filters.filter_xml(command.vm_id, command.rules, members, has_ip6))
        drives.append(_config_drive(connection, places, command))
    domain = connection.defineXMLFlags(domain_xml(_shape(places, site, command, seal, tuple(drives))), 0)
    domain.createWithFlags(0)


def _shape(places: Places, site: Site, command: StartDomain, seal: Seal, disks: tuple[DiskShape, ...]) -> DomainShape:
    options, details = places.options, command.details
    filter = filters.filter_name(command.vm_id) if command.rules is not None else None
    folder = options.console_folder
    return DomainShape(
        mark=Mark(command.vm_id, site.id, seal.token, seal.fence),
        name=command.instance_name,
        uuid=uuid_of(command.vm_id),
        title=command.name,
        cores=command.cpu_cores,
        memory_mib=command.memory_mib,
        kind=cast(Literal["kvm", "qemu", "test"], site.kind),
        uefi=_firmware(details.get(FIRMWARE, options.firmware)) == "uefi",
        kernel=_kernel(options.boots, details.get(BOOT, options.boot)),
        vnc=options.display == "vnc",
        console=None if folder is None else f"{folder}/{command.instance_name}.log",
        slots=options.hot_plug_slots,
        disks=disks,
        nics=() if site.kind == "test" else tuple(shape_of(options, nic, filter) for nic in command.nics),
    )


def _firmware(name: str) -> str:
    if name not in ("bios", "uefi"):
        raise refused(Scope.VM, f"detail {FIRMWARE} is bios or uefi, not {name!r}")
    return name


def _kernel(boots: dict[str, BootOptions], name: str | None) -> KernelShape | None:
    if name is None:
        return None
    if name not in boots:
        raise refused(Scope.VM, f"detail {BOOT} names {name!r}, which is not in [drivers.libvirt.boots]")
    return KernelShape(kernel=boots[name].kernel, initrd=boots[name].initrd, cmdline=boots[name].cmdline)


def disk_shape(connection: Connection, places: Places, spec: VolumeSpec, order: int | None = None) -> DiskShape:
    """A volume as a disk of a domain.

    Raises:
        Refuse: it is not in its pool.
    """
    _, options = places.pool(spec.pool_id)
    pool = open_pool(connection, options)
    volume = find_volume(pool, f"interlock-{spec.id}")
    if volume is None:
        raise refused(Scope.VM, f"volume {spec.id} is not in pool {spec.pool_id}; create it there first")
    is_rbd = kind_of_pool(pool) == "rbd"
    return DiskShape(
        alias=alias_of(spec.id),
        target=target_of(spec.device),
        pool=options.pool,
        volume=volume.name(),
        format=format_of(volume),
        rbd=(f"{options.source}/{volume.name()}", options.server or "") if is_rbd else None,
        order=order,
    )


def _iso(connection: Connection, places: Places, command: StartDomain, id: str) -> DiskShape:
    """The ISO to boot from."""
    image = places.options.templates.get(id)
    if image is None:
        raise refused(Scope.VM, f"ISO {id} is none of libvirt's; say what it is in [drivers.libvirt.templates.{id}]")
    options = _pool_of_files(connection, places, command)
    with places.importing:
        volume = bring(connection, open_pool(connection, options), id, image, places.registry)
    return DiskShape(
        alias=alias_of(ISO),
        target="sda",
        pool=options.pool,
        volume=volume.name(),
        format="raw",
        cdrom=True,
        readonly=True,
        order=1,
    )


def _config_drive(connection: Connection, places: Places, command: StartDomain) -> DiskShape:
    """Made anew: nothing runs that could have it open."""
    image, name = seed.image(command), config_name(command.vm_id)
    options = _pool_of_files(connection, places, command)
    pool = open_pool(connection, options)
    delete_volume_named(pool, name)
    upload(connection, pool.createXML(volume_xml(name, len(image), "raw"), 0), io.BytesIO(image), len(image))
    return DiskShape(
        alias=alias_of(CONFIG), target=CONFIG_TARGET, pool=options.pool, volume=name, format="raw", readonly=True
    )


def _pool_of_files(connection: Connection, places: Places, command: StartDomain) -> PoolOptions:
    """Where files of the guest can lie: with its root disk if that pool has files."""
    own = [places.pool(volume.pool_id)[1] for volume in command.volumes]
    for options in (*own, *places.pools_of(command.at)):
        if kind_of_pool(open_pool(connection, options)) in FILES:
            return options
    raise refused(Scope.HOST, f"host {command.at} reaches no pool of files, which the config drive needs; add one")


# Groups


async def apply_rules(places: Places, command: ApplyRules, seal: Seal) -> Outcome:
    """Filter by these rules instead of those it had; also a guest that was in no group until now."""
    site = places.site(command.at)
    there = await site.link.run(lambda connection: fenced(connection, command.vm_id, seal, site.id) is not None)
    was = {guest.vm: guest for guest in await in_thread(places.registry.guests) if guest.host == site.id}
    if not there or command.vm_id not in was:
        raise refused(Scope.VM, f"VM {command.vm_id} has no guest on host {command.at}; start it there first")
    old = was[command.vm_id]
    if old.rules is None:
        raise refused(Scope.VM, f"VM {command.vm_id} was started in no security group; stop it and start it again")
    new = Guest(old.vm, old.host, command.rules, old.ips)
    await in_thread(partial(places.registry.put_guest, new))
    await _define(places, new)
    changed = {group.group for group in old.rules} ^ {group.group for group in command.rules}
    await refilter(places, frozenset(changed), but=command.vm_id)
    return DONE


async def refilter(places: Places, groups: frozenset[str], but: str) -> None:
    """The members of these groups have changed: have all guests that name one of them filtered anew.

    A host that cannot be reached is left out: its guests go on as they are filtered, and are told with the next change.
    """
    for guest in await in_thread(places.registry.guests) if groups else ():
        if guest.vm != but and guest.host in places.sites and filters.names(guest, groups):
            await _define(places, guest)


async def _define(places: Places, guest: Guest) -> None:
    members = filters.members_of(await in_thread(places.registry.guests))
    xml = filters.filter_xml(guest.vm, guest.rules or (), members, any(":" in ip for ip in guest.ips))
    await places.sites[guest.host].link.run(partial(filters.define, xml=xml))
