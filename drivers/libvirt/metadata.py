"""What of ours stands in a domain: the VM's id, the host's, and the token and fence that it was last told under.

It lies with the hypervisor, so it is true for every worker on every machine, also for one that has lost its registry.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from uuid import UUID, uuid5

import msgspec

from interlock.drivers.libvirt.boundary import Connection, Domain, code_of, is_libvirt_error, lib

NAMESPACE = "https://interlock.dev/libvirt/1"
PREFIX = "interlock"
IDS = UUID("5f0c9a3e-6f0b-5d2c-9c1e-6b1f3f4f8a11")
"""What the UUIDs of our domains and filters are derived under."""
STRANGER = "libvirt:"
"""Before the UUID of a domain that is not ours, where a VM's id is expected."""


class Mark(msgspec.Struct, frozen=True):
    """Ours, in a domain."""

    vm: str
    host: str
    token: str
    fence: int


def uuid_of(vm_id: str) -> str:
    """The UUID of a VM's domain: always the same, so libvirt itself never has two of one VM on a host."""
    return vm_id.removeprefix(STRANGER) if vm_id.startswith(STRANGER) else str(uuid5(IDS, f"vm {vm_id}"))


def element(mark: Mark) -> ET.Element:
    """The mark as XML."""
    fields = {"vm": mark.vm, "host": mark.host, "token": mark.token, "fence": str(mark.fence)}
    return ET.Element(f"{{{NAMESPACE}}}guest", fields)


def mark_in(tree: ET.Element) -> Mark | None:
    """The mark in a domain's or a metadata element's XML; None: it is not ours."""
    tag = f"{{{NAMESPACE}}}guest"
    # libvirt gives the metadata of one namespace back without it
    found = tree if tree.tag in (tag, "guest") else tree.find(f"./metadata/{tag}")
    if found is None or "vm" not in found.attrib:
        return None
    return Mark(found.get("vm", ""), found.get("host", ""), found.get("token", ""), int(found.get("fence", "0")))


def mark_of(domain: Domain) -> Mark | None:
    """The mark of a domain."""
    try:
        text = domain.metadata(lib().VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, 0)
    except Exception as error:
        if is_libvirt_error(error) and code_of(error) == lib().VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    return mark_in(ET.fromstring(text))


def write(domain: Domain, mark: Mark) -> None:
    """Write it anew into a domain, be it running or not."""
    where = lib().VIR_DOMAIN_AFFECT_CONFIG | (lib().VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0)
    text = ET.tostring(ET.Element("guest", element(mark).attrib), encoding="unicode")  # libvirt adds the namespace
    domain.setMetadata(lib().VIR_DOMAIN_METADATA_ELEMENT, text, PREFIX, NAMESPACE, where)


def find(connection: Connection, vm_id: str) -> Domain | None:
    """The VM's domain on a host."""
    try:
        return connection.lookupByUUIDString(uuid_of(vm_id))
    except Exception as error:
        if is_libvirt_error(error) and code_of(error) == lib().VIR_ERR_NO_DOMAIN:
            return None
        raise
