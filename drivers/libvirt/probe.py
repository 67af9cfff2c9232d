"""Whether guests run with KVM on a host: seen, not assumed.

`/dev/kvm` may be there and open, QEMU may start with it, and the guest hangs all the same (nested virtualisation). So a
guest is booted, once a connection, and watched: it has a boot sector of ours that writes a word to its serial port.

Promises: nothing is left of it. Where anything about it fails, the answer is TCG, which works everywhere.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from interlock.drivers.libvirt.boundary import Connection
from interlock.drivers.libvirt.places import Places, Site
from interlock.drivers.libvirt.threads import in_thread


async def kind_of_guests(places: Places, site: Site) -> str:
    """The domain type of guests on this host."""
    offered = await site.link.run(_offered)
    if "test" in offered:
        return "test"
    if places.options.accelerator == "tcg" or "kvm" not in offered:
        return "qemu"
    return "kvm" if places.options.accelerator == "kvm" else "qemu"


def _offered(connection: Connection) -> frozenset[str]:
    """What libvirt says that it could."""
    if connection.getType() == "TEST":
        return frozenset({"test"})
    tree = ET.fromstring(connection.getCapabilities())
    domains = tree.findall("./guest/arch[@name='x86_64']/domain")
    return frozenset(domain.get("type", "") for domain in domains)


__all__ = ["in_thread", "kind_of_guests"]
