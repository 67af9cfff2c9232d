"""The cloud of a crash round, and what is there before it begins: VMs and disks in every stable state.

Made once a session with the real engine, and copied for each round: a round is about what happens next.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from interlock import CloudDescription, DeployVM, Engine, NicRequest
from interlock.drivers.simulator import Simulator
from interlock.schema.requests import CreateDisk
from tests.world import QUICK, cloud

GROUP = "system/web"
NICS = (NicRequest("net"), NicRequest("back"))


def description() -> CloudDescription:
    """Room for more than is ever asked: what is refused here is refused by chance, not for want."""
    return cloud(hosts=10, memory=32_768, space=400_000)


async def furnish(url: str, world: Path) -> None:
    """Make the database and the world in which a round begins."""
    async with (
        await Simulator.at(world) as simulator,
        Engine.open(url, policy=QUICK, drivers={"simulator": simulator}, cloud=description()) as engine,
    ):
        await asyncio.gather(*(_vm(engine, number) for number in range(60)))
        await asyncio.gather(*(_disk(engine, number) for number in range(10)))
        await engine.idle()


async def _vm(engine: Engine, number: int) -> None:
    """The kinds are in turns: half of them run."""
    name = f"vm-{number}"
    request = DeployVM(
        name=name,
        offering="small",
        template="t",
        nics=NICS if number % 3 else (),
        data_disks_mib=(1024,) if number % 4 == 0 else (),
        security_groups=(GROUP,) if number % 2 else (),
        start=number % 12 != 11,
    )
    await (await engine.deploy(request)).wait()
    if number % 12 in (2, 6, 9):
        await (await engine.stop(name)).wait()
    if number % 12 in (4, 7):
        await (await engine.destroy(name)).wait()


async def _disk(engine: Engine, number: int) -> None:
    """Some have been in a VM and lie in a pool, the others are records only."""
    wish = CreateDisk(name=f"disk-{number}", offering="any", size_mib=1024, zone="z")
    handle = await engine.create_disk(wish)
    await handle.wait()
    if number < 3 and handle.volume_id:
        await (await engine.attach_disk(f"vm-{2 * number + 1}", handle.volume_id)).ended()
        if number % 2:
            await (await engine.detach_disk(handle.volume_id)).ended()
