"""Reads of records, places and the journal: each a query of `queries`, and the values that its rows become."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from interlock.engine.core.chronicle import Places
from interlock.engine.store import cloud, queries
from interlock.engine.store.cases import Case, Cases
from interlock.engine.store.snapshot import Snapshot
from interlock.schema.cloud import PLACES, Place, SecurityGroup, SettingValue
from interlock.schema.errors import NotFound
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.schema.rows import reader
from interlock.schema.transition import Transition

_readers: dict[type, Callable[[Sequence[Any]], Any]] = {
    kind: reader(kind) for kind in (Vm, Nic, Volume, Operation, *PLACES.values())
}


class Reads(ABC):
    """What a store reads."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._cases = Cases(self._reading)

    @property
    def dialect(self) -> str:
        """sqlite or postgresql."""
        return self.engine.dialect.name

    @abstractmethod
    def _reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for reads, none of which writes."""

    async def rows(self, query: Select[Any]) -> Sequence[Any]:
        """Run a read.

        Raises:
            StoreError: the database cannot be read now.
            EngineClosed: too late.
        """
        async with self._reading() as connection:
            found: Sequence[Any] = (await connection.execute(query)).all()
            return found

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Reads of one moment. On SQLite the file grows while it is open and others write.

        Raises:
            StoreError: the database cannot be read now.
        """
        async with self._moment() as connection:
            yield Snapshot(connection)

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[AsyncConnection]:
        async with self._reading() as connection:
            if self.dialect == "postgresql":  # a transaction, not each read for itself
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    async def case(self, operation_id: str) -> Case:
        """An operation with its VM, what of it still lives, and its volume; see `cases.py`."""
        return await self._cases.of_operation(operation_id)

    async def subject(self, vm_id: str | None, volume_id: str | None) -> Case:
        """What a request or an operation is about: a VM, a volume with the VM it belongs to, or both."""
        return await self._cases.of_subject(vm_id, volume_id)

    async def owners(self, vm_id: str | None, volume_id: str | None) -> Sequence[Operation]:
        """The operations that own a VM or a volume, at most one each."""
        return await self._cases.owners(vm_id, volume_id)

    async def operation(self, operation_id: str) -> Operation:
        """One operation.

        Raises:
            NotFound: there is none of that id.
        """
        rows = await self.rows(queries.entity("operation", operation_id))
        if not rows:
            raise NotFound(f"there is no operation {operation_id!r}")
        found: Operation = _readers[Operation](rows[0])
        return found

    async def groups(self, query: Select[Any]) -> list[SecurityGroup]:
        """The security groups that a query of their columns finds."""
        return list(map(_readers[SecurityGroup], await self.rows(query)))

    async def operations(self, query: Select[Any]) -> list[Operation]:
        """The operations a query of `queries` finds."""
        return list(map(_readers[Operation], await self.rows(query)))

    async def vms(self, query: Select[Any]) -> list[Vm]:
        """The VMs a query of `queries` finds."""
        return list(map(_readers[Vm], await self.rows(query)))

    async def nics(self, vm_id: str) -> list[Nic]:
        """All NICs a VM has or had."""
        return list(map(_readers[Nic], await self.rows(queries.belonging("nic", vm_id))))

    async def nics_of(self, vm_ids: Sequence[str]) -> list[Nic]:
        """All NICs that several VMs (a page of them) have or had, in one read."""
        return list(map(_readers[Nic], await self.rows(queries.nics_of(vm_ids))))

    async def volumes(self, vm_id: str) -> list[Volume]:
        """All volumes a VM has or had."""
        return list(map(_readers[Volume], await self.rows(queries.belonging("volume", vm_id))))

    async def disks(self, query: Select[Any]) -> list[Volume]:
        """The volumes a query of `queries` finds."""
        return list(map(_readers[Volume], await self.rows(query)))

    async def journal(self, query: Select[Any]) -> list[Transition]:
        """The journal rows a query of `queries` finds."""
        return [Transition(**row._mapping) for row in await self.rows(query)]

    async def some_places(self, name: str, query: Select[Any]) -> list[Place]:
        """The places of a kind that a query of their columns finds."""
        return list(map(_readers[PLACES[name]], await self.rows(query)))

    async def places(self) -> dict[str, list[Place]]:
        """All places by kind."""
        async with self._reading() as connection:
            return await connection.run_sync(cloud.places, PLACES)

    async def described(self) -> tuple[Places, dict[str, list[Place]]]:
        """All places as the journal tells them, and as they are in the tables, at one moment.

        Raises:
            JournalBroken: the journal's rows of the cloud do not follow one another.
        """
        async with self._moment() as connection:
            return await connection.run_sync(cloud.told), await connection.run_sync(cloud.places, PLACES)

    async def settings(self) -> list[SettingValue]:
        """The settings that are not at their default."""
        return list(map(_readers[SettingValue], await self.rows(queries.all_of("setting"))))
