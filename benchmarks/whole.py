"""Many operations by several workers, of which none may be lost, done twice or stuck.

VMs are deployed, stopped, started, destroyed and expunged; one in ten is left running. Then all of it is verified: each
operation that was asked for has Succeeded, was begun once and ended once; nothing is Stuck, counters equal holdings
(`engine.check`); the journal is whole, and the tables are what it makes of them (`journal verify`); the simulated world
has performed just as many commands for each operation of a kind, each under its own token, and has just the guests that
are recorded.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.command import Wrong
from benchmarks.crew import crew
from benchmarks.lab import PER_HOST
from benchmarks.many import asking, verify, wish, world
from benchmarks.result import Figure, figure
from benchmarks.server import connect
from interlock import Engine
from interlock.embed.handle import Handle
from interlock.replay.tables import verify_database
from interlock.schema.records import Operation

LIFE = ("deploy", "stop", "start", "destroy", "expunge")
KEPT = 10
"""One in so many VMs is left after three operations."""
AT_ONCE = 256
"""VMs that are somewhere in their lives at once. Too few: batches are small; too many: the queue is all that grows."""
PER_OPERATION = """
    SELECT entity_id, count(*) FILTER (WHERE event = 'Claimed'), count(*) FILTER (WHERE destination = 'Succeeded'),
        count(*) FILTER (WHERE destination IN ('Stuck', 'Failed', 'Cancelled', 'Undoing'))
    FROM journal WHERE machine = 'operation' GROUP BY 1
    HAVING count(*) FILTER (WHERE event = 'Claimed') <> 1 OR count(*) FILTER (WHERE destination = 'Succeeded') <> 1
        OR count(*) FILTER (WHERE destination IN ('Stuck', 'Failed', 'Cancelled', 'Undoing')) > 0
"""


async def whole(server_url: str, folder: Path, workers: int, operations: int, in_flight: int) -> Figure:
    """Have them done, and verify.

    Raises:
        Wrong: something is not as it must be.
    """
    async with asking(server_url, folder, _hosts(operations), 0) as (url, engine):
        lives = Lives(engine, operations)
        began = time.perf_counter()
        async with crew(url, folder, workers, in_flight):
            await lives.run()
            seconds = time.perf_counter() - began
        await verify(engine, folder, lives.ends)
        await _verify_each(url, folder, lives.ends)
        verified = await verify_database(engine._store)
        if verified.findings:
            raise Wrong(f"the journal is not whole: {verified.findings[:5]}")
    name = f"operations, {workers} workers: {len(lives.ends):,} verified, none lost, done twice or stuck"
    return figure(name, "1/s", [len(lives.ends) / seconds])


def _hosts(operations: int) -> int:
    """With room for those that are left, and those that are just alive."""
    return (operations // KEPT + 2 * AT_ONCE) // PER_HOST + 1


class Lives:
    """What is asked for."""

    def __init__(self, engine: Engine, operations: int) -> None:
        self.ends: list[Operation] = []
        self._engine = engine
        self._left = operations
        self._number = 0

    async def run(self) -> None:
        """Ask for as many operations as there are to be, and wait for each."""
        await asyncio.gather(*(self._live() for _ in range(AT_ONCE)))

    async def _live(self) -> None:
        while self._left > 0:
            number, self._number = self._number, self._number + 1
            for kind in LIFE[: 3 if number % KEPT == 0 else None]:
                if self._left <= 0:
                    return
                self._left -= 1
                handle = await self._ask(kind, number)
                self.ends.append(await handle.ended())

    async def _ask(self, kind: str, number: int) -> Handle:
        if kind == "deploy":
            return await self._engine.deploy(wish(number))
        asked: Handle = await getattr(self._engine, kind)(f"vm-{number}")
        return asked


async def _verify_each(url: str, folder: Path, ends: list[Operation]) -> None:
    connection: Any = await connect(url)
    try:
        odd = await connection.fetch(PER_OPERATION)
        there = {row[0] for row in await connection.fetch("SELECT id FROM operation WHERE kind <> 'follow'")}
    finally:
        await connection.close()
    asked = {end.id for end in ends}
    if odd or not asked <= there:
        raise Wrong(
            f"lost: {len(asked - there)}; begun or ended otherwise than once: {[tuple(row) for row in odd[:5]]}"
        )
    _verify_commands(world(folder), ends)


def _verify_commands(world: Path, ends: list[Operation]) -> None:
    with closing(sqlite3.connect(world)) as file:
        performed = Counter(token.partition("/")[0] for (token,) in file.execute("SELECT token FROM token"))
    by_kind: dict[str, set[int]] = {}
    for end in ends:
        by_kind.setdefault(end.kind, set()).add(performed[end.id])
    differing = {kind: counts for kind, counts in by_kind.items() if len(counts) > 1}
    if differing:
        raise Wrong(f"commands performed for an operation, by kind, should be one number each: {differing}")
