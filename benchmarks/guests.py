"""Guests on libvirt, deployed through a whole engine and by the same libvirt calls made by hand.

By hand means: the same volumes, config drives, filters, DHCP entries and domains, by plain libvirt-python, in as many
threads on one connection as the driver has calls at once. The guests boot from a disk without a system, so QEMU itself,
and not what runs in it, takes the time. Nothing is left of them.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from interlock import CloudDescription, DeployVM, Engine
from interlock.drivers.libvirt import filters, seed
from interlock.drivers.libvirt.boundary import Connection, lib
from interlock.drivers.libvirt.domain_xml import domain_xml
from interlock.drivers.libvirt.events import EVENTS
from interlock.drivers.libvirt.images import upload
from interlock.drivers.libvirt.metadata import Mark
from interlock.drivers.libvirt.pools import MIB, volume_xml
from interlock.drivers.libvirt.shape import DiskShape, DomainShape, NicShape
from interlock.schema.commands import NicSpec, RuleSpec, StartDomain
from interlock.testing import Scene
from interlock.testing.kits.scene import a_host, a_pool
from tests.guest_image import GuestImage
from tests.libvirtd import NETWORK, POOL, Libvirtd
from tests.virtual import cloud

AT_ONCE = 4
SCENE = Scene(hosts=(a_host("kvm"),), pools=(a_pool("main"),), template=None, memory_mib=96)


def by_hand(libvirtd: Libvirtd, guests: int) -> float:
    """Seconds for all of them; the template must be in its pool, as a deploy through Interlock leaves it."""
    EVENTS.hold()  # libvirt's loop must run in a process that has one: a call may wait for ever otherwise
    connection = lib().open(libvirtd.uri)
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: _deploy(connection, number), range(1, guests + 1)))
    took = time.perf_counter() - began
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: _remove(connection, number), range(1, guests + 1)))
    connection.close()
    EVENTS.release()
    return took


def _deploy(connection: Connection, number: int) -> None:
    command = SCENE.start(number, rules=True)
    [nic], [volume] = command.nics, command.volumes
    _entry(connection, "ADD_LAST", nic)
    pool = connection.storagePoolLookupByName(POOL)
    base = next(each.path() for each in pool.listAllVolumes(0) if each.name().startswith("interlock-image-"))
    pool.createXML(volume_xml(volume.id, 16 * MIB, "qcow2", base=(base, "qcow2")), 0)
    assert command.rules is not None
    connection.nwfilterDefineXML(_filter(command.vm_id, command.rules))
    image = seed.image(command)
    iso = pool.createXML(volume_xml(f"{command.vm_id}.iso", len(image), "raw"), 0)
    upload(connection, iso, io.BytesIO(image), len(image))
    connection.defineXMLFlags(domain_xml(_shape(command)), 0).createWithFlags(0)


def _entry(connection: Connection, change: str, nic: NicSpec) -> None:
    text = ET.tostring(ET.Element("host", mac=nic.mac_address, ip=nic.ip_address), encoding="unicode")
    number, section = getattr(lib(), f"VIR_NETWORK_UPDATE_COMMAND_{change}"), lib().VIR_NETWORK_SECTION_IP_DHCP_HOST
    connection.networkLookupByName(NETWORK).update(number, section, -1, text, lib().VIR_NETWORK_UPDATE_AFFECT_LIVE)


def _filter(vm_id: str, rules: tuple[RuleSpec, ...]) -> str:
    return filters.filter_xml(vm_id, rules, {}, has_ip6=False)


def _shape(command: StartDomain) -> DomainShape:
    [nic], [volume] = command.nics, command.volumes
    disks = [(volume.id, "vda", "qcow2"), (f"{command.vm_id}.iso", "vdzz", "raw")]
    return DomainShape(
        mark=Mark(command.vm_id, "by-hand", "", 0),
        name=command.instance_name,
        uuid=str(uuid4()),
        title=command.name,
        cores=1,
        memory_mib=96,
        kind="qemu",
        slots=4,
        disks=tuple(
            DiskShape(alias=f"ua-{name}", target=target, pool=POOL, volume=name, format=format)
            for name, target, format in disks
        ),
        nics=(
            NicShape(
                alias=f"ua-{nic.id}",
                mac=nic.mac_address,
                network=NETWORK,
                bridge=None,
                filter=filters.filter_name(command.vm_id),
                ips=(nic.ip_address,),
            ),
        ),
    )


def _remove(connection: Connection, number: int) -> None:
    command = SCENE.start(number)
    domain = next(each for each in connection.listAllDomains(0) if each.name() == command.instance_name)
    domain.destroyFlags(0)
    domain.undefineFlags(0)
    connection.nwfilterLookupByName(filters.filter_name(command.vm_id)).undefine()
    pool = connection.storagePoolLookupByName(POOL)
    for name in (command.volumes[0].id, f"{command.vm_id}.iso"):
        pool.storageVolLookupByName(name).delete(0)
    _entry(connection, "DELETE", command.nics[0])


async def through_interlock(libvirtd: Libvirtd, image: GuestImage, guests: int) -> float:
    """Seconds for all of them, from the first request until the last runs."""
    with tempfile.TemporaryDirectory() as folder:
        text = cloud(libvirtd, image, boot=None, calls_at_once=AT_ONCE)
        async with Engine.open(f"{folder}/i.db", cloud=CloudDescription.parse(text)) as engine:
            wishes = [
                DeployVM(name=f"vm-{number}", offering="tiny", template="debian-12", account="eve", **_SECURED)
                for number in range(guests)
            ]
            began = time.perf_counter()
            handles = [await engine.deploy(wish) for wish in wishes]
            await asyncio.gather(*(handle.wait() for handle in handles))
            took = time.perf_counter() - began
            await asyncio.gather(*[_gone(engine, wish.name or "") for wish in wishes])
    return took


_SECURED: Any = {"security_groups": ("eve/web",)}


async def _gone(engine: Engine, name: str) -> None:
    await (await engine.destroy(name, forced=True)).wait()
    await (await engine.expunge(name)).wait()
