"""A small simulated cloud, and short ways to say the commands that a VM's life is made of.

Two hosts with room for two VMs each, two pools with room for three volumes each. Every VM `vmN` has a NIC
`nicN` and a volume `volN`, so that a command is named by the VM and the place alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from interlock.drivers.simulator import FaultKind, Simulator, World, world
from interlock.drivers.simulator.delivery import Sent, deliver
from interlock.drivers.simulator.file import WorldFile
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import (
    AnyCommand,
    CreateVolume,
    DeleteVolume,
    Done,
    NicSpec,
    Outcome,
    PrepareNic,
    RebootDomain,
    ReleaseNic,
    StartDomain,
    StopDomain,
    VolumeSpec,
)

HOSTS = tuple(
    Host(
        id=id,
        zone_id="z",
        pod_id="p",
        cluster_id="c",
        driver="sim",
        cpu_mhz=1000,
        memory_mib=memory,
        memory_overcommit=overcommit,
    )
    for id, memory, overcommit in (("h1", 512, 1.0), ("h2", 256, 4.0))
)
POOLS = tuple(
    StoragePool(id=id, zone_id="z", scope="zone", driver="sim", size_mib=size, overcommit=overcommit)
    for id, size, overcommit in (("p1", 30, 1.0), ("p2", 15, 2.0))
)


def nic(vm: str) -> NicSpec:
    """The VM's NIC."""
    n = vm.removeprefix("vm")
    return NicSpec(
        id=f"nic{n}",
        network_id="net",
        device=0,
        ip_address=f"10.0.0.{n}",
        mac_address=f"02:00:00:00:00:{int(n):02x}",
        gateway="10.0.0.254",
        netmask="255.255.255.0",
    )


def volume(vm: str, pool: str = "p1", size: int = 10) -> VolumeSpec:
    """The VM's root disk."""
    return VolumeSpec(id=vm.replace("vm", "vol"), pool_id=pool, device=0, size_mib=size, template_id="debian")


def _common(vm: str, at: str, about: str) -> dict[str, Any]:
    return {"driver": "sim", "at": at, "vm_id": vm, "subject": f"{about} {vm.replace('vm', about)}"}


def prepare(vm: str = "vm1", at: str = "h1") -> PrepareNic:
    """Make its NIC ready."""
    return PrepareNic(**_common(vm, at, "nic"), nic=nic(vm))


def release(vm: str = "vm1", at: str = "h1") -> ReleaseNic:
    """Release its NIC."""
    return ReleaseNic(**_common(vm, at, "nic"), nic_id=nic(vm).id)


def create(vm: str = "vm1", at: str = "p1", size: int = 10) -> CreateVolume:
    """Create its volume."""
    return CreateVolume(**_common(vm, at, "vol"), volume=volume(vm, at, size))


def delete(vm: str = "vm1", at: str = "p1") -> DeleteVolume:
    """Delete its volume."""
    return DeleteVolume(**_common(vm, at, "vol"), volume_id=volume(vm).id)


def start(vm: str = "vm1", at: str = "h1", pool: str = "p1", cpu: int = 500, memory: int = 256) -> StartDomain:
    """Start its guest."""
    return StartDomain(
        **_common(vm, at, "vm"),
        name=f"i-{vm}",
        cpu_cores=1,
        cpu_mhz=cpu,
        memory_mib=memory,
        nics=(nic(vm),),
        volumes=(volume(vm, pool),),
    )


def stop(vm: str = "vm1", at: str = "h1") -> StopDomain:
    """Stop its guest."""
    return StopDomain(**_common(vm, at, "vm"), forced=False)


def reboot(vm: str = "vm1", at: str = "h1") -> RebootDomain:
    """Reboot its guest."""
    return RebootDomain(**_common(vm, at, "vm"))


LIFE = (prepare(), create(), start(), reboot(), stop(), delete(), release())
"""Every kind of command once, in an order in which each can be done."""


async def say(sim: Simulator, command: AnyCommand, token: str | None = None, fence: int = 1) -> Outcome:
    """Perform a command; without a token, under the one that is its own."""
    return await sim.perform(command, token=token or f"{name(command)} {command.subject}", fence=fence)


async def until(sim: Simulator, command: AnyCommand) -> None:
    """Live up to, but not including, this command of a life."""
    for earlier in LIFE[: LIFE.index(command)]:
        assert await say(sim, earlier) == Done()


def name(thing: object) -> str:
    """What a test that is given this thing is called by."""
    return thing.name if isinstance(thing, FaultKind) else type(thing).__name__


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Synchronous:
    """A world's file without the event loop around it."""

    def __init__(self, file: WorldFile) -> None:
        self.file = file
        self._said = 0

    def say(self, command: AnyCommand, token: str | None = None, fence: int = 1) -> Outcome | None:
        """Perform one command, under a new token if none is given."""
        self._said += 1
        sent = Sent(command, token or f"token-{self._said}", fence)
        [answer] = self.file.run([partial(deliver, sent=sent, now=0.0)])
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def world(self) -> World:
        """All there is."""
        [answer] = self.file.run([world.read])
        return answer  # type: ignore[no-any-return]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query says."""
        [answer] = self.file.run([lambda db: db.execute(sql).fetchall()])
        return answer  # type: ignore[no-any-return]


@contextmanager
def synchronous(path: Path) -> Iterator[Synchronous]:
    """A new world with the hosts and pools above."""
    file = WorldFile(path, lambda: 0.0)
    file.open()
    try:
        file.run([partial(world.attach, hosts=HOSTS, pools=POOLS)])
        yield Synchronous(file)
    finally:
        file.close()
