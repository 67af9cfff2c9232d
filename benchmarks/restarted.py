"""The processes of `benchmarks.restart`: `python -m benchmarks.restarted begin|resume|unbroken FOLDER DEPLOYS SINCE`.

    begin      asks for the deploys and says when all are held; then it waits to be killed
    resume     opens the database, and says when what it found has ended
    unbroken   asks for the deploys in a folder that is empty, and says when they have ended

SINCE is when the process was started, in seconds since 1970.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import msgspec

from benchmarks.lab import PER_HOST, cloud
from interlock import DeployVM, Engine
from interlock.drivers.protocol import Driver
from interlock.drivers.simulator import Power, Simulator
from interlock.engine.orchestrator import drives, effects
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Outcome

DATABASE, SIMULATOR = "restart.db", "restart.simulator"
HELD = "held"
ASKING = 512
"""Deploys that are asked for at once. Too low: no batch of commits is full; too high: memory."""
COMMANDS = 3
"""Of a deploy: its disk, its NIC, its guest."""
GLANCE = 0.005
"""Seconds between looks at how many are under way."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What a process came to; times in seconds since it was started."""

    opened: float
    first: float
    """The first operation has ended."""
    last: float
    cpu_seconds: float
    """Of the whole process, by then."""
    peak_mib: float
    commits: int


class Holding:
    """A driver that carries out what comes before a command of each VM, and never answers that one: every other has
    its effect all the same."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._came: Counter[str] = Counter()
        self.capabilities = simulator.capabilities
        self.held = 0
        self.changed = asyncio.Event()

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        """As the simulator does."""
        await self._simulator.attach(hosts, pools)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        """As the simulator does, or never."""
        which, acts = divmod(zlib.crc32(command.vm_id.encode()) % (2 * COMMANDS), 2)
        came = self._came[command.vm_id]
        self._came[command.vm_id] += 1
        if came != which:
            return await self._simulator.perform(command, token=token, fence=fence)
        if acts:
            await self._simulator.perform(command, token=token, fence=fence)
        self.held += 1
        self.changed.set()
        never: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        return await never

    async def close(self) -> None:
        """As the simulator does."""
        await self._simulator.close()


async def begin(folder: Path, deploys: int) -> None:
    """Ask for all, and say when each is held; killed then. No bound on what is driven or at one pool holds any back."""
    driver = Holding(await Simulator.at(folder / SIMULATOR))
    with patch.object(drives, "IN_FLIGHT", deploys), patch.object(effects, "PER_PLACE", deploys):
        async with _engine(folder, driver) as engine:
            await engine.load(cloud(-(-deploys // PER_HOST)))
            await _ask(engine, deploys)
            while driver.held < deploys:
                driver.changed.clear()
                await driver.changed.wait()
            print(HELD, flush=True)
            await asyncio.get_running_loop().create_future()


async def resume(folder: Path, deploys: int, since: float) -> Ended:
    """Open the database, and wait until all that was found has ended."""
    simulator = await Simulator.at(folder / SIMULATOR)
    async with _engine(folder, simulator) as engine:
        opened = time.time() - since
        return await _ended(engine, simulator, deploys, since, opened)


async def unbroken(folder: Path, deploys: int, since: float) -> Ended:
    """Ask for all, and wait until all have ended."""
    simulator = await Simulator.at(folder / SIMULATOR)
    async with _engine(folder, simulator) as engine:
        opened = time.time() - since
        await engine.load(cloud(-(-deploys // PER_HOST)))
        asking = asyncio.create_task(_ask(engine, deploys))
        return await _ended(engine, simulator, deploys, since, opened, asking)


@asynccontextmanager
async def _engine(folder: Path, driver: Driver) -> AsyncIterator[Engine]:
    try:
        async with Engine.open(str(folder / DATABASE), drivers={"simulator": driver}) as engine:
            yield engine
    finally:
        await driver.close()


async def _ask(engine: Engine, deploys: int) -> None:
    async def some(numbers: Iterator[int]) -> None:
        for number in numbers:
            await engine.deploy(DeployVM(name=f"vm-{number}", offering="small", template="debian"))

    numbers = iter(range(deploys))
    await asyncio.gather(*(some(numbers) for _ in range(ASKING)))


async def _ended(
    engine: Engine,
    simulator: Simulator,
    deploys: int,
    since: float,
    opened: float,
    asking: asyncio.Task[None] | None = None,
) -> Ended:
    """Wait for the first end and the last one; see that all is well."""
    first = None
    while True:
        left, accepted = engine.under_way(), deploys if asking is None else engine.counters.decisions
        if first is None and left < min(deploys, accepted):
            first = time.time() - since
        if not left and (asking is None or asking.done()):
            break
        await asyncio.sleep(GLANCE)
    last, spent = time.time() - since, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if asking is not None:
        await asking
    await _verify(engine, simulator, deploys)
    return Ended(
        opened=opened,
        first=last if first is None else first,
        last=last,
        cpu_seconds=spent,
        peak_mib=peak,
        commits=engine.counters.commits,
    )


async def _verify(engine: Engine, simulator: Simulator, deploys: int) -> None:
    findings, counts = await engine.check(), await engine.counts()
    guests = sum(guest.power is Power.ON for guest in (await simulator.world()).domains)
    if findings or counts != {"Running": deploys} or guests != deploys:
        sys.exit(f"of {deploys} VMs {counts} and {guests} guests run; the check says {findings or 'nothing'}")


def main() -> None:
    """Be one of the processes."""
    what, folder, deploys, since = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    if what == "begin":
        asyncio.run(begin(folder, deploys))
        return
    ended = asyncio.run((resume if what == "resume" else unbroken)(folder, deploys, since))
    sys.stdout.buffer.write(msgspec.json.encode(ended))


if __name__ == "__main__":
    main()
