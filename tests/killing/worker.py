"""The program that is killed: it opens the engine on a database, asks, and keeps operations in flight.

Everything it does it tells its diary first, or right after it was told. The last of a round asks nothing: it carries
on with what the others left, until nothing is under way.

Waits that nobody dies in are shortened here, in the process that wants them short, instead of by settings that no user
needs: they change when things are tried again, never what is done.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from interlock import Engine
from interlock.drivers.simulator import Simulator
from interlock.engine.core import recovery
from interlock.engine.core.events import Way
from interlock.engine.orchestrator import commits, convergence, lease, orchestrator, tasks
from interlock.engine.store import postgresql, queries
from interlock.engine.store.commit import Written
from interlock.engine.store.postgresql import Postgresql
from interlock.engine.store.sqlite import Sqlite
from interlock.engine.store.verdict import Committed
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Done, Outcome
from interlock.schema.errors import StoreError
from tests.killing.asker import Asker, Asks
from tests.killing.diary import Diary, Kind, Stage
from tests.killing.fleet import description
from tests.world import QUICK

PR_SET_PDEATHSIG = 1
"""Linux's number for it."""
OPENINGS = 3
"""Times an engine is opened while the database refuses. Too few: a pause is taken for a fault; too many: a fault for a
pause."""
SETTLED_WITHIN = 40.0
"""Seconds in which a process that nobody kills has to bring everything to an end."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to do."""

    url: str
    world: Path
    said: Path
    """Where its standard error goes."""
    name: str
    seed: str
    latency: float
    jitter: float
    making: bool
    """Whether the database may not be there yet."""
    successor: bool
    """Whether it comes after one that died."""
    last: bool
    """Whether it ends only when nothing is under way anywhere."""
    asks: Asks
    lease: float
    """Seconds."""


def run(orders: Orders, pipe: Connection) -> None:
    """The whole life of the process."""
    _die_with_the_round()
    said = os.open(orders.said, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(said, sys.stderr.fileno())
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    diary = Diary(pipe)
    try:
        _hurry(orders.lease)
        _watch(diary)
        asyncio.run(_live(orders, diary))
    except BaseException:
        diary.mark(Kind.BROKEN, text=traceback.format_exc())
        raise


def _die_with_the_round() -> None:
    """Also one that is paused must not outlive whoever began it, however that one ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _hurry(seconds: float) -> None:
    lease.LEASE, lease.RENEW = seconds, seconds / 3
    recovery.STRANDED = orchestrator.STRANDED = 0.3
    tasks.LEFT_BEHIND = 2.0
    convergence.AGAIN_FIRST, convergence.AGAIN_MOST = 0.05, 0.2
    postgresql.IDLE_SECONDS = seconds / 3
    commits.STORE_WAIT_FIRST, commits.STORE_WAIT_MOST = 0.02, 0.2


def _watch(diary: Diary) -> None:
    """Tell of each batch that goes to the database, and which rows it wrote."""
    for kind in (Sqlite, Postgresql):
        kind.write = _told(diary, kind.write)  # type: ignore[method-assign]


def _told(diary: Diary, write: Callable[..., Any]) -> Callable[..., Any]:
    async def tell(self: Any, decisions: Sequence[Any], is_stale: Any, more: Callable[[], Sequence[Any]]) -> Written:
        batch = list(decisions)

        def also() -> Sequence[Any]:
            late = more()
            batch.extend(late)
            return late

        diary.mark(Kind.COMMIT)
        try:
            written: Written = await write(self, decisions, is_stale, also)
        except BaseException:
            diary.mark(Kind.COMMITTED)
            raise
        won = zip(batch, written.verdicts, strict=True)
        rows = [
            (verdict.first_seq, verdict.first_seq + len(each.changes) - 1)
            for each, verdict in won
            if isinstance(verdict, Committed)
        ]
        diary.mark(Kind.COMMITTED, rows=tuple(rows))
        return written

    return tell


class Watched:
    """A driver around the simulator that tells of each command."""

    def __init__(self, simulator: Simulator, diary: Diary) -> None:
        self._inner, self._diary = simulator, diary

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The simulator's."""
        return self._inner.capabilities

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        await self._inner.attach(hosts, pools)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        self._diary.mark(Kind.EFFECT, token)
        answer = ""
        try:
            outcome = await self._inner.perform(command, token=token, fence=fence)
            answer = "Done" if isinstance(outcome, Done) else f"{outcome.kind}: {outcome.reason}"
            return outcome
        finally:
            self._diary.mark(Kind.EFFECTED, token, answer)

    async def close(self) -> None:
        """Whoever made the simulator closes it."""


async def _live(orders: Orders, diary: Diary) -> None:
    diary.mark(Kind.STAGE, Stage.MAKING if orders.making and not orders.successor else Stage.OPENING)
    async with AsyncExitStack() as stack:
        at = await Simulator.at(orders.world, latency=orders.latency, jitter=orders.jitter)
        simulator = await stack.enter_async_context(at)
        engine = await _opened(stack, orders, Watched(simulator, diary))
        diary.mark(Kind.WORKER, engine._orchestrator.drives.lease.worker_id)
        diary.mark(Kind.STAGE, Stage.RECOVERING if orders.successor else Stage.ASKING)
        await Asker(engine, diary, orders.name, orders.seed, orders.asks).run()
        if orders.last:
            await _finish(engine, diary)
        diary.mark(Kind.STAGE, Stage.CLOSING)
    diary.mark(Kind.STAGE, Stage.CLOSED)


async def _opened(stack: AsyncExitStack, orders: Orders, driver: Watched) -> Engine:
    """The engine. One that was paused while it loaded its cloud was cut off by the others, says so, and opens again."""
    for _ in range(OPENINGS - 1):
        with suppress(StoreError):
            return await stack.enter_async_context(_opening(orders, driver))
    return await stack.enter_async_context(_opening(orders, driver))


def _opening(orders: Orders, driver: Watched) -> AbstractAsyncContextManager[Engine]:
    cloud = description() if orders.making else None
    return Engine.open(orders.url, policy=QUICK, drivers={"simulator": driver}, cloud=cloud, actor=orders.name)


async def _finish(engine: Engine, diary: Diary) -> None:
    """See everything through; what is Stuck is resolved, as a person would."""
    try:
        async with asyncio.timeout(SETTLED_WITHIN):
            while await _is_under_way(engine, diary):
                await engine.idle()
                await asyncio.sleep(0.02)
    except TimeoutError:
        diary.mark(Kind.FINDING, text=f"it never settled: {await engine._store.rows(queries.driven())}")
    for finding in await engine.check():
        diary.mark(Kind.FINDING, finding.code, finding.message)


async def _is_under_way(engine: Engine, diary: Diary) -> bool:
    store = engine._store
    for operation in await store.operations(queries.stuck()):
        diary.mark(Kind.STUCK, operation.id, f"{operation.kind}: {operation.error}")
        way = Way.UNDO if operation.then else Way.RETRY
        await engine.resolve(operation.id, way, "the fault is over", actor="a person")
    return bool(await store.rows(queries.driven()) or await store.rows(queries.behind(0)))
