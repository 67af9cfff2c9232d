"""The reference model of the driver protocol: dictionaries, and for each command what must become of it.

It says less than a simulator: where the protocol leaves a driver free (a guest whose NIC is not ready: refused or
started), the model takes either, and goes by the outcome. What the engine never asks, `asked` leaves out.

Promises: shares no code with any driver. Never wrong about room: scenes have room for all that is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from interlock.schema import commands as c
from interlock.schema.commands import AnyCommand, Capability, Scope
from interlock.testing.kits.scene import Scene
from interlock.testing.seen import Disk, Guest, ReadyNic, Seen

Place = tuple[str, str]
"""A volume's id and its pool, or a NIC's and its host."""


class Must(StrEnum):
    """What the protocol says of a command's outcome."""

    DONE = "Done"
    REFUSED = "Refused permanent"
    EITHER = "either"


@dataclass
class Running:
    """A guest."""

    host: str
    cores: int
    memory: int
    nics: set[str]
    volumes: dict[str, str]
    """Each with its pool."""
    boots: int = 1


@dataclass
class Made:
    """A volume: its size now and when it was made, and for whom."""

    size: int
    first: c.CreateVolume


@dataclass
class Model:
    """The world as it must be, if the driver keeps the protocol."""

    scene: Scene
    capabilities: frozenset[Capability]
    guests: dict[str, Running] = field(default_factory=dict)
    disks: dict[Place, Made] = field(default_factory=dict)
    ready: set[Place] = field(default_factory=set)
    fences: dict[str, int] = field(default_factory=dict)
    """The highest that was said, by VM and subject."""

    # Fences

    def is_stale(self, command: AnyCommand, fence: int) -> bool:
        """Note the fence; whether it was lower than one of before."""
        entities = {f"vm {command.vm_id}", command.subject} - {"vm "}
        stale = any(self.fences.get(entity, fence) > fence for entity in entities)
        self.fences.update({entity: max(fence, self.fences.get(entity, fence)) for entity in entities})
        return stale

    # What the engine would ask

    def asked(self, command: AnyCommand) -> AnyCommand | None:  # noqa: PLR0911 - one line a command
        """The command, with the right host told to a resize; None if the engine would never ask it now."""
        guest = self.guests.get(command.vm_id)
        match command:
            case c.StartDomain():
                return command if guest is None or guest.host == command.at else None
            case c.ReleaseNic():
                used = any(command.nic_id in each.nics and each.host == command.at for each in self.guests.values())
                return None if used else command
            case c.DeleteVolume():
                used = any(command.volume_id in each.volumes for each in self.guests.values())
                return None if used else command
            case c.CreateVolume():
                return command if self._is_as_made(command) else None
            case c.ResizeVolume():
                return self._grown(command, guest)
            case c.MigrateDomain():
                return command if command.to_host != command.at else None
            case _:
                return command

    def _is_as_made(self, command: c.CreateVolume) -> bool:
        """Whether it is nowhere, or there just like this."""
        there = [made for (id, _), made in self.disks.items() if id == command.volume.id]
        return not there or (there[0].first == command and there[0].size == command.volume.size_mib)

    def _grown(self, command: c.ResizeVolume, guest: Running | None) -> c.ResizeVolume | None:
        there = self.disks.get((command.volume_id, command.at))
        if there and (there.size > command.size_mib or there.first.vm_id != command.vm_id):
            return None
        plugged = guest is not None and command.volume_id in guest.volumes
        return msgspec.structs.replace(command, host_id=guest.host if guest and plugged else None)

    # What must become of it

    def lacks(self, command: AnyCommand) -> Capability | None:
        """The capability that the command needs and the driver lacks."""
        guest = self.guests.get(command.vm_id)
        match command:
            case c.StartDomain() if command.rules is not None:
                needed = Capability.SECURITY_GROUPS
            case c.ApplyRules():
                needed = Capability.SECURITY_GROUPS
            case c.CreateVolume() if command.volume.clone == "linked":
                needed = Capability.LINKED_CLONE
            case c.MigrateDomain():
                needed = Capability.LIVE_MIGRATION
            case c.ScaleDomain():
                needed = Capability.LIVE_SCALE
            case c.PlugNic() | c.PlugVolume():
                needed = Capability.HOT_PLUG
            case c.UnplugNic() if guest and command.nic_id in guest.nics:
                needed = Capability.HOT_PLUG
            case c.UnplugVolume() if guest and command.volume_id in guest.volumes:
                needed = Capability.HOT_PLUG
            case _:
                return None
        return None if needed in self.capabilities else needed

    def must(self, command: AnyCommand) -> tuple[Must, Scope | None]:  # noqa: PLR0911 - one line a command
        """What must become of it, and if it is refused, about what; None: about anything."""
        if self.lacks(command):
            return Must.REFUSED, Scope.VM
        match command:
            case c.PrepareNic() | c.StartDomain() if not self._is_host(command.at):
                return Must.REFUSED, Scope.HOST
            case c.CreateVolume() if command.at not in {pool.id for pool in self.scene.pools}:
                return Must.REFUSED, Scope.POOL
            case c.StartDomain():
                return self._must_start(command), None
            case c.MigrateDomain():
                return self._must_migrate(command)
            case c.RebootDomain() | c.ScaleDomain() | c.ApplyRules() | c.PlugNic() | c.PlugVolume():
                return self._must_change(command)
            case c.ResizeVolume():
                there = (command.volume_id, command.at) in self.disks
                return (Must.DONE, None) if there else (Must.REFUSED, Scope.VM)
            case _:
                return Must.DONE, None

    def _is_host(self, id: str) -> bool:
        return id in {host.id for host in self.scene.hosts}

    def _runs_at(self, command: AnyCommand) -> Running | None:
        guest = self.guests.get(command.vm_id)
        return guest if guest and guest.host == command.at else None

    def _must_start(self, command: c.StartDomain) -> Must:
        if self._runs_at(command):
            return Must.DONE
        ready = all((nic.id, command.at) in self.ready for nic in command.nics)
        there = all((volume.id, volume.pool_id) in self.disks for volume in command.volumes)
        return Must.DONE if ready and there else Must.EITHER

    def _must_migrate(self, command: c.MigrateDomain) -> tuple[Must, Scope | None]:
        guest = self.guests.get(command.vm_id)
        if guest and guest.host == command.to_host:
            return Must.DONE, None
        if not self._runs_at(command) or guest is None:
            return Must.REFUSED, Scope.VM
        if not self._is_host(command.to_host):
            return Must.REFUSED, Scope.HOST
        ready = all((nic, command.to_host) in self.ready for nic in guest.nics)
        return Must.DONE if ready else Must.EITHER, None

    def _must_change(self, command: AnyCommand) -> tuple[Must, Scope | None]:
        if not self._runs_at(command):
            return Must.REFUSED, Scope.VM
        if isinstance(command, c.PlugVolume) and (command.volume.id, command.volume.pool_id) not in self.disks:
            return Must.REFUSED, Scope.VM
        if isinstance(command, c.PlugNic) and (command.nic.id, command.at) not in self.ready:
            return Must.EITHER, None
        return Must.DONE, None

    # What it does

    def done(self, command: AnyCommand) -> None:
        """It was Done for the first time under its token: the world is as it says."""
        guest = self.guests.get(command.vm_id)
        match command:
            case c.PrepareNic():
                self.ready.add((command.nic.id, command.at))
            case c.ReleaseNic():
                self.ready.discard((command.nic_id, command.at))
            case c.CreateVolume():
                self.disks.setdefault((command.volume.id, command.at), Made(command.volume.size_mib, command))
            case c.DeleteVolume():
                self.disks.pop((command.volume_id, command.at), None)
            case c.ResizeVolume():
                self.disks[command.volume_id, command.at].size = command.size_mib
            case c.StartDomain() if guest is None:
                self.guests[command.vm_id] = _started(command)
            case c.StopDomain() if guest and guest.host == command.at:
                del self.guests[command.vm_id]
            case _ if guest is not None:
                _changed(guest, command)

    def seen(self) -> Seen:
        """What an observer must see."""
        guests = (
            Guest(
                vm_id=vm_id,
                host_id=each.host,
                running=True,
                nics=tuple(sorted(each.nics)),
                volumes=tuple(sorted(each.volumes)),
                cpu_cores=each.cores,
                memory_mib=each.memory,
                boots=each.boots,
            )
            for vm_id, each in self.guests.items()
        )
        return Seen(
            guests=tuple(sorted(guests)),
            disks=tuple(
                Disk(id=id, pool_id=pool, size_mib=made.size) for (id, pool), made in sorted(self.disks.items())
            ),
            nics=tuple(ReadyNic(id=id, host_id=host) for id, host in sorted(self.ready)),
        )


def _started(command: c.StartDomain) -> Running:
    return Running(
        host=command.at,
        cores=command.cpu_cores,
        memory=command.memory_mib,
        nics={nic.id for nic in command.nics},
        volumes={volume.id: volume.pool_id for volume in command.volumes},
    )


def _changed(guest: Running, command: AnyCommand) -> None:
    """What a command does to a guest that runs. Taking away touches one that is where the command goes."""
    match command:
        case c.RebootDomain():
            guest.boots += 1
        case c.MigrateDomain():
            guest.host = command.to_host
        case c.ScaleDomain():
            guest.cores, guest.memory = command.cpu_cores, command.memory_mib
        case c.PlugNic():
            guest.nics.add(command.nic.id)
        case c.PlugVolume():
            guest.volumes[command.volume.id] = command.volume.pool_id
        case c.UnplugNic() if guest.host == command.at:
            guest.nics.discard(command.nic_id)
        case c.UnplugVolume() if guest.host == command.at:
            guest.volumes.pop(command.volume_id, None)
