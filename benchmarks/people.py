"""Records a day: VMs of three sizes come, and some of them stop, start again or end.

Some hosts refuse to start guests now and then, and the last VMs meet a fleet that is nearly full. Everything that is
asked follows from the seed. A day is as long as the engine takes for it: what is recorded are the requests in their
order, under the default planner (first-fit).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from interlock import CloudDescription, DeployVM, Engine
from interlock.drivers.simulator import Fault, FaultKind, Simulator
from interlock.schema.errors import InvalidRequest, OperationFailed

CLOUD = """
[[accounts]]
name = "acme"
[[accounts]]
name = "globex"
[[zones]]
name = "zone"
[[zones.networks]]
name = "net"
cidr = "10.0.0.0/12"
default = true
{pods}
[[offerings]]
name = "small"
cpu_cores = 1
cpu_mhz = 2000
memory_mib = 2048
[[offerings]]
name = "medium"
cpu_cores = 2
cpu_mhz = 2000
memory_mib = 8192
[[offerings]]
name = "large"
cpu_cores = 8
cpu_mhz = 2000
memory_mib = 32768
[[templates]]
name = "debian"
size_mib = 2048
"""
POD = """
[[zones.pods]]
name = "pod{number}"
[[zones.pods.clusters]]
name = "cluster{number}"
[[zones.pods.clusters.hosts]]
name = "host{number}"
count = {hosts}
cpu_cores = 64
cpu_mhz = 2000
memory_mib = 262144
[[zones.pods.clusters.pools]]
name = "pool{number}"
size_mib = 100000000
"""
SIZES = ("small",) * 6 + ("medium",) * 3 + ("large",)
PER_HOST = 32
"""VMs for each host. Too low: nothing is ever full; too high: most
deploys fail for want of room."""
PER_POD = 16
IN_FLIGHT = 64
REFUSING = 0.05
"""Share of the hosts that refuse to start guests, each a few times."""


def cloud(deploys: int) -> CloudDescription:
    """A cloud that such a day nearly fills."""
    pods = max(2, round(deploys / PER_HOST / PER_POD))
    hosts = max(1, round(deploys / PER_HOST / pods))
    return CloudDescription.parse(
        CLOUD.format(pods="".join(POD.format(number=number, hosts=hosts) for number in range(1, pods + 1)))
    )


async def record(database: Path, deploys: int, seed: int) -> int:
    """Record a day; returns how many VMs run at its end."""
    simulator = await Simulator.at(database.with_suffix(".simulator"))
    try:
        async with Engine.open(str(database), drivers={"simulator": simulator}) as engine:
            await engine.load(cloud(deploys))
            chance = random.Random(seed)
            hosts = sorted(host.id for host in (await engine.places())["host"])
            for host in chance.sample(hosts, max(1, round(len(hosts) * REFUSING))):
                await simulator.order(Fault(kind=FaultKind.REFUSE, command="StartDomain", at=host, times=3))
            numbers = iter(range(deploys))
            await asyncio.gather(*(_people(engine, numbers, seed) for _ in range(IN_FLIGHT)))
            found = [vm for kind in ("acme", "globex") async for vm in _running(engine, kind)]
            return len(found)
    finally:
        await simulator.close()


async def _running(engine: Engine, account: str) -> AsyncIterator[str]:
    after = None
    while True:
        page = await engine.vms(state="Running", account=account, after=after, limit=1000)
        for vm in page.vms:
            yield vm.id
        if (after := page.next) is None:
            return


async def _people(engine: Engine, numbers: Iterator[int], seed: int) -> None:
    for number in numbers:
        chance = random.Random(f"{seed}/{number}")
        name = f"vm-{number}"
        wish = DeployVM(
            name=name,
            offering=chance.choice(SIZES),
            template="debian",
            account=chance.choice(("acme", "globex")),
        )
        try:
            await (await engine.deploy(wish)).wait()
            await _lives(engine, name, chance.random())
        except (OperationFailed, InvalidRequest):
            continue  # it is in the journal, which is what this is for


async def _lives(engine: Engine, name: str, fate: float) -> None:
    if fate < 0.10:
        await (await engine.stop(name)).wait()
        if fate < 0.05:
            await (await engine.start(name)).wait()
    elif fate < 0.18:
        await (await engine.destroy(name)).wait()
