"""What is measured: an engine on a database of its own, the simulator at latency 0, and deploys under way.

Each VM has one NIC and one root volume; journal, hash chain, ledger, guards and interlocks are on, as always. The
engine and the simulator are in this process; the simulator writes a file of its own (WAL, synchronous=OFF), and what
that costs is inside the engine's rate.

`Run.verify` makes the figures count: it raises unless every VM asked for is Running, in the database and in the
simulator, and the engine's own check finds nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from benchmarks import floor
from benchmarks.command import Wrong
from benchmarks.tape import Costs, Tape, Transaction, costs, taped
from interlock import CloudDescription, DeployVM, Engine
from interlock.drivers.simulator import Power, Simulator

PER_HOST = 64
"""VMs that a host has room for."""

CLOUD = """
[[zones]]
name = "zone"
[[zones.networks]]
name = "net"
cidr = "10.0.0.0/12"
default = true
[[zones.pods]]
name = "pod"
[[zones.pods.clusters]]
name = "cluster"
[[zones.pods.clusters.hosts]]
name = "host"
count = {hosts}
cpu_cores = {per_host}
cpu_mhz = 2000
memory_mib = {memory}
[[zones.pods.clusters.pools]]
name = "nfs"
size_mib = {space}
[[offerings]]
name = "small"
cpu_cores = 1
cpu_mhz = 2000
memory_mib = 2048
[[templates]]
name = "debian"
size_mib = 2048
"""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Deploys that were measured."""

    deploys: int
    seconds: float
    latencies: list[float]
    """Seconds from asking until Running, for each deploy."""
    costs: Costs
    tape: list[Transaction] = []
    start: Path | None = None
    """The database as it was before; with `end` and `tape`, on SQLite only."""
    end: Path | None = None

    @property
    def rate(self) -> float:
        """Deploys per second."""
        return self.deploys / self.seconds


class Lab:
    """An open engine to measure."""

    def __init__(self, engine: Engine, simulator: Simulator, folder: Path, tape: Tape | None, prefix: str) -> None:
        self.engine = engine
        self.simulator = simulator
        self._folder = folder
        self._tape = tape
        self._prefix = prefix
        self._asked = 0
        self._copies = 0

    async def deploy(self, count: int, in_flight: int) -> Run:
        """Deploy `count` VMs, never more than `in_flight` at once, and measure."""
        start, before = self._copy(), self._counted()
        if self._tape is not None:
            self._tape.start()
        began = time.perf_counter()
        latencies = await self._deploy_all(count, in_flight)
        seconds = time.perf_counter() - began
        tape = self._tape.stop() if self._tape is not None else []
        after = self._counted()
        spent = Costs(after.commits - before.commits, after.executions - before.executions)
        return Run(
            deploys=count,
            seconds=seconds,
            latencies=latencies,
            costs=spent if self._tape is None else costs(tape),
            tape=tape,
            start=start,
            end=self._copy(),
        )

    async def _deploy_all(self, count: int, in_flight: int) -> list[float]:
        names = iter([f"{self._prefix}{self._asked + number}" for number in range(count)])
        self._asked += count
        latencies: list[float] = []
        await asyncio.gather(*(self._deploy_each(names, latencies) for _ in range(in_flight)))
        return latencies

    async def _deploy_each(self, names: Iterator[str], latencies: list[float]) -> None:
        for name in names:
            began = time.perf_counter()
            operation = await self.engine.deploy(DeployVM(name=name, offering="small", template="debian"))
            await operation.wait()
            latencies.append(time.perf_counter() - began)

    def _copy(self) -> Path | None:
        if self._tape is None:
            return None
        self._copies += 1
        target = self._folder / f"copy-{self._copies}.db"
        floor.copy(database_in(self._folder), target)
        return target

    def _counted(self) -> Costs:
        counters = self.engine.counters
        return Costs(counters.commits, counters.statements)

    async def verify(self) -> None:
        """All that was asked for is there and sound.

        Raises:
            Wrong: it is not.
        """
        findings = await self.engine.check()
        running = {vm async for vm in self._running()}
        guests = {guest.vm_id for guest in (await self.simulator.world()).domains if guest.power is Power.ON}
        if findings or len(running) != self._asked or not running <= guests:
            raise Wrong(
                f"asked for {self._asked} VMs, {len(running)} are Running and {len(guests)} guests run; "
                f"the check says {findings or 'nothing'}"
            )

    async def _running(self) -> AsyncIterator[str]:
        after = None
        while True:
            page = await self.engine.vms(state="Running", after=after, limit=1000)
            for vm in page.vms:
                if vm.name.startswith(self._prefix):
                    yield vm.id
            if page.next is None:
                return
            after = page.next


def database_in(folder: Path) -> Path:
    """Where a lab on SQLite keeps its database."""
    return folder / "lab.db"


def cloud(hosts: int) -> CloudDescription:
    """One zone, one cluster, one network, one pool with room for all, `hosts` hosts."""
    return CloudDescription.parse(
        CLOUD.format(hosts=hosts, per_host=PER_HOST, memory=PER_HOST * 2048, space=hosts * PER_HOST * 2048)
    )


@asynccontextmanager
async def lab(folder: Path, *, hosts: int, url: str | None = None, prefix: str = "vm-") -> AsyncIterator[Lab]:
    """An open lab with files in `folder`, which must be empty.

    Args:
        folder: where databases go.
        hosts: how many the cloud has.
        url: another database than SQLite in the folder; its calls are counted by the engine, and not recorded.
        prefix: what the names of the lab's VMs begin with; on a database that is used again, a new one.
    """
    simulator = await Simulator.at(folder / "lab.simulator")
    try:
        with taped(database_in(folder)) as tape:
            async with Engine.open(url or str(database_in(folder)), drivers={"simulator": simulator}) as engine:
                await engine.load(cloud(hosts))
                yield Lab(engine, simulator, folder, None if url else tape, prefix)
    finally:
        await simulator.close()
