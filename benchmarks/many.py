"""A crew of workers on one database: how fast what waits in the queue is done, once all of them begin together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.command import Wrong
from benchmarks.crew import crew, described
from benchmarks.lab import PER_HOST
from benchmarks.server import connect, database, describe
from interlock import DeployVM, Engine
from interlock.drivers.simulator import Power, Simulator
from interlock.schema.records import Operation

FLOORED = "1 worker"
WINDOW = """
    WITH begun AS (
        SELECT changes::json->>'worker_id' AS worker, min(at) AS first, max(at) AS last FROM journal
        WHERE machine = 'operation' AND event = 'Claimed' GROUP BY 1
    ), bounds AS (SELECT max(first) AS begin, min(last) AS until, count(*) AS workers FROM begun)
    SELECT workers, begin, until,
        (SELECT count(*) FROM journal WHERE machine = 'operation' AND destination = 'Succeeded'
            AND at > begin AND at <= until),
        (SELECT count(DISTINCT xmin::text) FROM journal WHERE at > begin AND at <= until)
    FROM bounds
"""
"""From when the last of the workers had begun its first operation until the first of them had begun its last: how many
operations ended, and how many transactions wrote."""


class Many(msgspec.Struct, frozen=True, kw_only=True):
    """A round."""

    rate: float
    """Deploys per second while all workers were at work."""
    commits: float
    """Transactions per second, meanwhile."""


async def many(server_url: str, folder: Path, workers: int, deploys: int, in_flight: int, latency_ms: int) -> Many:
    """Measure a round.

    Raises:
        Wrong: what was asked for does not run, or not all workers did some of it.
    """
    async with asking(server_url, folder, deploys // PER_HOST + 1, latency_ms) as (url, engine):
        async with crew(url, folder, workers, in_flight) as processes:
            # Nobody begins before all is asked for: what asking costs is not in the rate.
            for worker in processes:
                worker.pause()
            handles = await asyncio.gather(*(engine.deploy(wish(number)) for number in range(deploys)))
            for worker in processes:
                worker.go_on()
            ends = await asyncio.gather(*(handle.ended() for handle in handles))
        await verify(engine, folder, ends)
        return await _rates(url, workers)


@asynccontextmanager
async def asking(server_url: str, folder: Path, hosts: int, latency_ms: int) -> AsyncIterator[tuple[str, Engine]]:
    """A new database with a cloud, and an engine on it that only asks."""
    simulator = await Simulator.at(folder / "beside.simulator")  # the asking engine performs nothing
    try:
        async with database(server_url) as url:
            await describe(url, described(hosts, latency_ms))
            async with Engine.open(url, drives=False, drivers={"simulator": simulator}) as engine:
                yield url, engine
    finally:
        await simulator.close()


def wish(number: int) -> DeployVM:
    """One of the VMs."""
    return DeployVM(name=f"vm-{number}", offering="small", template="debian")


async def verify(engine: Engine, folder: Path, ends: list[Operation]) -> None:
    """All that was asked for is done, and sound.

    Raises:
        Wrong: it is not.
    """
    failed = [end for end in ends if end.state != "Succeeded"]
    findings = await engine.check()
    if failed or findings:
        raise Wrong(f"{len(failed)} of {len(ends)} operations did not succeed: {failed[:3]}; the check says {findings}")
    running = (await engine.counts()).get("Running", 0)
    guests = await guests_of(folder)
    if running != guests:
        raise Wrong(f"{running} VMs are Running, and {guests} guests run")


def world(folder: Path) -> Path:
    """Where the workers' simulated world is."""
    (found,) = [each for each in folder.glob("*.simulator") if each.name != "beside.simulator"]
    return found


async def guests_of(folder: Path) -> int:
    """How many guests run in the workers' world."""
    simulator = await Simulator.at(world(folder))
    try:
        return sum(guest.power is Power.ON for guest in (await simulator.world()).domains)
    finally:
        await simulator.close()


async def _rates(url: str, workers: int) -> Many:
    connection: Any = await connect(url)
    try:
        found, begin, until, ended, commits = await connection.fetchrow(WINDOW)
    finally:
        await connection.close()
    if found != workers or until <= begin:
        raise Wrong(f"{found} of {workers} workers had something to do, not all of them at once; ask for more deploys")
    seconds = (until - begin) / 1_000_000
    return Many(rate=ended / seconds, commits=commits / seconds)
