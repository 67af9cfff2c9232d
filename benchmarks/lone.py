"""One engine on PostgreSQL, beside a bare asyncpg loop that writes the same rows."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from benchmarks.command import Wrong
from benchmarks.lab import cloud, lab
from benchmarks.server import database, describe
from benchmarks.tape_postgresql import play, recorded, same_content

WARM = 8
"""Deploys before the clock starts: the lease, the network's addresses, prepared statements."""
HOSTS = 100


class Lone(msgspec.Struct, frozen=True, kw_only=True):
    """A round."""

    rate: float
    """Deploys per second, the simulator's work included."""
    floor_rate: float
    """The same of the loop, in the same round."""
    commits: float
    executions: float
    cpu_ms: float
    """Of this process; each per deploy."""


async def alone(server_url: str, folder: Path, deploys: int, in_flight: int) -> Lone:
    """Measure a round.

    Raises:
        Wrong: what was asked for does not run, or the loop did other work than the engine.
    """
    async with database(server_url) as model, AsyncExitStack() as stack:
        await describe(model, cloud(HOSTS))
        ours = await stack.enter_async_context(database(server_url, model))
        bare = await stack.enter_async_context(database(server_url, model))
        with recorded() as tape:
            async with lab(folder, hosts=HOSTS, url=ours) as measured:
                await measured.deploy(WARM, WARM)
                from_here, began = len(tape.batches), time.process_time()
                run = await measured.deploy(deploys, in_flight)
                cpu = time.process_time() - began
                await measured.verify()
        seconds = await play(bare, tape.batches, from_here)
        if not await same_content(ours, bare):
            raise Wrong("the bare loop did other work than the engine: their databases differ")
    return Lone(
        rate=run.rate,
        floor_rate=deploys / seconds,
        commits=run.costs.commits / deploys,
        executions=run.costs.executions / deploys,
        cpu_ms=1000 * cpu / deploys,
    )
