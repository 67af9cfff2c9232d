"""What `[drivers.libvirt]` in a cloud description may say, checked before anything is opened.

Hosts, pools, networks, templates and isos are named as in the description; what is not named here cannot be used by
this driver, except for hosts, which have `uri` where they have none of their own. Files of the engine's machine are
only ever named here, never in a request: whoever deploys VMs cannot have the hypervisor read any file.

Promises: an option that is unknown, of the wrong type or out of range raises PluginError, which names it. Never opens
a connection, and never looks at the disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from interlock.drivers.protocol import Home
from interlock.schema.errors import PluginError

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Waiting = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
AtOnce = Annotated[int, msgspec.Meta(ge=1, le=64)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Table = dict[str, Any]


class HostOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one host is reached."""

    uri: str
    """As the engine reaches it."""
    peer_uri: str | None = None
    """As other hosts reach it, for migrations; by default like `uri`."""


class PoolOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which libvirt pool a pool is, on each host that reaches it."""

    pool: str
    """Its name in libvirt."""
    type: Literal["dir", "netfs", "logical", "rbd"] | None = None
    """Of this kind it is defined and started where it is not there; without, it must be there."""
    path: str | None = None
    """Where it is mounted or lies: target of dir, netfs and logical."""
    server: str | None = None
    """The file server of netfs, or a monitor of rbd."""
    source: str | None = None
    """The export of netfs, the volume group of logical, the pool of rbd."""


class NetworkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What NICs are plugged into on every host: one of the two."""

    network: str | None = None
    """A libvirt network; where it has an IPv4 address, each NIC gets a DHCP entry with its own."""
    bridge: str | None = None
    """A bridge of the host; its NICs learn their addresses from the config drive."""


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a template or an ISO is: one of file and volume."""

    file: str | None = None
    """A file of the engine's machine, which is brought to each pool once, when it is first needed."""
    sha256: Sha256 | None = None
    """What the file must be; required with `file`."""
    volume: str | None = None
    """A volume that is there, by this name, in each pool that is used with it."""
    format: Literal["qcow2", "raw"] = "qcow2"


class BootOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kernel that the hypervisor boots by itself. Paths are the host's."""

    kernel: str
    initrd: str | None = None
    cmdline: str = ""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options as written."""

    uri: str | None = None
    """Of the host that has none of its own; one connection cannot be two hosts."""
    hosts: dict[str, HostOptions] = {}
    pools: dict[str, PoolOptions] = {}
    networks: dict[str, NetworkOptions] = {}
    templates: dict[str, ImageOptions] = {}
    boots: dict[str, BootOptions] = {}
    """By the name that a VM's or a template's detail `libvirt.boot` may have."""
    boot: str | None = None
    """One of `boots`, where that detail says nothing; without, guests boot from their disks."""

    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    """auto: KVM where one of `boots` was seen to boot with it, TCG elsewhere, also where there is none to boot."""
    firmware: Literal["bios", "uefi"] = "bios"
    """Where the detail `libvirt.firmware` says nothing."""
    display: Literal["none", "vnc"] = "none"
    console_folder: str | None = None
    """A folder of the host where the guests' serial consoles are written; without, each is a pty (`virsh console`)."""
    hot_plug_slots: Annotated[int, msgspec.Meta(ge=0, le=24)] = 8
    """How many disks and NICs a guest can be given as it runs. Too low: plugging is refused; too high: guests boot
    slower, by a few ms each."""

    calls_at_once: AtOnce = 4
    """Per host. libvirtd serves five requests of a connection at a time. Too low: deploys wait in line; above five:
    they wait in libvirtd, and count as hanging."""
    call_within_s: Seconds = 60.0
    """How long one call may take before its connection is given up. Too low: a busy host's answer is not waited for,
    and the outcome is unknown; too high: a hung libvirtd holds up its host's operations."""
    copy_within_s: Seconds = 3600.0
    """The same, for copying disks and migrating."""
    connect_within_s: Seconds = 10.0
    keepalive_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 3
    """Seconds between two keepalive messages; after three without answer the host is lost. Too low: a host under load
    is taken for lost; too high: it is noticed late."""
    shutdown_within_s: Waiting = 60.0
    """How long a guest that is asked to shut down has for it; then it is refused, and a forced stop is another
    command. Of a reboot: then it is reset. 0: it is not asked."""
    plug_after_s: Waiting = 10.0
    """How long after its start or reset a guest is given its first disk or NIC. Too low: one whose firmware is counting
    its devices just then hangs for good (seen with SeaBIOS, which takes a second, and many where the host is busy); too
    high: an early attach takes longer."""
    unplug_within_s: Seconds = 45.0
    """How long a guest has to let go of a disk or NIC. Too low: one that is booting is not waited for."""
    registry: str | None = None
    """The file of fences and tokens, relative to the home directory; by default the home's stem with `.libvirt`."""


def read(options: Mapping[str, Any]) -> Options:
    """The options, checked.

    Raises:
        PluginError: one of them is unknown or wrong.
    """
    try:
        read = msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise PluginError(f"driver libvirt: {error}; correct it in [drivers.libvirt]") from error
    for wrong in _wrong(read):
        raise PluginError(f"driver libvirt: {wrong}")
    return read


def _wrong(options: Options) -> list[str]:
    """What is wrong between options."""
    wrong = [_wrong_uri(each.uri) for each in options.hosts.values()]
    wrong += [_wrong_uri(options.uri)] if options.uri is not None else []
    wrong += [_wrong_network(name, each) for name, each in options.networks.items()]
    wrong += [_wrong_pool(name, each) for name, each in options.pools.items()]
    wrong += [f"boot {options.boot!r} is not in boots"] if options.boot not in {None, *options.boots} else []
    wrong += [_wrong_image(name, each) for name, each in options.templates.items()]
    return [each for each in wrong if each]


def _wrong_uri(uri: str) -> str:
    if re.match(r"^[a-z]+(\+[a-z0-9]+)?://", uri):
        return ""
    return f"{uri!r} is no libvirt URI, such as qemu:///system or qemu+ssh://root@kvm1/system"


def _wrong_network(name: str, network: NetworkOptions) -> str:
    if (network.network is None) == (network.bridge is None):
        return f"networks.{name} needs one of `network` and `bridge`"
    return ""


NEEDS: Mapping[str, tuple[str, ...]] = {
    "dir": ("path",),
    "netfs": ("path", "server", "source"),
    "logical": ("source",),
    "rbd": ("server", "source"),
}
"""What a pool of each kind must be told to be defined."""


def _wrong_pool(name: str, pool: PoolOptions) -> str:
    lacking = [each for each in NEEDS.get(pool.type or "", ()) if getattr(pool, each) is None]
    return f"pools.{name} of type {pool.type} needs `{'`, `'.join(lacking)}`" if lacking else ""


def _wrong_image(name: str, image: ImageOptions) -> str:
    if (image.file is None) == (image.volume is None):
        return f"templates.{name} needs one of `file` and `volume`"
    if image.file is not None and image.sha256 is None:
        return f"templates.{name} has a `file` without its `sha256`"
    return ""


def registry_file(options: Options, home: Home) -> Path:
    """Where fences and tokens are kept."""
    return home.directory / (options.registry or f"{home.stem}.libvirt")
