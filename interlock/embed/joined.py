"""A request inside the embedder's own transaction: its rows and ours commit or roll back together.

Races considered. SQLAlchemy tells of a commit just before it happens; the operation is looked for only when the
journal's lock is free again, which is exactly when the commit is done. If the transaction is rolled back, or the
process dies, there is no operation. If the connection is closed without either, SQLAlchemy rolls back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Select, event
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Requested
from interlock.engine.orchestrator.orchestrator import Orchestrator
from interlock.engine.store.cases import Case
from interlock.engine.store.joined import take_lock, write_joined
from interlock.engine.store.listening import Word
from interlock.engine.store.verdict import Lost, Why
from interlock.schema.errors import Busy, Conflict, InvalidRequest, NoRoom
from interlock.schema.requests import Request


async def submit_joined(
    orchestrator: Orchestrator, request: Request, actor: str, caller_id: str | None, connection: AsyncConnection
) -> Decision:
    """Write a request on `connection`, and begin it when that commits.

    Raises:
        InvalidRequest: it is refused; the transaction is as before.
        Conflict: the VM was changed meanwhile; the transaction is as before, ask again.
    """
    orchestrator.check_open()
    if not connection.in_transaction():
        raise InvalidRequest("the connection is in no transaction; use `async with connection.begin()`")
    case, admission = await orchestrator.prepare(request, actor, caller_id)
    await take_lock(connection)
    try:
        decision = await _write(orchestrator, case, admission, connection)
    except (NoRoom, Conflict):
        # Others may have changed what is owned. Nobody can now: what is read under the lock is the truth.
        orchestrator.commits.inventory.books.close()
        decision = await _write(orchestrator, case, admission, connection)
    operation = decision.operation
    await orchestrator.store.tell(connection, Word(wrote=True, queued=operation.worker_id is None))
    _when_it_ends(orchestrator, decision, connection)
    return decision


async def _write(
    orchestrator: Orchestrator, case: Case | None, admission: Callable[[int], Requested], connection: AsyncConnection
) -> Decision:
    """Decide the request and write it, once."""
    decision = await orchestrator.commits.admit_joined(case, admission, lambda query: _read(connection, query))
    inventory = orchestrator.commits.inventory
    inventory.hold(decision)
    try:
        verdict = await write_joined(connection, decision)
        if isinstance(verdict, Lost):
            await orchestrator.commits.explain(decision, verdict)
            if verdict.why is Why.BUSY:
                about = decision.operation.vm_id or decision.operation.volume_id
                raise Busy(f"{about} is busy: this transaction has asked for another operation on it")
            raise Conflict(f"the request lost a race: {verdict.message}; ask again")
    except BaseException:
        inventory.drop(decision)
        raise
    return decision


async def _read(connection: AsyncConnection, query: Select[Any]) -> Sequence[Sequence[Any]]:
    found: Sequence[Sequence[Any]] = (await connection.execute(query)).all()
    return found


def _when_it_ends(orchestrator: Orchestrator, decision: Decision, connection: AsyncConnection) -> None:
    inventory, loop = orchestrator.commits.inventory, asyncio.get_running_loop()
    decided = False

    def once(committed: bool) -> None:
        nonlocal decided
        if decided:
            return
        decided = True
        loop.call_soon(forget)  # not now: SQLAlchemy is walking the listeners
        if committed:
            orchestrator.begin_joined(decision)
        else:
            inventory.drop(decision)

    def commits(_: object) -> None:
        once(True)

    def rolls_back(_: object) -> None:
        once(False)

    def forget() -> None:
        event.remove(connection.sync_connection, "commit", commits)
        event.remove(connection.sync_connection, "rollback", rolls_back)

    event.listen(connection.sync_connection, "commit", commits)
    event.listen(connection.sync_connection, "rollback", rolls_back)
