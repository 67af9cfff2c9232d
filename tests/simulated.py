"""A small simulated cloud, and short ways to say the commands that a VM's life is made of.

Two hosts with room for two VMs each, two pools with room for three volumes each. Every VM `vmN` has a NIC
`nicN` and a volume `volN`, so that a command is named by the VM and the place alone; it may get a second of each,
`nicN-1` and `volN-1`, by `device=1`. A guest holds half of its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from interlock.drivers.simulator import FaultKind, Power, Simulator, World, outside, world
from interlock.drivers.simulator.capabilities import ALL
from interlock.drivers.simulator.delivery import Sent, deliver
from interlock.drivers.simulator.file import Job, WorldFile
from interlock.schema import commands as c
from interlock.schema.cloud import FirewallRule, Host, StoragePool
from interlock.schema.commands import AnyCommand, Done, NicSpec, Outcome, RuleSpec, VolumeSpec

HOSTS = tuple(
    Host(
        id=id,
        zone_id="z",
        pod_id="p",
        cluster_id="c",
        driver="sim",
        cpu_mhz=1000,
        memory_mib=512,
        memory_overcommit=overcommit,
    )
    for id, overcommit in (("h1", 1.0), ("h2", 4.0))
)
POOLS = tuple(
    StoragePool(id=id, zone_id="z", scope="zone", driver="sim", size_mib=size, overcommit=overcommit)
    for id, size, overcommit in (("p1", 30, 1.0), ("p2", 15, 2.0))
)


def nic(vm: str, device: int = 0) -> NicSpec:
    """One of the VM's NICs."""
    n = vm.removeprefix("vm")
    return NicSpec(
        id=_id("nic", vm, device),
        network_id="net",
        device=device,
        is_default=device == 0,
        ip_address=f"10.0.{device}.{n}",
        ip6_address=f"fd00::{device}:{n}" if device else None,
        mac_address=f"02:00:00:00:0{device}:{int(n):02}",
        gateway="10.0.0.254",
        netmask="255.255.0.0",
    )


def volume(vm: str, pool: str = "p1", size: int = 10, device: int = 0, clone: str | None = "full") -> VolumeSpec:
    """One of the VM's volumes."""
    return VolumeSpec(
        id=_id("vol", vm, device), pool_id=pool, device=device, size_mib=size, template_id="debian", clone=clone
    )


def rules(port: int = 22) -> tuple[RuleSpec, ...]:
    """A group that lets one port in."""
    return (RuleSpec(group="web", ingress=(FirewallRule(protocol="tcp", first_port=port),), egress=()),)


def _id(kind: str, vm: str, device: int) -> str:
    return vm.replace("vm", kind) + (f"-{device}" if device else "")


def _common(vm: str, at: str, kind: str, device: int = 0) -> dict[str, Any]:
    return {"driver": "sim", "at": at, "vm_id": vm, "subject": f"{kind} {_id(kind, vm, device)}"}


def prepare(vm: str = "vm1", at: str = "h1", device: int = 0) -> c.PrepareNic:
    """Make its NIC ready."""
    return c.PrepareNic(**_common(vm, at, "nic", device), nic=nic(vm, device))


def release(vm: str = "vm1", at: str = "h1", device: int = 0) -> c.ReleaseNic:
    """Release its NIC."""
    return c.ReleaseNic(**_common(vm, at, "nic", device), nic_id=_id("nic", vm, device))


def create(
    vm: str = "vm1", at: str = "p1", size: int = 10, device: int = 0, clone: str | None = "full"
) -> c.CreateVolume:
    """Create its volume."""
    return c.CreateVolume(**_common(vm, at, "vol", device), volume=volume(vm, at, size, device, clone))


def delete(vm: str = "vm1", at: str = "p1", device: int = 0) -> c.DeleteVolume:
    """Delete its volume."""
    return c.DeleteVolume(**_common(vm, at, "vol", device), volume_id=_id("vol", vm, device))


def resize(vm: str = "vm1", at: str = "p1", size: int = 12, host: str | None = None, device: int = 0) -> c.ResizeVolume:
    """Give its volume another size."""
    common = _common(vm, at, "vol", device)
    return c.ResizeVolume(**common, volume_id=_id("vol", vm, device), size_mib=size, host_id=host)


def start(
    vm: str = "vm1",
    at: str = "h1",
    pool: str = "p1",
    cpu: int = 500,
    memory: int = 256,
    filters: tuple[RuleSpec, ...] | None = None,
) -> c.StartDomain:
    """Start its guest; `cpu` and `memory` are what it holds."""
    return c.StartDomain(
        **_common(vm, at, "vm"),
        name=vm,
        instance_name=f"i-{vm}",
        cpu_cores=1,
        cpu_mhz=2 * cpu,
        memory_mib=2 * memory,
        cpu_held_mhz=cpu,
        memory_held_mib=memory,
        nics=(nic(vm),),
        volumes=(volume(vm, pool),),
        iso=None,
        rules=filters,
        user_data=None,
        ssh_keys=(),
        details={},
    )


def stop(vm: str = "vm1", at: str = "h1") -> c.StopDomain:
    """Stop its guest."""
    return c.StopDomain(**_common(vm, at, "vm"), forced=False)


def reboot(vm: str = "vm1", at: str = "h1") -> c.RebootDomain:
    """Reboot its guest."""
    return c.RebootDomain(**_common(vm, at, "vm"))


def migrate(vm: str = "vm1", at: str = "h1", to: str = "h2", cpu: int = 500, memory: int = 256) -> c.MigrateDomain:
    """Move its guest."""
    return c.MigrateDomain(**_common(vm, at, "vm"), to_host=to, cpu_held_mhz=cpu, memory_held_mib=memory)


def scale(vm: str = "vm1", at: str = "h1", cpu: int = 600, memory: int = 300) -> c.ScaleDomain:
    """Give its guest another size; `cpu` and `memory` are what it holds."""
    return c.ScaleDomain(
        **_common(vm, at, "vm"),
        cpu_cores=2,
        cpu_mhz=2 * cpu,
        memory_mib=2 * memory,
        cpu_held_mhz=cpu,
        memory_held_mib=memory,
    )


def plug_nic(vm: str = "vm1", at: str = "h1", device: int = 1) -> c.PlugNic:
    """Give its guest the second NIC."""
    return c.PlugNic(**_common(vm, at, "nic", device), nic=nic(vm, device))


def unplug_nic(vm: str = "vm1", at: str = "h1", device: int = 1) -> c.UnplugNic:
    """Take its second NIC."""
    return c.UnplugNic(**_common(vm, at, "nic", device), nic_id=_id("nic", vm, device))


def plug_volume(vm: str = "vm1", at: str = "h1", pool: str = "p1", device: int = 1) -> c.PlugVolume:
    """Give its guest the second volume."""
    return c.PlugVolume(**_common(vm, at, "vol", device), volume=volume(vm, pool, 5, device))


def unplug_volume(vm: str = "vm1", at: str = "h1", device: int = 1) -> c.UnplugVolume:
    """Take its second volume."""
    return c.UnplugVolume(**_common(vm, at, "vol", device), volume_id=_id("vol", vm, device))


def look(vm: str = "vm1", at: str = "h1") -> c.LookForDomain:
    """Ask for its guest."""
    return c.LookForDomain(**_common(vm, at, "vm"))


def quarantine(vm: str = "vm1", at: str = "h1") -> c.QuarantineDomain:
    """Halt its guest."""
    return c.QuarantineDomain(**_common(vm, at, "vm"))


def apply_rules(vm: str = "vm1", at: str = "h1", port: int = 22) -> c.ApplyRules:
    """Filter its guest's traffic."""
    return c.ApplyRules(**_common(vm, at, "vm"), rules=rules(port))


LIFE = (
    prepare(),
    create(),
    start(),
    reboot(),
    apply_rules(),
    scale(),
    resize(host="h1"),
    prepare(device=1),
    plug_nic(),
    create(size=5, device=1),
    plug_volume(),
    unplug_nic(),
    unplug_volume(),
    prepare(at="h2"),
    migrate(),
    quarantine(at="h2"),
    stop(at="h2"),
    delete(),
    delete(device=1),
    release(),
    release(device=1),
    release(at="h2"),
)
"""Every kind of command but a look, in an order in which each can be done and changes the world."""
UNDOING = (unplug_nic(), unplug_volume(), stop(), delete(), release())
"""Those that undo, whether or not there is something to."""


async def say(sim: Simulator, command: AnyCommand, token: str | None = None, fence: int = 1) -> Outcome:
    """Perform a command; without a token, under the one that is its own."""
    return await sim.perform(command, token=token or f"{name(command)} {command.subject} {command.at}", fence=fence)


async def until(sim: Simulator, command: AnyCommand) -> None:
    """Live up to, but not including, this command of a life."""
    for earlier in LIFE[: LIFE.index(command)]:
        assert await say(sim, earlier) == Done()


def name(thing: object) -> str:
    """What a test that is given this thing is called by."""
    return thing.name if isinstance(thing, FaultKind) else type(thing).__name__


def is_refused(outcome: Outcome | None, scope: c.Scope, *words: str) -> bool:
    """Whether it is a permanent refusal of that scope whose reason has these words."""
    assert isinstance(outcome, c.Refused), outcome
    assert (outcome.kind, outcome.scope) == (c.Refusal.PERMANENT, scope), outcome
    assert all(word in outcome.reason for word in words), outcome
    return True


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Synchronous:
    """A world's file without the event loop around it."""

    def __init__(self, file: WorldFile, capabilities: frozenset[c.Capability]) -> None:
        self.file = file
        self.capabilities = capabilities
        self._said = 0

    def say(self, command: AnyCommand, token: str | None = None, fence: int = 1) -> Outcome | None:
        """Perform one command, under a new token if none is given."""
        self._said += 1
        [answer] = self.file.run([self.job(command, token or f"token-{self._said}", fence)])
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def job(self, command: AnyCommand, token: str, fence: int = 1) -> Job:
        """What performs a command in a transaction."""
        return partial(deliver, sent=Sent(command, token, fence), now=0.0, capabilities=self.capabilities)

    def world(self) -> World:
        """All there is."""
        [answer] = self.file.run([world.read])
        return answer  # type: ignore[no-any-return]

    def attach(self, place: Host | StoragePool) -> None:
        """Attach a host or pool again, with another size than it had."""
        hosts, pools = ([place], []) if isinstance(place, Host) else ([], [place])
        self.file.run([partial(world.attach, hosts=hosts, pools=pools)])

    def power_off_inside(self, vm: str) -> None:
        """The guest shuts itself down, if there is one."""
        self.file.run([partial(outside.switch, vm_id=vm, power=Power.OFF, reason="", now=0.0)])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query says."""
        [answer] = self.file.run([lambda db: db.execute(sql).fetchall()])
        return answer  # type: ignore[no-any-return]


def up(sim: Synchronous, vm: str = "vm1", at: str = "h1", pool: str = "p1") -> None:
    """Bring a VM up."""
    for command in (prepare(vm, at), create(vm, pool), start(vm, at, pool)):
        assert sim.say(command) == Done()


def up_with_all(sim: Synchronous) -> None:
    """Bring vm1 up on h1, with a second NIC and a second volume."""
    up(sim)
    for command in (prepare(device=1), plug_nic(), create(size=5, device=1), plug_volume()):
        assert sim.say(command) == Done()


def assert_counted(sim: Synchronous) -> None:
    """The figures that the triggers keep are those that a recount gives."""
    recount = """
        SELECT id, (SELECT coalesce(sum(cpu_held_mhz), 0) FROM domain WHERE host = id AND power != 'Off'),
            (SELECT coalesce(sum(memory_held_mib), 0) FROM domain WHERE host = id AND power != 'Off') FROM host
    """
    assert sim.query("SELECT id, cpu_used_mhz, memory_used_mib FROM host") == sim.query(recount)
    recount = "SELECT id, (SELECT coalesce(sum(size_mib), 0) FROM volume WHERE pool = pool.id) FROM pool"
    assert sim.query("SELECT id, used_mib FROM pool") == sim.query(recount)


@contextmanager
def synchronous(path: Path, capabilities: frozenset[c.Capability] = ALL) -> Iterator[Synchronous]:
    """A new world with the hosts and pools above."""
    file = WorldFile(path, lambda: 0.0)
    file.open()
    try:
        file.run([partial(world.attach, hosts=HOSTS, pools=POOLS)])
        yield Synchronous(file, capabilities)
    finally:
        file.close()
