"""A long journal, quickly: the recorded life of a few VMs over and over, each time of other VMs.

The life is lived by an engine with the simulator: VMs are deployed, stopped, started, migrated, given a disk, and
expunged, so that who comes after finds all free again. A copy has other ids, and hashes of its own: each is a journal
that the engine could have written. Rows of the cloud are there once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.lab import CLOUD
from interlock import CloudDescription, DeployVM, Engine
from interlock.drivers.simulator import Simulator
from interlock.engine.core.decision import seal
from interlock.replay.source import opened
from interlock.schema.machines import MACHINES
from interlock.schema.transition import Transition

VMS = 20
"""VMs of one life."""
_CLOUD = CLOUD.format(hosts=4, per_host=64, memory=64 * 2048, space=10**7) + '[[disk_offerings]]\nname = "any"\n'
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_OTHER = ("entity_id", "vm_id", "operation_id", "changes", "ledger", "detail", "cause")
"""Columns that name ids."""


def life() -> list[Transition]:
    """The journal of `VMS` VMs from their deploys until they are expunged."""
    return asyncio.run(_recorded())


async def _recorded() -> list[Transition]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "life.db"
        simulator = await Simulator.at(Path(folder) / "world")
        try:
            async with Engine.open(str(file), drivers={"simulator": simulator}) as engine:
                await engine.load(CloudDescription.parse(_CLOUD))
                await asyncio.gather(*(_lived(engine, f"vm-{number}") for number in range(VMS)))
        finally:
            await simulator.close()
        async with opened(str(file)) as pages:
            return [row async for page in pages for row in page]


async def _lived(engine: Engine, name: str) -> None:
    wished = DeployVM(name=name, offering="small", template="debian", data_disks_mib=(1024,))
    handle = await engine.deploy(wished)
    await handle.wait()
    assert handle.vm_id is not None
    for work in (engine.stop, engine.start, engine.migrate, engine.stop, engine.destroy, engine.expunge):
        await (await work(handle.vm_id)).wait()


def story(life: list[Transition], count: int) -> Iterator[Transition]:
    """At least `count` transitions: lives one after the other."""
    seq = number = 0
    last: dict[str, str] = {}
    while seq < count:
        for row in life:
            if row.machine not in MACHINES and number:
                continue
            seq += 1
            yield _linked(_renamed(row, number), seq, last)
        last = {key: hash for key, hash in last.items() if key not in MACHINES and not _ID.fullmatch(key)}
        number += 1


def _linked(row: Transition, seq: int, last: dict[str, str]) -> Transition:
    linked = msgspec.structs.replace(row, seq=seq, prev=last.get(row.entity_id, ""))
    sealed = msgspec.structs.replace(linked, hash=seal(linked))
    last[row.entity_id] = sealed.hash
    return sealed


def _renamed(row: Transition, number: int) -> Transition:
    def other(found: re.Match[str]) -> str:
        name = found[0]
        return f"{name[:-8]}{int(name[-8:], 16) ^ number:08x}"

    texts = {column: text for column in _OTHER if (text := getattr(row, column))}
    return msgspec.structs.replace(row, **{column: _ID.sub(other, text) for column, text in texts.items()})
