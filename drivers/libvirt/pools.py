"""libvirt's storage pools: found, or defined and started where the options say how; and volumes in them.

Promises: a pool that is there is taken as it is. Nothing in a pool is touched but volumes whose names begin with
`interlock-`, and templates are only read.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from interlock.drivers.libvirt.boundary import Connection, Pool, Volume, lib
from interlock.drivers.libvirt.options import PoolOptions
from interlock.drivers.libvirt.places import missing
from interlock.drivers.libvirt.refusals import refused
from interlock.schema.commands import Refusal, Scope

MIB = 1024 * 1024
FILES = frozenset({"dir", "netfs", "fs", "gluster"})
"""Kinds of pools whose volumes are files, so that a qcow2 can lie over another."""


def open_pool(connection: Connection, options: PoolOptions) -> Pool:
    """The pool, active.

    Raises:
        Refuse: it is not there, and the options do not say how to define it; or it is not active.
    """
    try:
        pool = connection.storagePoolLookupByName(options.pool)
    except Exception as error:
        if not missing(error, "STORAGE_POOL"):
            raise
        if options.type is None:
            raise refused(
                Scope.POOL, f"there is no libvirt pool {options.pool}; define it, or give its `type`"
            ) from error
        pool = _defined(connection, options)
    if not pool.isActive():
        if options.type is None:
            raise refused(Scope.POOL, f"libvirt pool {options.pool} is not active; start it", Refusal.TRANSIENT)
        pool.create(lib().VIR_STORAGE_POOL_CREATE_WITH_BUILD if options.type in ("dir", "netfs") else 0)
    return pool


def _defined(connection: Connection, options: PoolOptions) -> Pool:
    return connection.storagePoolDefineXML(pool_xml(options), 0)


def pool_xml(options: PoolOptions) -> str:
    """How it is defined."""
    root = ET.Element("pool", type=options.type or "dir")
    ET.SubElement(root, "name").text = options.pool
    if options.source is not None:
        source = ET.SubElement(root, "source")
        if options.server is not None:
            ET.SubElement(source, "host", name=options.server)
        if options.type == "netfs":
            ET.SubElement(source, "dir", path=options.source)
        else:
            ET.SubElement(source, "name").text = options.source
    if options.path is not None or options.type == "logical":
        ET.SubElement(ET.SubElement(root, "target"), "path").text = options.path or f"/dev/{options.source}"
    return ET.tostring(root, encoding="unicode")


def kind_of_pool(pool: Pool) -> str:
    """dir, netfs, logical, rbd, …"""
    return ET.fromstring(pool.XMLDesc(0)).get("type", "")


def find_volume(pool: Pool, name: str) -> Volume | None:
    """A volume by its name."""
    try:
        return pool.storageVolLookupByName(name)
    except Exception as error:
        if missing(error, "STORAGE_VOL"):
            return None
        raise


def volume_xml(name: str, size: int, format: str, *, sparse: bool = False, base: tuple[str, str] | None = None) -> str:
    """How a volume is made.

    Args:
        name: its name.
        size: what a guest sees, in bytes.
        format: raw or qcow2.
        sparse: whether it takes no space before it is written to.
        base: path and format of what it lies over.
    """
    root = ET.Element("volume")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "capacity", unit="bytes").text = str(size)
    if sparse:
        ET.SubElement(root, "allocation", unit="bytes").text = "0"
    ET.SubElement(ET.SubElement(root, "target"), "format", type=format)
    if base is not None:
        path, base_format = base
        backing = ET.SubElement(root, "backingStore")
        ET.SubElement(backing, "path").text = path
        ET.SubElement(backing, "format", type=base_format)
    return ET.tostring(root, encoding="unicode")


def format_of(volume: Volume) -> str:
    """raw or qcow2."""
    found = ET.fromstring(volume.XMLDesc(0)).find("target/format")
    return "raw" if found is None else found.get("type", "raw")


def capacity_of(volume: Volume) -> int:
    """What a guest sees, in bytes."""
    return int(volume.info()[1])


def delete_volume_named(pool: Pool, name: str) -> None:
    """Delete a volume, whether or not it is there."""
    try:
        pool.storageVolLookupByName(name).delete(0)
    except Exception as error:
        if not missing(error, "STORAGE_VOL"):
            raise
