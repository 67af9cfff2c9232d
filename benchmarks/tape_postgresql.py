"""The rows that an engine writes into PostgreSQL, recorded on their way to the driver, and played again in a bare loop.

`recorded` notes the rows of each batch, statement by statement, whichever way the engine then runs them. `play` writes
the same rows on a copy of the database as it was before, in the same batches: `executemany` after `executemany` between
BEGIN and COMMIT, the rows lying ready in memory, with the same schema, indexes, guards and ledger triggers. What it
leaves must equal what the engine left, row for row in every table but those of workers.

What the floor does not do, and the engine does: decide, plan, hash the journal, make ids and JSON, call drivers, wait
for the journal's lock, look at its head, tell others, give each caller its own answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import asyncpg

from benchmarks.command import Wrong
from benchmarks.server import connect
from interlock.engine.store.commit import Ask
from interlock.engine.store.postgresql import Postgresql
from interlock.schema.tables import metadata

Call = tuple[str, list[Any]]
NOT_COMPARED = ("worker", "claim")
"""Who is at work."""


class Tape:
    """What was written, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[Call]] = []


@contextmanager
def recorded() -> Iterator[Tape]:
    """Note what is written inside.

    Raises:
        Wrong: a batch was written decision by decision; one engine alone never needs that.
    """
    tape, open_batch = Tape(), list[Call]()
    write, run = Postgresql.write, Postgresql._run

    async def writing(self: Any, decisions: Any, is_stale: Any, more: Any) -> Any:
        open_batch.clear()
        written = await write(self, decisions, is_stale, more)
        if written.alone:
            raise Wrong("a batch was written decision by decision")
        tape.batches.append(list(open_batch))
        return written

    async def running(self: Any, driver: Any, ask: Any, end: str) -> Any:
        answer = await run(self, driver, ask, end)
        if not isinstance(ask, Ask):
            open_batch.extend((each.sql, list(each.rows)) for each in ask)
        return answer

    with patch.object(Postgresql, "write", writing), patch.object(Postgresql, "_run", running):
        yield tape


async def play(url: str, batches: Sequence[Sequence[Call]], timed_from: int) -> float:
    """Write recorded rows into a database; the seconds that the batches took from one of them on."""
    connection = await connect(url)
    try:
        await _write(connection, batches[:timed_from])
        began = time.perf_counter()
        await _write(connection, batches[timed_from:])
        return time.perf_counter() - began
    finally:
        await connection.close()


async def _write(connection: Any, batches: Sequence[Sequence[Call]]) -> None:
    for calls in batches:
        async with connection.transaction():
            for sql, rows in calls:
                await connection.executemany(sql, rows)


async def same_content(one: str, other: str) -> bool:
    """Whether two databases hold the same rows."""
    return await _content(one) == await _content(other)


async def _content(url: str) -> dict[str, list[tuple[Any, ...]]]:
    connection: Any = await connect(url)
    try:
        return {name: await _rows(connection, name) for name in metadata.tables if name not in NOT_COMPARED}
    finally:
        await connection.close()


async def _rows(connection: asyncpg.Connection, table: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in await connection.fetch(f"SELECT * FROM {table}")), key=repr)
