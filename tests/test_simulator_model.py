"""The simulator against a plain model: whatever is said, both answer the same and show the same world.

The model is dictionaries and no SQL. It shares no code with the rules, counts room by summing up what guests hold, and
says of each command only whether it is done or which scope a refusal has.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import event, given, settings
from hypothesis import strategies as st

from interlock.drivers.simulator import Domain, Nic, PluggedNic, PluggedVolume, Power, Volume, World
from interlock.schema import commands as c
from interlock.schema.commands import (
    AnyCommand,
    Capability,
    Done,
    NicSpec,
    Outcome,
    Refusal,
    Refused,
    Scope,
    VolumeSpec,
)
from tests.lives import LIVES, VMS
from tests.simulated import HOSTS, POOLS, Synchronous, name, synchronous

ROOM = {host.id: (host.cpu_mhz, host.memory_mib) for host in HOSTS}
SPACE = {pool.id: int(pool.size_mib * pool.overcommit) for pool in POOLS}
Key = tuple[str, str]


@dataclass(frozen=True)
class Guest:
    """A guest of the model; `size` is cores, MHz, MiB."""

    started: c.StartDomain
    host: str
    size: tuple[int, int, int]
    held: tuple[int, int]
    rules: tuple[c.RuleSpec, ...] | None
    on: bool = True
    paused: bool = False
    boots: int = 1
    nics: dict[str, NicSpec] = field(default_factory=dict)
    volumes: dict[str, PluggedVolume] = field(default_factory=dict)


class Model:
    """A world that answers None for done, and else the scope of the refusal."""

    def __init__(self, capabilities: frozenset[Capability]) -> None:
        self.capabilities = capabilities
        self.nics: dict[Key, tuple[str, NicSpec]] = {}
        self.volumes: dict[Key, Volume] = {}
        self.guests: dict[str, Guest] = {}

    # What is so

    def used(self, host: str) -> tuple[int, int]:
        """What the guests that are on hold of a host."""
        held = [guest.held for guest in self.guests.values() if guest.host == host and guest.on]
        return sum(cpu for cpu, _ in held), sum(memory for _, memory in held)

    def taken(self, pool: str) -> int:
        """What volumes take of a pool."""
        return sum(volume.size_mib for volume in self.volumes.values() if volume.pool_id == pool)

    def fits(self, host: str, held: tuple[int, int]) -> bool:
        """Whether the host is there and has that much more."""
        used = self.used(host)
        return host in ROOM and all(u + h <= total for u, h, total in zip(used, held, ROOM[host], strict=True))

    def ready(self, host: str, nics: Iterable[NicSpec]) -> bool:
        """Whether all of the NICs are ready on the host."""
        return all((nic.id, host) in self.nics for nic in nics)

    def running(self, command: c.Command) -> Guest | None:
        """The guest that the command is for, if it runs where the command goes."""
        guest = self.guests.get(command.vm_id)
        return guest if guest and guest.on and not guest.paused and guest.host == command.at else None

    def lacks(self, command: AnyCommand) -> bool:
        """Whether it is more than the hypervisor can."""
        guest = self.guests.get(command.vm_id)
        match command:
            case c.ApplyRules() | c.StartDomain(rules=tuple()):
                needed = Capability.SECURITY_GROUPS
            case c.CreateVolume(volume=VolumeSpec(clone="linked")):
                needed = Capability.LINKED_CLONE
            case c.MigrateDomain():
                needed = Capability.LIVE_MIGRATION
            case c.ScaleDomain():
                needed = Capability.LIVE_SCALE
            case c.PlugNic() | c.PlugVolume():
                needed = Capability.HOT_PLUG
            case c.QuarantineDomain():
                needed = Capability.QUARANTINE
            case c.UnplugNic() if guest and command.nic_id in guest.nics:
                needed = Capability.HOT_PLUG
            case c.UnplugVolume() if guest and command.volume_id in guest.volumes:
                needed = Capability.HOT_PLUG
            case _:
                return False
        return needed not in self.capabilities

    # What is done

    def say(self, command: AnyCommand) -> Scope | None:
        """Do it, or say what it is refused about."""
        if self.lacks(command):
            return Scope.VM
        answer: Scope | None = getattr(self, name(command))(command)
        return answer

    def PrepareNic(self, command: c.PrepareNic) -> Scope | None:  # noqa: N802 - the names of the commands
        if command.at not in ROOM:
            return Scope.HOST
        self.nics[command.nic.id, command.at] = (command.vm_id, command.nic)
        return None

    def ReleaseNic(self, command: c.ReleaseNic) -> None:  # noqa: N802
        self.nics.pop((command.nic_id, command.at), None)

    def CreateVolume(self, command: c.CreateVolume) -> Scope | None:  # noqa: N802
        spec = command.volume
        made = Volume(spec.id, command.at, command.vm_id, spec.size_mib, spec.template_id, spec.clone)
        there = self.volumes.get((spec.id, command.at))
        if there:
            return None if there == made else Scope.VM
        if self.taken(command.at) + spec.size_mib > SPACE.get(command.at, -1):
            return Scope.POOL
        self.volumes[spec.id, command.at] = made
        return None

    def DeleteVolume(self, command: c.DeleteVolume) -> None:  # noqa: N802
        self.volumes.pop((command.volume_id, command.at), None)

    def ResizeVolume(self, command: c.ResizeVolume) -> Scope | None:  # noqa: N802
        key = (command.volume_id, command.at)
        if key not in self.volumes:
            return Scope.VM
        before = self.volumes[key]
        if self.taken(command.at) - before.size_mib + command.size_mib > SPACE[command.at]:
            return Scope.POOL
        self.volumes[key] = Volume(
            before.id, before.pool_id, before.vm_id, command.size_mib, before.template_id, before.clone
        )
        guest = self.guests.get(command.vm_id)
        plug = guest.volumes.get(command.volume_id) if guest and guest.host == command.host_id else None
        if guest and plug and plug.pool_id == command.at:
            guest.volumes[plug.id] = PluggedVolume(plug.device, plug.id, plug.pool_id, command.size_mib)
        return None

    def StartDomain(self, command: c.StartDomain) -> Scope | None:  # noqa: N802
        there = self.guests.get(command.vm_id)
        if there and (there.host != command.at or there.on):
            return None if there.host == command.at and not there.paused else Scope.VM
        held = (command.cpu_held_mhz, command.memory_held_mib)
        if not self.fits(command.at, held) or not self.ready(command.at, command.nics):
            return Scope.HOST
        if any((spec.id, spec.pool_id) not in self.volumes for spec in command.volumes):
            return Scope.VM
        self.guests[command.vm_id] = Guest(
            started=command,
            host=command.at,
            size=(command.cpu_cores, command.cpu_mhz, command.memory_mib),
            held=held,
            rules=command.rules,
            boots=there.boots + 1 if there else 1,
            nics={nic.id: nic for nic in command.nics},
            volumes={spec.id: self.plugged(spec) for spec in command.volumes},
        )
        return None

    def plugged(self, spec: VolumeSpec) -> PluggedVolume:
        """The volume as a guest finds it."""
        return PluggedVolume(spec.device, spec.id, spec.pool_id, self.volumes[spec.id, spec.pool_id].size_mib)

    def StopDomain(self, command: c.StopDomain) -> None:  # noqa: N802
        guest = self.guests.get(command.vm_id)
        if guest and guest.host == command.at:
            del self.guests[command.vm_id]

    def RebootDomain(self, command: c.RebootDomain) -> Scope | None:  # noqa: N802
        guest = self.running(command)
        if not guest:
            return Scope.VM
        self.guests[command.vm_id] = replace(guest, boots=guest.boots + 1)
        return None

    def MigrateDomain(self, command: c.MigrateDomain) -> Scope | None:  # noqa: N802
        there = self.guests.get(command.vm_id)
        if there and there.on and not there.paused and there.host == command.to_host:
            return None
        guest = self.running(command)
        if not guest:
            return Scope.VM
        held = (command.cpu_held_mhz, command.memory_held_mib)
        if not self.fits(command.to_host, held) or not self.ready(command.to_host, guest.nics.values()):
            return Scope.HOST
        if any((plug.id, plug.pool_id) not in self.volumes for plug in guest.volumes.values()):
            return Scope.VM
        self.guests[command.vm_id] = replace(guest, host=command.to_host, held=held)
        return None

    def ScaleDomain(self, command: c.ScaleDomain) -> Scope | None:  # noqa: N802
        guest = self.running(command)
        if not guest:
            return Scope.VM
        held = (command.cpu_held_mhz, command.memory_held_mib)
        if not self.fits(command.at, (held[0] - guest.held[0], held[1] - guest.held[1])):
            return Scope.HOST
        size = (command.cpu_cores, command.cpu_mhz, command.memory_mib)
        self.guests[command.vm_id] = replace(guest, size=size, held=held)
        return None

    def PlugNic(self, command: c.PlugNic) -> Scope | None:  # noqa: N802
        guest = self.running(command)
        if not guest:
            return Scope.VM
        if not self.ready(command.at, [command.nic]):
            return Scope.HOST
        guest.nics[command.nic.id] = command.nic
        return None

    def UnplugNic(self, command: c.UnplugNic) -> None:  # noqa: N802
        guest = self.guests.get(command.vm_id)
        if guest and guest.host == command.at:
            guest.nics.pop(command.nic_id, None)

    def PlugVolume(self, command: c.PlugVolume) -> Scope | None:  # noqa: N802
        guest = self.running(command)
        if not guest or (command.volume.id, command.volume.pool_id) not in self.volumes:
            return Scope.VM
        guest.volumes.setdefault(command.volume.id, self.plugged(command.volume))
        return None

    def UnplugVolume(self, command: c.UnplugVolume) -> None:  # noqa: N802
        guest = self.guests.get(command.vm_id)
        if guest and guest.host == command.at:
            guest.volumes.pop(command.volume_id, None)

    def ApplyRules(self, command: c.ApplyRules) -> Scope | None:  # noqa: N802
        guest = self.guests.get(command.vm_id)
        if not guest or guest.host != command.at:
            return Scope.VM
        self.guests[command.vm_id] = replace(guest, rules=command.rules)
        return None

    def LookForDomain(self, command: c.LookForDomain) -> None:  # noqa: N802
        """Nothing changes."""

    def QuarantineDomain(self, command: c.QuarantineDomain) -> None:  # noqa: N802
        if guest := self.running(command):
            self.guests[command.vm_id] = replace(guest, paused=True)

    def power_off_inside(self, vm: str) -> None:
        """The guest shuts itself down."""
        if vm in self.guests:
            self.guests[vm] = replace(self.guests[vm], on=False, paused=False)

    # What it looks like

    def world(self) -> World:
        """All there is."""
        return World(
            domains=tuple(domain(self.guests[vm]) for vm in sorted(self.guests)),
            volumes=tuple(volume for _, volume in sorted(self.volumes.items())),
            nics=tuple(
                Nic(id, host, vm, nic.ip_address, nic.ip6_address, nic.mac_address)
                for (id, host), (vm, nic) in sorted(self.nics.items())
            ),
        )


def domain(guest: Guest) -> Domain:
    """A guest of the model as the simulator shows its own."""
    cores, mhz, mib = guest.size
    nics = (
        PluggedNic(nic.device, nic.id, nic.is_default, nic.ip_address, nic.ip6_address, nic.mac_address)
        for nic in guest.nics.values()
    )
    return Domain(
        vm_id=guest.started.vm_id,
        host_id=guest.host,
        name=guest.started.name,
        instance_name=guest.started.instance_name,
        cpu_cores=cores,
        cpu_mhz=mhz,
        memory_mib=mib,
        cpu_held_mhz=guest.held[0],
        memory_held_mib=guest.held[1],
        iso=None,
        user_data_sha256=None,
        ssh_keys=(),
        details=(),
        rules=guest.rules,
        power=Power.PAUSED if guest.paused else Power.ON if guest.on else Power.OFF,
        boots=guest.boots,
        nics=tuple(sorted(nics)),
        volumes=tuple(sorted(guest.volumes.values())),
    )


def scope_of(outcome: Outcome | None) -> Scope | None:
    """What an outcome is about; None if it is Done."""
    if isinstance(outcome, Done):
        return None
    assert isinstance(outcome, Refused) and outcome.kind is Refusal.PERMANENT and outcome.reason
    return outcome.scope


def assert_counted(sim: Synchronous, model: Model) -> None:
    """What hosts and pools count as used is what guests hold and volumes take."""
    hosts = sim.query("SELECT id, cpu_used_mhz, memory_used_mib FROM host ORDER BY id")
    assert hosts == [(host, *model.used(host)) for host in sorted(ROOM)]
    pools = sim.query("SELECT id, used_mib FROM pool ORDER BY id")
    assert pools == [(pool, model.taken(pool)) for pool in sorted(SPACE)]


ALL, SELDOM_LESS = frozenset(Capability), st.sampled_from([0, 0, 1])
CAPABILITIES = SELDOM_LESS.flatmap(lambda less: st.frozensets(st.sampled_from(Capability)) if less else st.just(ALL))
OFF = st.dictionaries(st.integers(0, 30), VMS, max_size=3)
"""After which command which guest shuts itself down."""


@settings(deadline=None, max_examples=150)
@given(LIVES, OFF, CAPABILITIES)
def test_the_simulator_does_what_the_plain_model_does(
    commands: list[AnyCommand], off: dict[int, str], capabilities: frozenset[Capability]
) -> None:
    model, done = Model(capabilities), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, synchronous(Path(folder) / "world", capabilities) as sim:
        for number, command in enumerate(commands):
            expected = model.say(command)
            assert scope_of(sim.say(command)) == expected, command
            done[name(command)] += expected is None
            if number in off:
                sim.power_off_inside(off[number])
                model.power_off_inside(off[number])
            assert sim.world() == model.world(), command
            assert_counted(sim, model)
    for kind in done:
        event(f"{kind} {'done' if done[kind] else 'refused only'}")
