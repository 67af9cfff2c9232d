"""A domain's shape as libvirt's XML, and what is read back from it.

Promises: built element by element, so no name can break out of its place. Never decides anything: what a domain is
made of is in its shape.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from interlock.drivers.libvirt.metadata import NAMESPACE, PREFIX, element
from interlock.drivers.libvirt.shape import OURS, DiskShape, DomainShape, KernelShape, NicShape

ET.register_namespace(PREFIX, NAMESPACE)
ENTROPY = "/dev/urandom"


def domain_xml(shape: DomainShape) -> str:
    """The whole domain."""
    root = ET.Element("domain", type=shape.kind)
    _put(root, "name", shape.name)
    _put(root, "uuid", shape.uuid)
    _put(root, "title", shape.title)
    _put(root, "metadata").append(element(shape.mark))
    _put(root, "memory", str(shape.memory_mib), unit="MiB")
    _put(root, "vcpu", str(shape.cores))
    _system(root, shape)
    if shape.kind != "test":
        _machine(root, shape)
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _put(root, event, action)
    root.append(_devices(shape))
    return ET.tostring(root, encoding="unicode")


def _put(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child


def _system(root: ET.Element, shape: DomainShape) -> None:
    """What boots."""
    system = _put(root, "os", **({"firmware": "efi"} if shape.uefi else {}))
    _put(system, "type", "hvm", **({} if shape.kind == "test" else {"arch": "x86_64", "machine": "q35"}))
    if shape.uefi:
        _put(system, "loader", secure="no")
    if shape.kernel is not None:
        _kernel(system, shape.kernel)


def _kernel(system: ET.Element, kernel: KernelShape) -> None:
    _put(system, "kernel", kernel.kernel)
    if kernel.initrd is not None:
        _put(system, "initrd", kernel.initrd)
    _put(system, "cmdline", kernel.cmdline)


def _machine(root: ET.Element, shape: DomainShape) -> None:
    """Processor, clock and what the firmware offers."""
    features = _put(root, "features")
    _put(features, "acpi")
    _put(features, "apic")
    if shape.kind == "kvm":
        _put(root, "cpu", mode="host-model")
    clock = _put(root, "clock", offset="utc")
    _put(clock, "timer", name="rtc", tickpolicy="catchup")
    _put(clock, "timer", name="pit", tickpolicy="delay")
    _put(clock, "timer", name="hpet", present="no")


def _devices(shape: DomainShape) -> ET.Element:
    devices = ET.Element("devices")
    if shape.kind == "test":
        _put(devices, "interface", type="network").append(ET.Element("source", network="default"))
        return devices
    for port in range(len(shape.disks) + len(shape.nics) + shape.slots + 3):  # 3: rng, balloon, one for libvirt
        _put(devices, "controller", type="pci", index=str(port + 1), model="pcie-root-port")
    devices.extend(disk_element(disk) for disk in shape.disks)
    devices.extend(nic_element(nic) for nic in shape.nics)
    devices.append(_serial(shape.console))
    rng = _put(devices, "rng", model="virtio")
    _put(rng, "backend", ENTROPY, model="random")
    _put(devices, "memballoon", model="virtio")
    if shape.vnc:
        _put(devices, "graphics", type="vnc", port="-1", autoport="yes", listen="127.0.0.1")
        _put(_put(devices, "video"), "model", type="vga")
    return devices


def _serial(console: str | None) -> ET.Element:
    serial = ET.Element("serial", type="pty" if console is None else "file")
    if console is not None:
        _put(serial, "source", path=console, append="on")
    return serial


def disk_element(disk: DiskShape) -> ET.Element:
    """One disk."""
    kind = "network" if disk.rbd else "volume"
    element = ET.Element("disk", type=kind, device="cdrom" if disk.cdrom else "disk")
    _put(element, "driver", name="qemu", type=disk.format, discard="unmap")
    if disk.rbd:
        image, monitor = disk.rbd
        source = _put(element, "source", protocol="rbd", name=image)
        _put(source, "host", name=monitor)
    else:
        _put(element, "source", pool=disk.pool, volume=disk.volume)
    _put(element, "target", dev=disk.target, bus="sata" if disk.cdrom else "virtio")
    if disk.readonly:
        _put(element, "readonly")
    if disk.order is not None:
        _put(element, "boot", order=str(disk.order))
    _put(element, "alias", name=disk.alias)
    return element


def nic_element(nic: NicShape) -> ET.Element:
    """One NIC."""
    element = ET.Element("interface", type="network" if nic.network else "bridge")
    if nic.network:
        _put(element, "source", network=nic.network)
    else:
        _put(element, "source", bridge=nic.bridge or "")
    _put(element, "mac", address=nic.mac)
    _put(element, "model", type="virtio")
    if nic.filter is not None:
        filter = _put(element, "filterref", filter=nic.filter)
        for ip in nic.ips:
            _put(filter, "parameter", name="IPV6" if ":" in ip else "IP", value=ip)
    _put(element, "alias", name=nic.alias)
    return element


# Reading


def devices_in(tree: ET.Element, tag: str) -> dict[str, ET.Element]:
    """The disks or interfaces of ours in a running domain, by id."""
    return dict(_ours(tree, tag))


def _ours(tree: ET.Element, tag: str) -> Iterator[tuple[str, ET.Element]]:
    for each in tree.findall(f"./devices/{tag}"):
        alias: Any = each.find("alias")
        name = "" if alias is None else alias.get("name", "")
        if name.startswith(OURS):
            yield name.removeprefix(OURS), each
