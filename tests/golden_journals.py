"""Makes the journals that `replay --check` is held against: `python -m tests.golden_journals`.

They are kept as they were written, so that a change of the core that decides anything otherwise shows. Where that is
what was meant, make them anew, and say so in the commit.

    life.jsonl      an engine and its simulator: much at once, refusals, retries, another placement, failures
    one.jsonl       the fuzzer, one worker: crashes, takeovers, what hangs and what comes too late
    two.jsonl       the fuzzer, two workers that race
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from interlock.drivers.simulator import FaultKind
from interlock.engine.store import files
from interlock.replay.export import export
from interlock.replay.source import committed
from interlock.schema.transition import Transition
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.chance import Chance
from interlock.testing.fuzz.mix import a_mix
from interlock.testing.fuzz.run import rest
from interlock.testing.fuzz.universe import Universe
from tests.histories import paged, rows_of
from tests.world import World, world

HERE = Path(__file__).parent / "golden" / "journals"
WORKERS = {"one": ("w1",), "two": ("w1", "w2")}
SETTING = ground.setting()


def fuzzed(seed: str, number: int, workers: Iterable[str], length: int = 400) -> list[Transition]:
    """A run of the fuzzer whose workers write down what they saw."""
    universe = Universe(SETTING, workers, records=True)
    chance = Chance(seed, number, universe, a_mix(seed, number))
    for _ in range(length):
        universe.happen(chance.next())
    for event in rest(universe):
        universe.happen(event)
    return rows_of(universe.store)


async def a_life(lab: World) -> None:
    """A history with much at once, successes, retries, another placement, and failures."""
    await lab.order("StartDomain", FaultKind.REFUSE)
    await lab.order("PrepareNic", FaultKind.TRANSIENT)
    await lab.deploy(data_disks_mib=(2048,))
    await asyncio.gather(*(lab.deploy(f"vm-{number}") for number in range(12)))
    await lab.order("CreateVolume", FaultKind.REFUSE_VM)
    await lab.deploy("unlucky")
    await lab.run("stop")
    await lab.run("start")
    await lab.run("migrate")
    await asyncio.gather(*(lab.run("destroy", f"vm-{number}") for number in range(6)))
    await lab.run("expunge", "vm-1")


async def life(folder: Path) -> list[Transition]:
    """What an engine wrote of it."""
    async with world(folder) as lab:
        await a_life(lab)
        return [row async for page in committed(lab.engine._store) for row in page]


async def write(name: str, rows: Sequence[Transition]) -> None:
    """Write a journal."""
    with files.written(HERE / f"{name}.jsonl") as into:
        await export(paged(rows, 500), into)


def main() -> None:
    """Make all."""
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(write("life", asyncio.run(life(Path(folder)))))
    for name, workers in WORKERS.items():
        asyncio.run(write(name, fuzzed("golden", 1, workers, 300)))


if __name__ == "__main__":
    main()
