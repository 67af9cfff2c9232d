"""A driver's places, and the commands that a VM's life is made of there, each in one word.

VM `n` is `kit-vmN`; it has a NIC `kit-nicN` and a volume `kit-volN`, and may get a second of each by `device=1`. A
subclass of a kit makes its own scene where the defaults do not suit: smaller guests, other hosts, another template.

Promises: the commands are those that the engine sends, with all that they carry. Every id begins with `kit-`, so that
an observer can leave out what was there before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from interlock.schema import commands as c
from interlock.schema.cloud import FirewallRule, Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Command, NicSpec, RuleSpec, VolumeSpec

DRIVER = "kit"


def a_host(id: str) -> Host:
    """A host with room for all that a kit starts."""
    place: dict[str, Any] = {"zone_id": "kit-zone", "pod_id": "kit-pod", "cluster_id": "kit-cluster"}
    return Host(id=id, **place, driver=DRIVER, cpu_mhz=64_000, memory_mib=65_536)


def a_pool(id: str) -> StoragePool:
    """A pool with room for all that a kit creates."""
    return StoragePool(id=id, zone_id="kit-zone", scope="zone", driver=DRIVER, size_mib=1_048_576)


def of_no_vm(command: AnyCommand) -> AnyCommand:
    """The command as it is for a disk that belongs to no VM."""
    return msgspec.structs.replace(command, vm_id="")


@dataclass(frozen=True)
class Scene:
    """Where the commands go, and with which figures."""

    hosts: tuple[Host, ...] = (a_host("kit-host-1"), a_host("kit-host-2"))
    """At least one; migrations are only asked for where there are two."""
    pools: tuple[StoragePool, ...] = (a_pool("kit-pool-1"), a_pool("kit-pool-2"))
    """At least one, that all hosts reach."""
    network_id: str = "kit-net"
    subnet: str = "10.213.0"
    """The first three numbers of the /24 that NICs have their addresses in; .1 is the gateway."""
    template: str | None = "debian-12"
    """What volumes are made from; None: they are blank."""
    iso: str | None = None
    """What guests boot from."""
    cpu_cores: int = 1
    cpu_mhz: int = 500
    memory_mib: int = 256
    disk_mib: int = 64
    """Of a volume; it grows by half of that."""
    too_big_mib: int | None = 2**50
    """A volume that fits in no pool; None: there is no such size."""

    @property
    def host(self) -> str:
        """Where VMs are started."""
        return self.hosts[0].id

    @property
    def other_host(self) -> str | None:
        """Where they can move; None: nowhere."""
        return self.hosts[1].id if len(self.hosts) > 1 else None

    @property
    def pool(self) -> str:
        """Where volumes are made."""
        return self.pools[0].id

    # What commands carry

    def nic(self, vm: int = 1, device: int = 0) -> NicSpec:
        """One of the VM's NICs."""
        return NicSpec(
            id=_id("nic", vm, device),
            network_id=self.network_id,
            device=device,
            is_default=device == 0,
            ip_address=f"{self.subnet}.{10 * vm + device}",
            ip6_address=None,
            mac_address=f"02:4b:49:54:{device:02x}:{vm:02x}",
            gateway=f"{self.subnet}.1",
            netmask="255.255.255.0",
        )

    def volume(
        self, vm: int = 1, device: int = 0, pool: str | None = None, clone: str = "full", size: int | None = None
    ) -> VolumeSpec:
        """One of the VM's volumes."""
        return VolumeSpec(
            id=_id("vol", vm, device),
            pool_id=pool or self.pool,
            device=device,
            size_mib=size or self.disk_mib,
            template_id=self.template if device == 0 else None,
            clone=clone if device == 0 and self.template else None,
        )

    def rules(self, port: int = 22) -> tuple[RuleSpec, ...]:
        """A security group that lets one port in."""
        return (RuleSpec(group="kit", ingress=(FirewallRule(protocol="tcp", first_port=port),), egress=()),)

    # Commands

    def prepare(self, vm: int = 1, at: str | None = None, device: int = 0) -> c.PrepareNic:
        """Make its NIC ready."""
        return c.PrepareNic(**self._about("nic", vm, at, device), nic=self.nic(vm, device))

    def release(self, vm: int = 1, at: str | None = None, device: int = 0) -> c.ReleaseNic:
        """Release its NIC."""
        return c.ReleaseNic(**self._about("nic", vm, at, device), nic_id=_id("nic", vm, device))

    def create(self, vm: int = 1, at: str | None = None, device: int = 0, **more: Any) -> c.CreateVolume:
        """Create its volume; `more` is for `volume`."""
        about = self._about("volume", vm, at or self.pool, device)
        return c.CreateVolume(**about, volume=self.volume(vm, device, at, **more))

    def delete(self, vm: int = 1, at: str | None = None, device: int = 0) -> c.DeleteVolume:
        """Delete its volume."""
        return c.DeleteVolume(**self._about("volume", vm, at or self.pool, device), volume_id=_id("vol", vm, device))

    def resize(
        self, vm: int = 1, at: str | None = None, device: int = 0, host: str | None = None, size: int | None = None
    ) -> c.ResizeVolume:
        """Let its volume grow; `host` is where a guest has it plugged."""
        about = self._about("volume", vm, at or self.pool, device)
        size = size or self.disk_mib + max(1, self.disk_mib // 2)
        return c.ResizeVolume(**about, volume_id=_id("vol", vm, device), size_mib=size, host_id=host)

    def start(
        self,
        vm: int = 1,
        at: str | None = None,
        pool: str | None = None,
        memory: int | None = None,
        rules: bool = False,
    ) -> c.StartDomain:
        """Start its guest, which holds all of its size; `rules`: in a security group."""
        memory = memory or self.memory_mib
        return c.StartDomain(
            **self._about("vm", vm, at),
            name=f"kit-{vm}",
            instance_name=f"kit-i-{vm}",
            cpu_cores=self.cpu_cores,
            cpu_mhz=self.cpu_mhz,
            memory_mib=memory,
            cpu_held_mhz=self.cpu_mhz,
            memory_held_mib=memory,
            nics=(self.nic(vm),),
            volumes=(self.volume(vm, pool=pool),),
            iso=self.iso,
            rules=self.rules() if rules else None,
            user_data=None,
            ssh_keys=(),
            details={},
        )

    def stop(self, vm: int = 1, at: str | None = None) -> c.StopDomain:
        """Stop its guest."""
        return c.StopDomain(**self._about("vm", vm, at), forced=True)

    def reboot(self, vm: int = 1, at: str | None = None) -> c.RebootDomain:
        """Reboot its guest."""
        return c.RebootDomain(**self._about("vm", vm, at))

    def migrate(self, vm: int = 1, at: str | None = None, to: str | None = None) -> c.MigrateDomain:
        """Move its guest."""
        to = to or self.other_host or self.host
        held: dict[str, Any] = {"cpu_held_mhz": self.cpu_mhz, "memory_held_mib": self.memory_mib}
        return c.MigrateDomain(**self._about("vm", vm, at), to_host=to, **held)

    def scale(self, vm: int = 1, at: str | None = None) -> c.ScaleDomain:
        """Give its guest one core and half the memory more."""
        cores, memory = self.cpu_cores + 1, self.memory_mib + self.memory_mib // 2
        size: dict[str, Any] = {"cpu_cores": cores, "cpu_mhz": self.cpu_mhz, "memory_mib": memory}
        held: dict[str, Any] = {"cpu_held_mhz": self.cpu_mhz, "memory_held_mib": memory}
        return c.ScaleDomain(**self._about("vm", vm, at), **size, **held)

    def plug_nic(self, vm: int = 1, at: str | None = None) -> c.PlugNic:
        """Give its guest the second NIC."""
        return c.PlugNic(**self._about("nic", vm, at, 1), nic=self.nic(vm, 1))

    def unplug_nic(self, vm: int = 1, at: str | None = None) -> c.UnplugNic:
        """Take its second NIC."""
        return c.UnplugNic(**self._about("nic", vm, at, 1), nic_id=_id("nic", vm, 1))

    def plug_volume(self, vm: int = 1, at: str | None = None, pool: str | None = None) -> c.PlugVolume:
        """Give its guest the second volume."""
        return c.PlugVolume(**self._about("volume", vm, at, 1), volume=self.volume(vm, 1, pool))

    def unplug_volume(self, vm: int = 1, at: str | None = None) -> c.UnplugVolume:
        """Take its second volume."""
        return c.UnplugVolume(**self._about("volume", vm, at, 1), volume_id=_id("vol", vm, 1))

    def apply_rules(self, vm: int = 1, at: str | None = None, port: int = 80) -> c.ApplyRules:
        """Filter its guest's traffic."""
        return c.ApplyRules(**self._about("vm", vm, at), rules=self.rules(port))

    def _about(self, kind: str, vm: int, at: str | None, device: int = 0) -> dict[str, Any]:
        name = "vol" if kind == "volume" else kind
        subject = f"{kind} {_id(name, vm, device)}"
        return {"driver": DRIVER, "at": at or self.host, "vm_id": _id("vm", vm), "subject": subject}

    # Lives

    def up(self, vm: int = 1, at: str | None = None, pool: str | None = None) -> list[AnyCommand]:
        """What brings it up."""
        return [self.prepare(vm, at), self.create(vm, pool), self.start(vm, at, pool)]

    def life(self, capabilities: frozenset[Capability]) -> list[AnyCommand]:
        """A VM's life from nothing to nothing, with all commands that the driver can; each changes the world but
        those of filters."""
        asked: list[AnyCommand] = [*self.up(), self.reboot(), self.resize(host=self.host)]
        if Capability.SECURITY_GROUPS in capabilities:
            asked[2] = self.start(rules=True)
            asked.append(self.apply_rules())
        if Capability.LIVE_SCALE in capabilities:
            asked.append(self.scale())
        if Capability.HOT_PLUG in capabilities:
            asked += [self.prepare(device=1), self.plug_nic(), self.create(device=1), self.plug_volume()]
            asked += [self.unplug_nic(), self.unplug_volume(), self.release(device=1), self.delete(device=1)]
        there = self.host
        if self.other_host and Capability.LIVE_MIGRATION in capabilities:
            there = self.other_host
            asked += [self.prepare(at=there), self.migrate(), self.release()]
        return [*asked, self.stop(at=there), self.delete(), self.release(at=there)]

    def undo(self, command: AnyCommand) -> AnyCommand | None:
        """What undoes it; None: nothing does."""
        common = {field: getattr(command, field) for field in Command.__struct_fields__}
        match command:
            case c.PrepareNic():
                return c.ReleaseNic(**common, nic_id=command.nic.id)
            case c.CreateVolume():
                return c.DeleteVolume(**common, volume_id=command.volume.id)
            case c.StartDomain():
                return c.StopDomain(**common, forced=True)
            case c.PlugNic():
                return c.UnplugNic(**common, nic_id=command.nic.id)
            case c.PlugVolume():
                return c.UnplugVolume(**common, volume_id=command.volume.id)
            case _:
                return None

    def is_undoing(self, command: AnyCommand) -> bool:
        """Whether it takes something away, and is Done also where there is nothing."""
        return isinstance(command, c.ReleaseNic | c.DeleteVolume | c.StopDomain | c.UnplugNic | c.UnplugVolume)


def _id(kind: str, vm: int, device: int = 0) -> str:
    return f"kit-{kind}{vm}" + (f"-{device}" if device else "")
