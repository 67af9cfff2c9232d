"""Whether guests run with KVM on a host: seen, not assumed.

`/dev/kvm` may be there and open, QEMU may start with it, and a kernel hangs before its first line all the same (nested
virtualisation; a boot sector runs there, so it would prove nothing). So a kernel is booted with KVM, and watched on its
serial console until it says who it is. The kernel is one of `boots`; where there is none, nothing can be seen, and it
is TCG, which works everywhere.

Promises: what is booted has no disk and no NIC, and libvirt destroys it when the connection that asked for it ends.
What was seen is kept in the registry for as long as libvirt describes the host in the same words.
"""

from __future__ import annotations

import hashlib
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from functools import partial
from uuid import uuid4

from interlock.drivers.libvirt.boundary import Connection, Domain, Stream, lib
from interlock.drivers.libvirt.domain_xml import domain_xml
from interlock.drivers.libvirt.metadata import Mark
from interlock.drivers.libvirt.options import BootOptions, Options
from interlock.drivers.libvirt.places import Places, Site
from interlock.drivers.libvirt.shape import DomainShape, KernelShape
from interlock.drivers.libvirt.threads import in_thread

FIRST_LINE = b"Linux version"
CMDLINE = "console=ttyS0 earlyprintk=ttyS0,115200"
WITHIN, PAUSE = 10.0, 0.05
"""Seconds that a kernel has for its first line, and between two looks. With KVM it takes under one. Too low: a busy
host is taken for one without KVM."""
MEMORY_MIB = 128


async def kind_of_guests(places: Places, site: Site) -> str:
    """The domain type of guests on this host: test, qemu or kvm."""
    offered, words = await site.link.run(_offered)
    if "test" in offered:
        return "test"
    wanted = places.options.accelerator
    kernel = _kernel(places.options)
    if "kvm" not in offered or wanted == "tcg" or (wanted == "auto" and kernel is None):
        return "qemu"
    if wanted == "kvm" or kernel is None:
        return "kvm"
    place = f"{site.uri} {words}"
    if (seen := await in_thread(partial(places.registry.seen_kind, place))) is None:
        seen = "kvm" if await site.link.run(partial(boots, kernel=kernel, kind="kvm")) else "qemu"
        await in_thread(partial(places.registry.put_kind, place, seen))
    return seen


def _kernel(options: Options) -> BootOptions | None:
    """What is booted: the usual kernel, or else any."""
    return options.boots[options.boot] if options.boot else next(iter(options.boots.values()), None)


# Jobs


def _offered(connection: Connection) -> tuple[frozenset[str], str]:
    """What libvirt says that it could, and the checksum of all it says of the host."""
    if connection.getType() == "TEST":
        return frozenset({"test"}), ""
    text = connection.getCapabilities()
    domains = ET.fromstring(text).findall("./guest/arch[@name='x86_64']/domain")
    return frozenset(domain.get("type", "") for domain in domains), hashlib.sha256(text.encode()).hexdigest()


def boots(connection: Connection, kernel: BootOptions, kind: str) -> bool:
    """Whether a kernel comes to its first line."""
    id = f"probe-{uuid4()}"
    shape = DomainShape(
        mark=Mark(id, "", "", 0),
        name=f"interlock-{id}",
        uuid=str(uuid4()),
        title="whether KVM works",
        cores=1,
        memory_mib=MEMORY_MIB,
        kind="kvm" if kind == "kvm" else "qemu",
        kernel=KernelShape(kernel=kernel.kernel, initrd=None, cmdline=CMDLINE),
    )
    try:
        domain = connection.createXML(domain_xml(shape), lib().VIR_DOMAIN_START_AUTODESTROY)
    except lib().libvirtError:
        return False
    try:
        return _speaks(connection, domain)
    finally:
        with suppress(lib().libvirtError):
            domain.destroyFlags(0)


def _speaks(connection: Connection, domain: Domain) -> bool:
    stream = connection.newStream(lib().VIR_STREAM_NONBLOCK)
    domain.openConsole(None, stream, lib().VIR_DOMAIN_CONSOLE_FORCE)
    try:
        return _heard(stream)
    finally:
        with suppress(lib().libvirtError):
            stream.abort()


def _heard(stream: Stream) -> bool:
    said, end = b"", time.monotonic() + WITHIN
    while time.monotonic() < end:
        piece = stream.recv(4096)
        if isinstance(piece, bytes) and piece:
            said += piece
            if FIRST_LINE in said:
                return True
        else:
            time.sleep(PAUSE)
    return False
