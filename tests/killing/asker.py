"""Asks, and keeps asking: so many operations in flight at once, until so many were accepted.

Each of its hands holds one operation: it picks something that none of them holds, asks for it, waits for its end, looks
what has become of it, and picks again. Now and then a request is taken back, goes through a transaction of the
caller's own, or the rules of a security group are changed instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import TypeVar

import msgspec

from interlock import Engine, FirewallRule
from interlock.embed.handle import Handle
from interlock.schema.errors import EngineClosed, InvalidRequest, StoreError
from interlock.schema.records import Vm, Volume
from interlock.schema.requests import KIND_OF, Request, subject_of
from tests.killing import wishes
from tests.killing.diary import Diary, Kind, Stage
from tests.killing.fleet import GROUP
from tests.killing.plan import AT_ONCE, IN_FLIGHT

PATIENCE = 2.0
"""Seconds that a hand waits for an end: a command that hangs on order has none."""
TRIES = 40
"""Requests that a hand may have refused in a row. Too low: fewer are in flight; too high: it spins."""

AGAIN = 0.3
"""Seconds until a database that could not be written is tried again. Too low: one that comes back is hammered."""

T = TypeVar("T")


class Asks(msgspec.Struct, frozen=True):
    """How much is asked."""

    accepted: int
    at_once: int = AT_ONCE


class Asker:
    """One per process."""

    def __init__(self, engine: Engine, diary: Diary, name: str, seed: str, asks: Asks) -> None:
        self._engine, self._diary, self._name = engine, diary, name
        self._draw = Random(f"asker {seed} {name}")
        self._asks, self._left, self._accepted, self._named = asks, asks.accepted, 0, 0
        self._in_flight, self._works = 0, False
        self._vms: dict[str, Vm] = {}
        self._disks: dict[str, Volume] = {}
        self._held: set[str] = set()

    async def run(self) -> None:
        """Ask for all of it, and wait for the ends."""
        if self._left:
            await _patiently(self._look)
            await asyncio.gather(*(self._keep() for _ in range(min(self._left, self._asks.at_once))))

    async def _look(self) -> None:
        self._vms = {vm.id: vm for vm in (await self._engine.vms(limit=1000)).vms}
        self._disks = {disk.id: disk for disk in (await self._engine.disks(limit=1000)).disks}

    async def _keep(self) -> None:
        while self._left > 0:
            self._left -= 1
            await self._one()

    async def _one(self) -> None:
        """One operation, from the wish to what has become of it."""
        for _ in range(TRIES):
            request = self._wish()
            vm, disk = subject_of(request)
            held = {each for each in (vm, disk) if each}
            self._held |= held
            try:
                if handle := await self._ask(request):
                    await self._see_through(handle, held)
                    return
            finally:
                self._held -= held

    def _wish(self) -> Request:
        draw = self._draw
        chance, disks = draw.random(), self._free_disks()
        vms = [vm for vm in self._vms.values() if vm.id not in self._held]
        for _ in range(TRIES if chance < 0.87 else 0):
            if chance < 0.75:
                request = wishes.of_vm(draw, draw.choice(vms), disks) if vms else None
            else:
                request = wishes.of_disk(draw, draw.choice(list(disks.values()))) if disks else None
            if request:
                return request
        self._named += 1
        return wishes.of_nobody(draw, f"{self._name}-{self._named}")

    def _free_disks(self) -> dict[str, Volume]:
        return {each.id: each for each in self._disks.values() if each.id not in self._held}

    async def _ask(self, request: Request) -> Handle | None:
        what = f"{KIND_OF[type(request)]} {next(filter(None, subject_of(request)), getattr(request, 'name', ''))}"
        await self._perhaps_change_rules()
        self._diary.mark(Kind.ASKED, what)
        try:
            handle = await self._submit(request)
        except EngineClosed:
            raise
        except StoreError as error:
            self._diary.mark(Kind.UNSURE, what, str(error))
            await asyncio.sleep(AGAIN)
            return None
        except InvalidRequest as error:
            self._diary.mark(Kind.REFUSED, what, str(error))
            return None
        self._diary.mark(Kind.ACKED, handle.id, what)
        self._accepted += 1
        self._in_flight += 1
        if not self._works and (self._in_flight >= IN_FLIGHT or self._accepted == self._asks.accepted):
            self._works = True
            self._diary.mark(Kind.STAGE, Stage.WORKING)
        return handle

    async def _submit(self, request: Request) -> Handle:
        if self._draw.random() > 0.06:
            return await self._engine.submit(request)
        async with self._engine.transaction() as connection:
            return await self._engine.submit(request, connection=connection)

    async def _perhaps_change_rules(self) -> None:
        if self._draw.random() < 0.02:
            port = self._draw.randint(1, 60_000)
            rule = FirewallRule(protocol="tcp", first_port=port, last_port=port, cidr="0.0.0.0/0")
            await _patiently(lambda: self._engine.set_rules(GROUP, ingress=[rule]))

    async def _see_through(self, handle: Handle, held: set[str]) -> None:
        if self._draw.random() < 0.06:
            await asyncio.sleep(self._draw.uniform(0.0, 0.03))
            await self._cancel(handle)
        try:
            ended = await asyncio.wait_for(_patiently(handle.ended), PATIENCE)
        except TimeoutError:
            return
        self._in_flight -= 1
        self._diary.mark(Kind.ENDED, handle.id, ended.state)
        await _patiently(lambda: self._look_at(handle, held))

    async def _cancel(self, handle: Handle) -> None:
        with suppress(InvalidRequest, StoreError):  # it has ended, or another process drives it
            await handle.cancel()

    async def _look_at(self, handle: Handle, held: set[str]) -> None:
        """What has become of what the operation was about."""
        if handle.vm_id:
            self._vms[handle.vm_id] = await self._engine.vm(handle.vm_id)
            self._disks |= {disk.id: disk for disk in await self._engine.volumes(handle.vm_id)}
        for disk_id in (held | {handle.volume_id or ""}) & (self._disks.keys() | {handle.volume_id}):
            if disk_id:
                self._disks[disk_id] = await self._engine.disk(disk_id)


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """As an embedder does who knows that the database comes back."""
    while True:
        try:
            return await work()
        except EngineClosed:
            raise
        except StoreError:
            await asyncio.sleep(AGAIN)
