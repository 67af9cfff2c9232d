"""The simulator: a `Driver` whose hypervisor, storage and network are a file.

Beside the protocol it takes orders for faults, shows its world, and acts as the outside world (outside.py): guests
shut themselves down, crash, move, appear; hosts are lost and come back. What happens so is told to those who listen,
truthfully unless `tales` is ordered to lie. All state of the world is in the file; several simulators, also of
different processes, may work on one.

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
from sqlite3 import Cursor
from types import TracebackType
from typing import Any, Self, TypeVar

from interlock.drivers.protocol import Home
from interlock.drivers.simulator import capabilities, faults, options, outside, world
from interlock.drivers.simulator.delivery import Sent, deliver
from interlock.drivers.simulator.faults import Fault
from interlock.drivers.simulator.file import WorldFile
from interlock.drivers.simulator.outside import Told
from interlock.drivers.simulator.tales import Tales, Tell
from interlock.drivers.simulator.worker import Worker
from interlock.drivers.simulator.world import Power, World
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Outcome
from interlock.schema.errors import EngineClosed, NotFound
from interlock.schema.reports import HostReport

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
        self.tales = Tales()
        """What is told of the outside world; takes orders to lie."""
        self._hosts: set[str] = set()
        self._slow: dict[str, float] = {}
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
        self._hosts.update(host.id for host in hosts)
        await self._do(partial(world.attach, hosts=tuple(hosts), pools=tuple(pools)))

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        """Carry out one command; see `drivers/protocol.py`, and `delivery.py` for how."""
        self._begins()
        try:
            if self._latency or self._jitter or self._slow:
                await self._travel(command.at, token)
            sent, now = Sent(command, token, fence), self._clock()
            outcome = await self._worker.submit(lambda db: deliver(db, sent, now, self.capabilities))
            if outcome is None:
                await self._closing.wait()
                raise self._is_closed()
            return outcome
        finally:
            self._ends()

    async def _travel(self, at: str, token: str) -> None:
        travel = self._latency + self._jitter * _share(token) + self._slow.get(at, 0.0)
        if travel:
            await asyncio.sleep(travel)

    def listen(self, tell: Tell) -> Callable[[], None]:
        """Tell somebody what happens that no command asked for; see `drivers/protocol.py`."""
        return self.tales.listen(tell)

    async def survey(self) -> Sequence[HostReport]:
        """What the hosts that were attached have; those that are lost say nothing."""
        return await self._do(partial(outside.survey, hosts=frozenset(self._hosts), now=self._clock()))

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
        await self._switch(vm_id, Power.OFF, outside.SHUT_DOWN)

    async def crash(self, vm_id: str) -> None:
        """The guest breaks off; it stays defined on its host, powered off."""
        await self._switch(vm_id, Power.OFF, outside.CRASHED)

    async def boot_outside(self, vm_id: str) -> None:
        """Somebody starts a guest that is defined and off, behind everybody's back."""
        await self._switch(vm_id, Power.ON, "")

    async def undefine_outside(self, vm_id: str) -> None:
        """Somebody removes the guest from its host."""
        self._tell(await self._do(partial(outside.undefine, vm_id=vm_id, now=self._clock())), vm_id)

    async def move(self, vm_id: str, to_host: str) -> None:
        """Somebody moves the guest to another host."""
        job = partial(outside.move, vm_id=vm_id, to_host=to_host, now=self._clock())
        self._tell(await self._do(job), vm_id)

    async def appear(self, vm_id: str, host: str) -> None:
        """A guest runs on a host that nobody has started: one of a VM that was stopped, or a stranger."""
        self._tell(await self._do(partial(outside.appear, vm_id=vm_id, host=host, now=self._clock())), vm_id)

    async def lose(self, host: str, *, dies: bool = False, silent: bool = False) -> None:
        """A host is not heard any more, until it is brought back.

        Args:
            dies: its guests die with it, and it boots meanwhile; else they run on.
            silent: it never answers what it is asked; else that is refused as transient.

        Raises:
            NotFound: there is no such host.
        """
        job = partial(outside.lose, host=host, dies=dies, silent=silent, now=self._clock())
        self._tell(await self._do(job), host)

    async def bring_back(self, host: str) -> None:
        """A host that was lost is heard again, and reports."""
        self._tell(await self._do(partial(outside.bring_back, host=host, now=self._clock())), host)

    async def report(self, *hosts: str) -> None:
        """Have hosts report all they have, as they would from time to time; without any, all that were attached."""
        asked = frozenset(hosts or self._hosts)
        self.tales.tell(await self._do(partial(outside.survey, hosts=asked, now=self._clock())))

    def slow(self, place: str, seconds: float) -> None:
        """Have a host or pool take that much longer for everything; 0: no longer."""
        self._slow[place] = seconds

    async def _switch(self, vm_id: str, power: Power, reason: str) -> None:
        job = partial(outside.switch, vm_id=vm_id, power=power, reason=reason, now=self._clock())
        self._tell(await self._do(job), vm_id)

    def _tell(self, told: Told | None, what: str) -> None:
        if told is None:
            raise NotFound(f"there is no guest or host {what} in {self._worker.file.path}")
        self.tales.tell(told)

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

    async def _do(self, job: Callable[[Cursor], T]) -> T:
        with self._counted():
            return await self._worker.submit(job)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a call as under way; refuse it after `close`."""
        self._begins()
        try:
            yield
        finally:
            self._ends()

    def _begins(self) -> None:
        if self._closing.is_set():
            raise self._is_closed()
        self._under_way += 1
        self._idle.clear()

    def _ends(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    def _is_closed(self) -> EngineClosed:
        return EngineClosed(f"the simulator on {self._worker.file.path} is closed")


def _share(token: str) -> float:
    """A number from 0 to 1 that follows from the token."""
    return zlib.crc32(token.encode()) / 0xFFFFFFFF
