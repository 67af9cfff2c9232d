"""The lives that VMs lead in the soak: each is a list of operations, and so many of them are led side by side.

Promises: every operation is asked for through the public API and waited for; the next one of a VM is asked for when the
last one has ended. So many people ask at once as there are to be operations in flight, each for VMs of their own. What
was begun is kept between two calls of `lead`: a life goes on where it stopped. One that ends makes room for the next,
so the number of VMs alive is bounded; to let it grow, lives stop before their end.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import msgspec

from interlock import CloudDescription, DeployVM, Engine
from interlock.embed.handle import Handle
from interlock.schema.requests import CreateDisk

CLOUD = """
[[zones]]
name = "zone"
[[zones.networks]]
name = "net"
cidr = "10.0.0.0/12"
default = true
[[zones.networks]]
name = "back"
cidr = "10.16.0.0/12"
[[zones.pods]]
name = "pod"
[[zones.pods.clusters]]
name = "cluster"
[[zones.pods.clusters.hosts]]
name = "host"
count = {hosts}
cpu_cores = 128
cpu_mhz = 2000
memory_mib = 262144
[[zones.pods.clusters.pools]]
name = "nfs"
size_mib = {space}
[[offerings]]
name = "small"
cpu_cores = 1
cpu_mhz = 2000
memory_mib = 2048
[[offerings]]
name = "medium"
cpu_cores = 2
cpu_mhz = 2000
memory_mib = 4096
[[disk_offerings]]
name = "disk"
size_mib = 1024
[[templates]]
name = "debian"
size_mib = 2048
"""
PER_HOST = 32
"""VMs for each host, which has room for twice as many at their largest: who grows must find room where it is."""
ROOM = 4096
"""MiB of the pool for each VM: its root disk and its data disk, and some."""


class Life(msgspec.Struct):
    """One VM's, and how far it has come."""

    name: str
    step: int = 0
    vm: str = ""
    """Its id, once it is deployed."""
    disk: str = ""


Ask = Callable[[Engine, Life], Awaitable[Handle]]


async def _deploy(engine: Engine, life: Life) -> Handle:
    handle = await engine.deploy(DeployVM(name=life.name, offering="small", template="debian", planner="dispersing"))
    life.vm = handle.vm_id or ""
    return handle


async def _create_disk(engine: Engine, life: Life) -> Handle:
    handle = await engine.create_disk(CreateDisk(name=f"{life.name}-data", offering="disk", zone="zone"))
    life.disk = handle.volume_id or ""
    return handle


LIFE: Sequence[tuple[str, Ask]] = (
    ("deploy", _deploy),
    ("create-disk", _create_disk),
    ("attach-disk", lambda engine, life: engine.attach_disk(life.vm, life.disk)),
    ("add-nic", lambda engine, life: engine.add_nic(life.vm, "back")),
    ("reboot", lambda engine, life: engine.reboot(life.vm)),
    ("scale", lambda engine, life: engine.scale(life.vm, "medium")),
    ("migrate", lambda engine, life: engine.migrate(life.vm)),
    ("detach-disk", lambda engine, life: engine.detach_disk(life.disk)),
    ("stop", lambda engine, life: engine.stop(life.vm)),
    ("delete-disk", lambda engine, life: engine.delete_disk(life.disk)),
    ("remove-nic", lambda engine, life: engine.remove_nic(life.vm, "back")),
    ("start", lambda engine, life: engine.start(life.vm)),
)
"""What a VM lives through, in this order."""
END: Sequence[tuple[str, Ask]] = (
    ("destroy", lambda engine, life: engine.destroy(life.vm)),
    ("expunge", lambda engine, life: engine.expunge(life.vm)),
)


class Led(msgspec.Struct, frozen=True, kw_only=True):
    """What was done so far."""

    operations: int
    by_kind: Mapping[str, int]
    begun: int
    """VMs that were deployed."""
    alive: int
    """Of these, those that were not expunged."""


class Lives:
    """All of them.

    Args:
        engine: of a cloud as `cloud` describes it.
        in_flight: how many people ask.
        population: VMs alive at once; at least as many as people.
        grow: whether lives stop before their end, so that VMs become ever more.
    """

    def __init__(self, engine: Engine, *, in_flight: int, population: int, grow: bool) -> None:
        self._engine = engine
        self._steps = LIFE if grow else (*LIFE, *END)
        self._done: Counter[str] = Counter()
        self._begun = 0
        self._people = [deque(self._newborn() for _ in range(share)) for share in _shares(population, in_flight)]

    def _newborn(self) -> Life:
        self._begun += 1
        return Life(f"vm-{self._begun}")

    async def lead(self, operations: int) -> None:
        """Go on for so many operations.

        Raises:
            OperationFailed: one did not succeed.
        """
        left = iter(range(operations))
        async with asyncio.TaskGroup() as people:
            for mine in self._people:
                people.create_task(self._ask(mine, left))

    async def whole(self, times: int) -> None:
        """Have everybody lead so many lives from their beginning to their end: nobody is alive then."""
        async with asyncio.TaskGroup() as people:
            for mine in self._people:
                people.create_task(self._ask(mine, iter(range(times * len(self._steps) * len(mine)))))

    async def _ask(self, mine: deque[Life], left: Iterator[int]) -> None:
        """Each VM in turn takes its next step."""
        for _ in left:
            life = mine.popleft()
            kind, ask = self._steps[life.step]
            await (await ask(self._engine, life)).wait()
            self._done[kind] += 1
            life.step += 1
            mine.append(life if life.step < len(self._steps) else self._newborn())

    @property
    def led(self) -> Led:
        """What was done so far."""
        gone = self._done[END[-1][0]]
        return Led(
            operations=self._done.total(),
            by_kind=dict(self._done),
            begun=self._done[LIFE[0][0]],
            alive=self._done[LIFE[0][0]] - gone,
        )


def _shares(population: int, people: int) -> list[int]:
    each, more = divmod(max(population, people), people)
    return [each + (number < more) for number in range(people)]


def cloud(vms: int) -> CloudDescription:
    """One zone with room for so many VMs at once."""
    return CloudDescription.parse(CLOUD.format(hosts=-(-vms // PER_HOST) + 1, space=(vms + PER_HOST) * ROOM))
