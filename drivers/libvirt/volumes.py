"""Volumes in pools: made blank, as a copy of a template or as an overlay over it, resized, and deleted.

A volume is `interlock-` and its id: qcow2 in pools of files, raw elsewhere. How it was made is written down before
libvirt is asked, and that it is whole after: a volume that is there and was begun but never finished is a copy that
broke off, and is made anew. One that nobody has begun here is another worker's, and is left alone.

Promises: making what is there already is Done, and never touches its data; another make under the same id is refused.
A volume that a guest has plugged is resized through the guest, which learns of it. Nothing is ever made smaller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import msgspec

from interlock.drivers.libvirt import images
from interlock.drivers.libvirt.boundary import Connection, Pool, Volume, lib
from interlock.drivers.libvirt.domain_xml import devices_in
from interlock.drivers.libvirt.guests import live_tree
from interlock.drivers.libvirt.link import Trouble
from interlock.drivers.libvirt.metadata import find
from interlock.drivers.libvirt.options import PoolOptions
from interlock.drivers.libvirt.places import Places, Site
from interlock.drivers.libvirt.pools import (
    FILES,
    MIB,
    capacity_of,
    delete_volume_named,
    find_volume,
    format_of,
    kind_of_pool,
    open_pool,
    volume_xml,
)
from interlock.drivers.libvirt.refusals import DONE, refused
from interlock.drivers.libvirt.threads import in_thread
from interlock.schema.cloud import StoragePool
from interlock.schema.commands import CreateVolume, DeleteVolume, Outcome, ResizeVolume, Scope, VolumeSpec

LOOK = 1.0
"""Seconds between two looks at how far a copy is. Too short: libvirt is kept busy; too long: people see it stand."""


class Progress(NamedTuple):
    """How far a full copy is, in bytes of `total`, which is its size; the last one says all of it."""

    volume_id: str
    done: int
    total: int


Told = Callable[[Progress], None]


class Make(msgspec.Struct, frozen=True):
    """What a volume was made for and from."""

    vm: str
    size_mib: int
    template: str | None
    clone: str | None


def volume_name(id: str) -> str:
    """What it is called in its pool."""
    return f"interlock-{id}"


async def create_volume(places: Places, command: CreateVolume, told: Told) -> Outcome:
    """Make it, unless just this volume is there."""
    spec = command.volume
    pool, options = places.pool(command.at)
    _require_room(pool, spec.size_mib)
    site = places.reaching(pool)
    make = msgspec.json.encode(Make(command.vm_id, spec.size_mib, spec.template_id, spec.clone)).decode()
    known = await in_thread(partial(places.registry.volume, spec.id, pool.id))
    there = await site.link.run(partial(_is_there, options=options, name=volume_name(spec.id)))
    if there and (known is None or known[1]):
        _require_same(spec.id, pool.id, known, make)
        return DONE
    await in_thread(partial(places.registry.put_volume, spec.id, pool.id, make, False))
    await _made(places, site, options, spec, told)
    await in_thread(partial(places.registry.put_volume, spec.id, pool.id, make, True))
    return DONE


def _require_room(pool: StoragePool, size_mib: int) -> None:
    most = int(pool.size_mib * pool.overcommit)
    if size_mib > most:
        raise refused(Scope.POOL, f"pool {pool.id} has {most} MiB in all, {size_mib} needed")


def _require_same(id: str, pool: str, known: tuple[str, bool] | None, make: str) -> None:
    if known is not None and known[0] != make:
        raise refused(Scope.VM, f"volume {id} is in pool {pool} already, but made as {known[0]}; delete that one first")


def _is_there(connection: Connection, options: PoolOptions, name: str) -> bool:
    return find_volume(open_pool(connection, options), name) is not None


async def _made(places: Places, site: Site, options: PoolOptions, spec: VolumeSpec, told: Told) -> None:
    """Make it, and tell how far a full copy is."""
    within = places.options.copy_within_s
    work = partial(_make, places=places, options=options, spec=spec)
    if spec.clone != "full":
        return await site.link.run(work, within)
    watching = asyncio.create_task(_watch(site, options, spec, told), name=f"interlock-libvirt-copy {spec.id}")
    try:
        await site.link.run(work, within)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    told(Progress(spec.id, spec.size_mib * MIB, spec.size_mib * MIB))


async def _watch(site: Site, options: PoolOptions, spec: VolumeSpec, told: Told) -> None:
    while True:
        await asyncio.sleep(LOOK)
        with suppress(Trouble):  # the copy itself will say what is the matter
            if (progress := await site.link.run(partial(_progress, options=options, spec=spec))) is not None:
                told(progress)


# Jobs


def _make(connection: Connection, places: Places, options: PoolOptions, spec: VolumeSpec) -> None:
    """Whatever is there under this name broke off: it is begun anew."""
    pool, name, size = open_pool(connection, options), volume_name(spec.id), spec.size_mib * MIB
    delete_volume_named(pool, name)
    is_file = kind_of_pool(pool) in FILES
    format = "qcow2" if is_file else "raw"
    if spec.template_id is None:
        pool.createXML(volume_xml(name, size, format), 0)
        return
    template = _template(connection, pool, places, spec.template_id)
    size = max(size, capacity_of(template))
    if spec.clone == "linked":
        if not is_file:
            raise refused(
                Scope.VM, f"libvirt pool {options.pool} has no files, and a linked clone needs them; ask for a full one"
            )
        base = (template.path(), format_of(template))
        pool.createXML(volume_xml(name, size, format, base=base), 0)
    else:
        copy = pool.createXMLFrom(volume_xml(name, size, format), template, 0)
        if capacity_of(copy) < size:
            copy.resize(size, 0)


def _template(connection: Connection, pool: Pool, places: Places, id: str) -> Volume:
    image = places.options.templates.get(id)
    if image is None:
        raise refused(
            Scope.POOL, f"template {id} is none of libvirt's; say what it is in [drivers.libvirt.templates.{id}]"
        )
    with places.importing:
        return images.bring(connection, pool, id, image, places.registry)


def _progress(connection: Connection, options: PoolOptions, spec: VolumeSpec) -> Progress | None:
    volume = find_volume(open_pool(connection, options), volume_name(spec.id))
    if volume is None:
        return None
    _, _, allocation = volume.info()  # what libvirt says of its size is not so yet
    return Progress(spec.id, min(allocation, spec.size_mib * MIB), spec.size_mib * MIB)


async def delete_volume(places: Places, command: DeleteVolume) -> Outcome:
    """Delete it from this pool, whether or not it is there."""
    if command.at not in places.pools:
        return DONE
    pool, options = places.pool(command.at)
    await places.reaching(pool).link.run(partial(_delete, options=options, name=volume_name(command.volume_id)))
    await in_thread(partial(places.registry.forget_volume, command.volume_id, pool.id))
    return DONE


def _delete(connection: Connection, options: PoolOptions, name: str) -> None:
    delete_volume_named(open_pool(connection, options), name)


async def resize_volume(places: Places, command: ResizeVolume) -> Outcome:
    """Let it grow; a running guest that has it plugged sees it at once."""
    pool, options = places.pool(command.at)
    there = await places.reaching(pool).link.run(partial(_size, options=options, name=volume_name(command.volume_id)))
    if there is None:
        raise refused(Scope.VM, f"volume {command.volume_id} is not in pool {pool.id}; create it there first")
    _require_room(pool, command.size_mib)
    size = command.size_mib * MIB
    if there >= size:
        return DONE
    if command.host_id is not None:
        host = places.site(command.host_id)
        if await host.link.run(partial(_resize_live, command=command, size=size)):
            return DONE
    await places.reaching(pool).link.run(partial(_resize, options=options, command=command, size=size))
    return DONE


def _size(connection: Connection, options: PoolOptions, name: str) -> int | None:
    volume = find_volume(open_pool(connection, options), name)
    return None if volume is None else capacity_of(volume)


def _resize_live(connection: Connection, command: ResizeVolume, size: int) -> bool:
    """Whether a guest that runs had it plugged."""
    domain = find(connection, command.vm_id)
    if domain is None or not domain.isActive():
        return False
    disk = devices_in(live_tree(domain), "disk").get(command.volume_id)
    target = None if disk is None else disk.find("target")
    if target is None:
        return False
    domain.blockResize(target.get("dev", ""), size, lib().VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    return True


def _resize(connection: Connection, options: PoolOptions, command: ResizeVolume, size: int) -> None:
    open_pool(connection, options).storageVolLookupByName(volume_name(command.volume_id)).resize(size, 0)
