"""The workers on a database: who is one, until when, and which of the operations that nobody drives one of them takes.

Promises: of the operations that were only asked for, no two workers are given the same one (rows are locked, and those
that somebody else has locked are skipped); what a worker was given and had not begun when it died is anybody's again,
for what it was given stands beside its lease. None of this moves an operation: that is a commit of the worker's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    cast,
    column,
    delete,
    func,
    literal,
    not_,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.engine.store import queries
from interlock.engine.store.listening import SERVING, Word
from interlock.engine.store.statements import Statement, compiled
from interlock.engine.store.store import Store
from interlock.schema.tables.records import WAITING, operation
from interlock.schema.tables.workers import claim, worker

GIVEN_UP = 0
"""The end of a lease that somebody has given up."""


_locks = table("pg_locks", *map(column, ("locktype", "classid", "objid", "granted", "database")))
_databases = table("pg_database", column("oid"), column("datname"))


def _is_served() -> Select[Any]:
    here = select(_databases.c.oid).where(_databases.c.datname == func.current_database()).scalar_subquery()
    lock = (_locks.c.locktype == "advisory", _locks.c.classid == 0, cast(_locks.c.objid, BigInteger) == SERVING)
    return select(literal(1)).select_from(_locks).where(*lock, _locks.c.granted, _locks.c.database == here)


class Workers:
    """The tables `worker` and `claim` of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def hold(self, row: Mapping[str, Any]) -> None:
        """Write a worker's lease, and have the others know until when it holds.

        Raises:
            StoreError: it cannot be written now.
        """
        await self._store.put({"worker": [dict(row)]}, word=Word(lease_until=row["lease_until"]))

    async def forget(self, worker_id: str, before: int) -> None:
        """Remove a worker, and those whose lease ran out before a time (µs since 1970); what it was given and has not
        begun is anybody's again."""

        async def work(connection: AsyncConnection) -> None:
            gone = or_(worker.c.id == worker_id, worker.c.lease_until < before)
            await connection.execute(delete(worker).where(gone))
            await connection.execute(delete(claim).where(claim.c.worker_id.not_in(select(worker.c.id))))

        await self._store.write(work, Word(lease_until=GIVEN_UP))

    async def driven(self) -> Sequence[Any]:
        """The operations that a worker should be driving, each with the lease of that worker, or of the one that was
        given it. Without those that were only asked for, while an engine is open that takes them: they may be many.
        Whether there is one is told by its session, for a dead one's has ended."""
        query = queries.driven()
        if self._store.dialect == "postgresql":
            left = and_(text(WAITING), claim.c.worker_id.is_(None), _is_served().exists())
            query = query.where(not_(left))
        return await self._store.rows(query)

    async def take(self, worker_id: str, most: int) -> tuple[list[str], bool]:
        """Give a worker operations that were only asked for, the oldest first; on PostgreSQL only.

        Args:
            worker_id: it must hold its lease.
            most: how many at most.

        Returns:
            Which, and whether there may be more: also where another was faster with all that were found.
        """

        taking = _taking()
        values = {"worker": worker_id, "most": most}
        rows = await self._store.run_alone(taking.sql, [values[name] for name in taking.order])
        return [taken for _, taken in rows if taken is not None], len(rows) == most


@cache
def _taking() -> Statement:
    """Give a worker the oldest that nobody was given; and what it was given before and drives by now stands in the
    operation itself. One statement, compiled once: a worker that drives one operation at a time asks for each."""
    taken = select(claim.c.operation_id).where(claim.c.operation_id == operation.c.id).exists()
    oldest = (
        select(operation.c.id, bindparam("worker", type_=String))
        .where(text(WAITING), ~taken)
        .order_by(operation.c.id)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(of=operation, skip_locked=True)
        .cte("oldest")
    )
    driven = select(operation.c.id).where(operation.c.id == claim.c.operation_id, text(f"NOT ({WAITING})")).exists()
    begun = delete(claim).where(claim.c.worker_id == bindparam("worker", type_=String), driven).cte("begun")
    # Another may have given the same to somebody else since this statement began to look.
    given = insert(claim).from_select(["operation_id", "worker_id"], select(oldest)).on_conflict_do_nothing()
    taking = given.returning(claim.c.operation_id).cte("given")
    found = select(oldest.c.id, taking.c.operation_id)
    return compiled(
        found.select_from(oldest.outerjoin(taking, taking.c.operation_id == oldest.c.id)).add_cte(begun), "postgresql"
    )
