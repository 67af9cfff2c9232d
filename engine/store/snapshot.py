"""Several reads of one moment: what others commit meanwhile is in none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.engine.store import queries
from interlock.schema.cloud import PLACES, Place
from interlock.schema.records import RECORDS, Entity
from interlock.schema.rows import reader
from interlock.schema.transition import Transition

_readers = {name: reader(kind) for name, kind in RECORDS.items()}
_place_readers = {name: reader(kind) for name, kind in PLACES.items()}


class Snapshot:
    """A transaction that only reads, and sees the database as it was at its first read. `Store.snapshot` makes it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(self, query: Select[Any]) -> Sequence[Any]:
        """What a query finds."""
        found: Sequence[Any] = (await self._connection.execute(query)).all()
        return found

    async def journal(self, query: Select[Any]) -> list[Transition]:
        """The journal rows that a query finds."""
        return [Transition(**row._mapping) for row in await self.rows(query)]

    async def places(self, name: str) -> list[Place]:
        """The places of a table."""
        return list(map(_place_readers[name], await self.rows(queries.all_of(name))))

    async def records(self, machine: str, query: Select[Any]) -> list[Entity]:
        """The records of a machine that a query of all their columns finds."""
        return list(map(_readers[machine], await self.rows(query)))
