"""What tests with a real libvirtd share: the driver's options there, and a witness of what is in its world.

The witness has a connection of its own, and believes libvirt, never the driver: how often a guest has booted is counted
from QEMU's own events.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

from interlock.drivers.libvirt.boundary import lib
from interlock.drivers.libvirt.domain_xml import devices_in
from interlock.drivers.libvirt.events import EVENTS
from interlock.drivers.libvirt.metadata import mark_in
from interlock.testing.seen import Disk, Guest, ReadyNic, Seen
from tests.guest_image import GuestImage
from tests.libvirtd import NETWORK, POOL, Libvirtd

TEMPLATE = b"template-of-interlock"
SETTLING = 0.08
"""Seconds that an event may take from QEMU to the witness. Too short: a reboot is seen late, and a test fails."""
MIB = 1024 * 1024


def template_file(folder: Path) -> tuple[Path, str]:
    """A template of 8 MiB that begins with `TEMPLATE`, and its checksum."""
    raw, path = folder / "template.raw", folder / "template.qcow2"
    if not path.exists():
        raw.write_bytes(TEMPLATE.ljust(8 * MIB, b"\0"))
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(path)], check=True)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def options(libvirtd: Libvirtd, image: GuestImage, host: str = "kit-host-1", **more: Any) -> dict[str, Any]:
    """`[drivers.libvirt]` for one host, with the pool and the network of the test's daemon."""
    path, checksum = template_file(libvirtd.folder)
    return {
        "hosts": {host: {"uri": libvirtd.uri}},
        "pools": {"kit-pool-1": {"pool": POOL}, "main": {"pool": POOL}},
        "networks": {"kit-net": {"network": NETWORK}, "net": {"network": NETWORK}},
        "templates": {"debian-12": {"file": str(path), "sha256": checksum}},
        "boots": {
            "tiny": {"kernel": str(image.kernel), "initrd": str(image.initrd), "cmdline": "console=ttyS0 quiet"},
        },
        "boot": "tiny",
        "accelerator": "tcg",
        "shutdown_within_s": 0,
        "hot_plug_slots": 4,
        "plug_after_s": 6,
        "console_folder": str(libvirtd.consoles),
    } | more


class Witness:
    """One daemon's."""

    def __init__(self, uri: str) -> None:
        EVENTS.hold()
        self._connection = lib().open(uri)
        self._lock = threading.Lock()
        self._boots: Counter[str] = Counter()
        self._connection.setKeepAlive(5, 3)
        self._connection.domainEventRegisterAny(None, lib().VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None)
        qemu = importlib.import_module("libvirt_qemu")
        qemu.qemuMonitorEventRegister(self._connection, None, "RESET", self._reset, None, 0)

    def close(self) -> None:
        self._connection.close()
        EVENTS.release()

    def _lifecycle(self, connection: object, domain: Any, event: int, detail: int, opaque: object) -> None:
        with self._lock:
            if event == lib().VIR_DOMAIN_EVENT_STARTED and detail == lib().VIR_DOMAIN_EVENT_STARTED_BOOTED:
                self._boots[domain.UUIDString()] += 1
            elif event == lib().VIR_DOMAIN_EVENT_UNDEFINED:
                self._boots.pop(domain.UUIDString(), None)

    def _reset(
        self, connection: object, domain: Any, event: str, seconds: int, micros: int, details: str, opaque: object
    ) -> None:
        """The BIOS resets the machine once more by itself; only what was asked for counts."""
        if not json.loads(details)["guest"]:
            with self._lock:
                self._boots[domain.UUIDString()] += 1

    def seen(self, host: str = "kit-host-1", pool: str = "kit-pool-1") -> Seen:
        """All there is of ours."""
        domains = self._connection.listAllDomains(0)
        if domains:
            time.sleep(SETTLING)
        guests = [each for domain in domains if (each := self._guest(domain, host)) is not None]
        return Seen(guests=tuple(sorted(guests)), disks=self._disks(pool), nics=self._nics(host))

    def _guest(self, domain: Any, host: str) -> Guest | None:
        tree = ET.fromstring(domain.XMLDesc(0))
        mark = mark_in(tree)
        if mark is None:
            return None
        with self._lock:
            boots = self._boots[domain.UUIDString()]
        filter = tree.find("./devices/interface/filterref")
        return Guest(
            vm_id=mark.vm,
            host_id=host,
            running=domain.state(0)[0] == lib().VIR_DOMAIN_RUNNING,
            nics=tuple(sorted(devices_in(tree, "interface"))),
            volumes=tuple(sorted(id for id in devices_in(tree, "disk") if id not in ("config", "iso"))),
            cpu_cores=int(tree.findtext("vcpu") or 0),
            memory_mib=int(tree.findtext("memory") or 0) // 1024,
            boots=boots,
            filters=None if filter is None else self._filter(filter.get("filter", "")),
        )

    def _filter(self, name: str) -> str:
        text: str = self._connection.nwfilterLookupByName(name).XMLDesc(0)
        return text

    def _disks(self, pool: str) -> tuple[Disk, ...]:
        there = self._connection.storagePoolLookupByName(POOL)
        there.refresh(0)
        return tuple(
            sorted(
                Disk(id=volume.name().removeprefix("interlock-"), pool_id=pool, size_mib=volume.info()[1] // MIB)
                for volume in there.listAllVolumes(0)
                if not volume.name().startswith("interlock-image-") and not volume.name().endswith("-config.iso")
            )
        )

    def _nics(self, host: str) -> tuple[ReadyNic, ...]:
        tree = ET.fromstring(self._connection.networkLookupByName(NETWORK).XMLDesc(0))
        return tuple(
            sorted(ReadyNic(id=_nic_of(each.get("mac", "")), host_id=host) for each in tree.findall("ip/dhcp/host"))
        )


def _nic_of(mac: str) -> str:
    """The kit's NIC with this MAC: 02:4b:49:54:DEVICE:VM."""
    *_, device, vm = (int(each, 16) for each in mac.split(":"))
    return f"kit-nic{vm}" + (f"-{device}" if device else "")


CLOUD = """
[[accounts]]
name = "eve"
[[security_groups]]
account = "eve"
name = "web"
ingress = [{ protocol = "tcp", ports = "80", from = "0.0.0.0/0" }]
[[offerings]]
name = "tiny"
cpu_cores = 1
cpu_mhz = 100
memory_mib = 96
[[templates]]
name = "debian-12"
size_mib = 16
[[zones]]
name = "z"
security_groups = true
[[zones.networks]]
name = "net"
cidr = "10.213.0.0/24"
first_ip = "10.213.0.20"
default = true
services = { SecurityGroup = "libvirt", UserData = "libvirt", Dhcp = "libvirt" }
[[zones.pools]]
name = "main"
driver = "libvirt"
size_mib = 4096
[[zones.pods]]
name = "p"
[[zones.pods.clusters]]
name = "c"
hypervisor = "kvm"
[[zones.pods.clusters.hosts]]
name = "kvm"
driver = "libvirt"
cpu_cores = 32
cpu_mhz = 1000
memory_mib = 8192
"""


def cloud(libvirtd: Libvirtd, image: GuestImage, *, linked: bool = True, **more: Any) -> str:
    """A cloud of one host, as it is described."""
    told = options(libvirtd, image, "kvm", **more)
    lines = [f"{name} = {_toml(value)}" for name, value in told.items() if value is not None]
    settings = '[settings]\n"volume.create.full.clone" = false' if linked else ""
    return "\n".join(["[drivers.libvirt]", *lines, settings, CLOUD])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)
