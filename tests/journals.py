"""Journals to test with: a life of a few VMs that knows success, retry, failure and the end, as lines of a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cache
from io import BufferedReader, BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from interlock.drivers.simulator import FaultKind
from interlock.engine.core import lines
from interlock.engine.store import files
from interlock.replay.export import export
from interlock.replay.source import committed
from interlock.replay.verify import Verified, verify_file
from interlock.schema.transition import Transition
from tests.world import World, world


async def ups_and_downs(lab: World) -> None:
    """A history with successes, a retry, a new placement and a failure."""
    await lab.order("StartDomain", FaultKind.REFUSE)
    await lab.order("PrepareNic", FaultKind.TRANSIENT)
    await lab.deploy(data_disks_mib=(2048,))
    await lab.run("stop")
    await lab.run("start")
    await lab.order("CreateVolume", FaultKind.REFUSE_VM)
    await lab.deploy("unlucky")
    await lab.run("migrate")
    await lab.run("destroy")
    await lab.run("expunge")


async def live(lab: World) -> None:
    """The same, and a VM that goes on."""
    await ups_and_downs(lab)
    await lab.deploy("late")


@cache
def lived() -> tuple[Transition, ...]:
    """The journal of such a life."""

    async def recorded(folder: Path) -> list[Transition]:
        async with world(folder) as lab:
            await live(lab)
            return [row async for page in committed(lab.engine._store) for row in page]

    with TemporaryDirectory() as folder:
        return tuple(asyncio.run(recorded(Path(folder))))


def exported(rows: Sequence[Transition], *, packed: bool = False) -> bytes:
    """The rows as a file."""

    async def pages() -> AsyncIterator[list[Transition]]:
        yield list(rows)

    written = BytesIO()
    with files.packing(written, packed) as write:
        asyncio.run(export(pages(), write))
    return written.getvalue()


def as_lines(rows: Sequence[Transition], *, head: int | None = None) -> list[bytes]:
    """The rows as the lines of a file that says it is whole, whatever they are."""
    first, root = lines.header("a test"), lines.Root()
    root.add(rows)
    return [first, *map(lines.line_of, rows), lines.trailer(first, len(rows), head or rows[-1].seq, root)]


def verified(file: bytes) -> Verified:
    """What `verify` says of a file."""
    return verify_file(BufferedReader(BytesIO(file)))
