"""A world to test operations in: a small cloud, the simulator, an engine, and what must hold of them.

`World.books` is everything anybody owns anywhere: the ledger in the database and what the hypervisor really has.
Tests compare books; two equal ones mean that nothing leaked and nothing was lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from interlock import CloudDescription, DeployVM, Engine, Policy
from interlock.drivers.protocol import Driver
from interlock.drivers.simulator import Fault, FaultKind, Simulator
from interlock.drivers.simulator import World as Truth
from interlock.schema.cloud import Account, Host, StoragePool
from interlock.schema.records import Operation, Vm, Volume

CLOUD = """
[[zones]]
name = "z"
security_groups = true
[[zones.networks]]
name = "net"
cidr = "10.0.0.0/24"
default = true
services = {{ SecurityGroup = "SecurityGroupProvider" }}
[[zones.networks]]
name = "back"
cidr = "10.1.0.0/24"
[[zones.pods]]
name = "p"
[[zones.pods.clusters]]
name = "c"
[[zones.pods.clusters.hosts]]
name = "h"
count = {hosts}
cpu_cores = 8
cpu_mhz = 1000
memory_mib = {memory}
[[zones.pods.clusters.pools]]
name = "nfs"
size_mib = {space}
[[zones.pods.clusters.pools]]
name = "san"
size_mib = {space}
[[accounts]]
name = "eve"
[[offerings]]
name = "small"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 1024
[[disk_offerings]]
name = "any"
[[disk_offerings]]
name = "fixed"
size_mib = 2048
[[offerings]]
name = "medium"
cpu_cores = 2
cpu_mhz = 1000
memory_mib = 2048
[[templates]]
name = "t"
size_mib = 100
[[security_groups]]
name = "web"
ingress = [{{ protocol = "tcp", ports = "443", from = "0.0.0.0/0" }}]
"""

QUICK = Policy(backoff=0.001, backoff_most=0.002)
"""Waits that a test does not notice; their order and number are as in production."""


def cloud(*, hosts: int = 2, memory: int = 8192, space: int = 100_000) -> CloudDescription:
    """A cloud with one zone, one cluster, two pools."""
    return CloudDescription.parse(CLOUD.format(hosts=hosts, memory=memory, space=space))


class Books(msgspec.Struct, frozen=True):
    """Who owns what: in the database, and in truth."""

    hosts: tuple[tuple[str, int, int], ...]
    pools: tuple[tuple[str, int], ...]
    addresses: tuple[str, ...]
    macs: tuple[str, ...]
    charged: tuple[tuple[str, int, int], ...]
    """By account: disks and storage."""
    truth: Truth

    @property
    def empty(self) -> bool:
        """Whether nobody owns anything."""
        taken = [used for _, *amounts in (*self.hosts, *self.pools, *self.charged) for used in amounts if used]
        world = (self.truth.domains, self.truth.volumes, self.truth.nics)
        return not taken and not self.addresses and not self.macs and not any(world)


class World:
    """An engine and the hypervisor under it."""

    def __init__(self, engine: Engine, simulator: Simulator) -> None:
        self.engine = engine
        self.simulator = simulator

    async def deploy(self, name: str = "web", **wishes: Any) -> Operation:
        """Deploy a VM and wait for the end, whatever it is."""
        return await (await self.engine.deploy(self.request(name, **wishes))).ended()

    def request(self, name: str = "web", **wishes: Any) -> DeployVM:
        """A request that this cloud can fulfil."""
        return DeployVM(name=name, offering="small", template="t", **wishes)

    async def run(self, kind: str, name: str = "web", /, **wishes: Any) -> Operation:
        """Run any other operation and wait for the end."""
        ended: Operation = await (await getattr(self.engine, kind.replace("-", "_"))(name, **wishes)).ended()
        return ended

    async def order(self, command: str, kind: FaultKind, times: int = 1, **where: Any) -> int:
        """Order a fault; its number tells later whether it fired."""
        return await self.simulator.order(Fault(kind=kind, command=command, times=times, **where))

    async def vm(self, name: str = "web") -> Vm:
        """The VM as recorded."""
        return await self.engine.vm(name)

    async def books(self) -> Books:
        """Everything that is owned now."""
        places = await self.engine.places()
        nics = [nic for vm in await self.vms() for nic in await self.engine.nics(vm.id)]
        return Books(
            hosts=tuple(
                (place.id, place.cpu_used_mhz, place.memory_used_mib)
                for place in places["host"]
                if isinstance(place, Host)
            ),
            pools=tuple(
                (place.id, place.used_mib) for place in places["storage_pool"] if isinstance(place, StoragePool)
            ),
            addresses=tuple(sorted(nic.ip_address for nic in nics if nic.ip_address)),
            charged=tuple(
                (place.id, place.volumes_used, place.storage_used_mib)
                for place in places["account"]
                if isinstance(place, Account)
            ),
            macs=tuple(sorted(nic.mac_address for nic in nics if nic.mac_address)),
            truth=await self.simulator.world(),
        )

    async def vms(self) -> list[Vm]:
        """All VMs there ever were."""
        found, after = [], None
        while True:
            page = await self.engine.vms(after=after, limit=100)
            found += page.vms
            if page.next is None:
                return found
            after = page.next

    async def disks(self) -> list[Volume]:
        """All disks there ever were, whether or not they belong to a VM."""
        found, after = [], None
        while True:
            page = await self.engine.disks(after=after, limit=100)
            found += page.disks
            if page.next is None:
                return found
            after = page.next

    async def assert_sound(self) -> None:
        """Counters equal holdings, nothing is half-way, and the hypervisor has just what the records say."""
        assert await self.engine.check() == []
        vms = await self.vms()
        truth = await self.simulator.world()
        running = sorted((vm.id, vm.host_id) for vm in vms if vm.state == "Running")
        assert sorted((domain.vm_id, domain.host_id) for domain in truth.domains) == running
        disks = await self.disks()
        assert_disks(disks, truth)
        assert tuple(each for each in (await self.books()).charged if each[1]) == charges(disks)
        nics = [nic for vm in vms for nic in await self.engine.nics(vm.id)]
        reserved = sorted(nic.id for nic in nics if nic.state == "Reserved")
        assert sorted(nic.id for nic in truth.nics) == reserved
        assert sorted(nic.id for domain in truth.domains for nic in domain.nics) == reserved


def assert_disks(disks: list[Volume], truth: Truth) -> None:
    """The pools have just the disks that are Ready, and the guests just those that are theirs.

    One that could not be deleted (Destroy) may be there or not, until it is asked again.
    """
    there = {(each.id, each.pool_id, each.size_mib) for each in truth.volumes}
    ready = {(each.id, each.pool_id, each.size_mib) for each in disks if each.state == "Ready"}
    kept = {each.id for each in disks if each.state == "Destroy"}
    assert ready <= there
    assert {each for each in there if each[0] not in kept} == ready
    for domain in truth.domains:
        own = [each for each in disks if each.vm_id == domain.vm_id and each.state == "Ready"]
        plugged = sorted((each.device, each.id, each.pool_id, each.size_mib) for each in own)
        assert [(each.device, each.id, each.pool_id, each.size_mib) for each in domain.volumes] == plugged
    devices = [(each.vm_id, each.device) for each in disks if each.vm_id and each.state != "Expunged"]
    assert len(devices) == len(set(devices))
    assert all(each.vm_id or each.device is None for each in disks)
    assert {each.state for each in disks} <= {"Allocated", "Ready", "Destroy", "Expunged"}


def charges(disks: list[Volume]) -> tuple[tuple[str, int, int], ...]:
    """What accounts have used of their limits, counted from the disks."""
    held = [each for each in disks if each.state != "Expunged"]
    accounts = sorted({each.account_id for each in held})
    sizes = {account: [each.size_mib for each in held if each.account_id == account] for account in accounts}
    return tuple((account, len(found), sum(found)) for account, found in sizes.items())


@asynccontextmanager
async def world(
    folder: Path,
    *,
    url: str | None = None,
    description: CloudDescription | None = None,
    policy: Policy = QUICK,
    wrap: type[Any] | None = None,
    latency: float = 0.0,
    **options: Any,
) -> AsyncIterator[World]:
    """An open world; `wrap` puts a driver of the test's around the simulator, `options` are the engine's."""
    url = url or str(folder / "interlock.db")
    simulator = await Simulator.at(folder / "world.simulator", latency=latency)
    try:
        driver: Driver = wrap(simulator) if wrap else simulator
        async with Engine.open(url, policy=policy, drivers={"simulator": driver}, **options) as engine:
            if description is not None or not (await engine.places())["zone"]:
                await engine.load(description or cloud())
            yield World(engine, simulator)
    finally:
        await simulator.close()
