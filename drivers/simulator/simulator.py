"""The simulator: a `Driver` whose hypervisor, storage and network are a file.

Beside the protocol it takes orders for faults, shows its world, and acts as the outside world: a guest that
shuts itself down. All state is in the file; several simulators, also of different processes, may work on
one.

Promises: commands that arrive at one moment share a transaction (worker.py). Cancelling one `perform`
disturbs no other; its effect is then done or not done, as the protocol allows. `close` waits for what is
under way, except for commands that hang on order: those end with EngineClosed, as does every call that
comes later. No task is ever started, and no thread is left.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Any, Self, TypeVar

from interlock.drivers.protocol import Home
from interlock.drivers.simulator import capabilities, faults, options, world
from interlock.drivers.simulator.delivery import Sent, deliver
from interlock.drivers.simulator.faults import Fault
from interlock.drivers.simulator.file import WorldFile
from interlock.drivers.simulator.worker import Worker
from interlock.drivers.simulator.world import World
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Outcome
from interlock.schema.errors import EngineClosed, NotFound

T = TypeVar("T")


class Simulator:
    """A driver for hosts and pools that are rows in a file. Made by `open` or `at`."""

    def __init__(
        self,
        worker: Worker,
        *,
        latency: float,
        jitter: float,
        clock: Callable[[], float],
        lacking: frozenset[Capability],
    ) -> None:
        self._worker = worker
        self.capabilities = capabilities.ALL - lacking
        """What its hypervisor can; never changes."""
        self._latency, self._jitter = latency, jitter
        self._clock = clock
        self._under_way = 0
        self._closing, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    @classmethod
    async def open(cls, options_: Mapping[str, Any], home: Home) -> Self:
        """Make one as the cloud description says.

        Raises:
            PluginError: an option is unknown or wrong.
            StoreError: the file cannot be used.
        """
        read = options.read(options_)
        path = options.world_file(read, home)
        latency, jitter = read.latency_ms / 1000, read.jitter_ms / 1000
        return await cls.at(path, latency=latency, jitter=jitter, cannot=read.lacking)

    @classmethod
    async def at(
        cls,
        path: Path | str,
        *,
        latency: float = 0.0,
        jitter: float = 0.0,
        clock: Callable[[], float] = time.time,
        cannot: Collection[Capability] = (),
    ) -> Self:
        """Make one on a file.

        Args:
            path: the file; made if it is not there.
            latency: how long each command travels, in seconds.
            jitter: up to how much longer; how much follows from the token.
            clock: when late effects are due; all processes on one file need the same.
            cannot: the capabilities that its hypervisor lacks.

        Raises:
            StoreError: the file cannot be used.
        """
        worker = Worker(WorldFile(Path(path), clock))
        await worker.open()
        return cls(worker, latency=latency, jitter=jitter, clock=clock, lacking=frozenset(cannot))

    # The protocol

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        """Build hosts and pools, or resize them; what is not named stays."""
        await self._do(partial(world.attach, hosts=tuple(hosts), pools=tuple(pools)))

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        """Carry out one command; see `drivers/protocol.py`, and `delivery.py` for how."""
        with self._counted():
            if self._latency or self._jitter:
                await asyncio.sleep(self._latency + self._jitter * _share(token))
            sent = Sent(command, token, fence)
            job = partial(deliver, sent=sent, now=self._clock(), capabilities=self.capabilities)
            outcome = await self._worker.submit(job)
            if outcome is None:
                await self._closing.wait()
                raise self._is_closed()
            return outcome

    async def close(self) -> None:
        """Finish what is under way and let go of the file; once more does nothing."""
        self._closing.set()
        await self._idle.wait()
        await self._worker.close()

    # Orders

    async def order(self, fault: Fault) -> int:
        """Order a fault; the number is for `fired` and `recall`.

        Raises:
            InvalidRequest: it could never fire, or not as it says.
        """
        faults.check(fault)
        return await self._do(partial(faults.place, fault=fault))

    async def fired(self, order: int) -> int:
        """How often an order has fired.

        Raises:
            NotFound: there is no such order.
        """
        count = await self._do(partial(faults.fired, number=order))
        if count is None:
            raise NotFound(f"there is no order {order} in {self._worker.file.path}")
        return count

    async def recall(self, order: int) -> None:
        """Take an order back: it fires no more."""
        await self._do(partial(faults.recall, number=order))

    # The outside world

    async def world(self) -> World:
        """All there is, at one moment."""
        return await self._do(world.read)

    async def power_off_inside(self, vm_id: str) -> None:
        """The guest shuts itself down; it stays defined on its host, powered off.

        Raises:
            NotFound: there is no such guest.
        """
        if not await self._do(partial(world.power_off_inside, vm_id=vm_id)):
            raise NotFound(f"no host has a guest of VM {vm_id}")

    @property
    def transactions(self) -> int:
        """How many transactions were committed since this simulator was made."""
        return self._worker.file.transactions

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _do(self, job: Callable[[Connection], T]) -> T:
        with self._counted():
            return await self._worker.submit(job)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a call as under way; refuse it after `close`."""
        if self._closing.is_set():
            raise self._is_closed()
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    def _is_closed(self) -> EngineClosed:
        return EngineClosed(f"the simulator on {self._worker.file.path} is closed")


def _share(token: str) -> float:
    """A number from 0 to 1 that follows from the token."""
    return zlib.crc32(token.encode()) / 0xFFFFFFFF
