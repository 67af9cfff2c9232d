"""What a domain is made of, as the driver decides it: typed, before it becomes XML (domain_xml.py).

Names within a domain: a disk or NIC of ours has the alias `ua-` and its id, by which it is found again; a disk's
target follows from its device number, so `vda` is the root disk.
"""

from __future__ import annotations

from string import ascii_lowercase
from typing import Literal

import msgspec

from interlock.drivers.libvirt.metadata import Mark

OURS = "ua-"
"""What libvirt wants before aliases that are not its own."""
CONFIG_TARGET = "vdzz"
"""Of the config drive: behind all others."""


class DiskShape(msgspec.Struct, frozen=True, kw_only=True):
    """A disk: a volume of a pool on the host."""

    alias: str
    target: str
    pool: str
    volume: str
    format: str
    rbd: tuple[str, str] | None = None
    """The image and the monitor, where the pool is of that kind: libvirt does not find them by itself."""
    cdrom: bool = False
    readonly: bool = False
    order: int | None = None
    """In which order it is tried for booting."""


class NicShape(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC: on a network of libvirt or a bridge."""

    alias: str
    mac: str
    network: str | None
    bridge: str | None
    filter: str | None = None
    ips: tuple[str, ...] = ()
    """What it may send from, if it is filtered."""


class KernelShape(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel that the hypervisor boots itself."""

    kernel: str
    initrd: str | None
    cmdline: str


class DomainShape(msgspec.Struct, frozen=True, kw_only=True):
    """A whole domain."""

    mark: Mark
    name: str
    uuid: str
    title: str
    cores: int
    memory_mib: int
    kind: Literal["kvm", "qemu", "test"]
    uefi: bool = False
    kernel: KernelShape | None = None
    vnc: bool = False
    console: str | None = None
    """The file that its serial console is written to; None: a pty."""
    slots: int = 0
    """For what is plugged as it runs."""
    disks: tuple[DiskShape, ...] = ()
    nics: tuple[NicShape, ...] = ()


def alias_of(id: str) -> str:
    """The alias of a disk or NIC."""
    return OURS + id


def target_of(device: int) -> str:
    """The target of a disk: vda, vdb, …, vdz, vdaa."""
    letters = ""
    device += 1
    while device:
        device, letter = divmod(device - 1, 26)
        letters = ascii_lowercase[letter] + letters
    return "vd" + letters
