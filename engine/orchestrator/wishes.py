"""What somebody here wants of an operation that another engine drives: it is told, and does it.

Promises: `cancel` returns when it is durable that the operation is being undone, as if it were driven here. The word is
not durable, its effect is: who is told commits it, or nothing comes of it, and the wish says so.

Races considered. The operation ends before the word is heard, or its engine dies: the wish is refused, with how the
operation stands. It is taken over meanwhile: the one that is told does not drive it any more, and the wish is refused.
"""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.engine.core.course import CANCELLED, REPLAN
from interlock.engine.store.listening import Word
from interlock.engine.store.store import Store
from interlock.schema.errors import InvalidRequest
from interlock.schema.operation import DRIVEN
from interlock.schema.records import Operation

HEARD_WITHIN = 20.0
"""Seconds until a wish counts as not heard. Too low: a busy engine is taken for a dead one; too high: one waits."""


class Wishes:
    """One per engine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written = asyncio.Event()

    def heard(self) -> None:
        """Another engine has written."""
        self._written.set()

    async def cancel(self, operation_id: str, actor: str) -> None:
        """Have whoever drives an operation undo it.

        Raises:
            InvalidRequest: it is being undone already, or has ended, or nobody hears.
        """
        await self._store.listen()
        operation = await self._store.operation(operation_id)
        if not _is_going_on(operation):
            raise InvalidRequest(f"operation {operation_id} is {operation.state}: nothing to cancel")
        await self._store.write(_nothing, Word(cancel=operation_id, actor=actor))
        try:
            async with asyncio.timeout(HEARD_WITHIN):
                operation = await self._moved_on(operation_id)
        except TimeoutError:
            raise InvalidRequest(
                f"operation {operation_id} is driven by another engine, which did not hear within {HEARD_WITHIN:g} s; "
                "if it is gone, another one goes on with it soon: ask again then"
            ) from None
        if operation.state != "Cancelled" and operation.then != CANCELLED:
            raise InvalidRequest(f"operation {operation_id} is {operation.state} by now: nothing to cancel")

    async def _moved_on(self, operation_id: str) -> Operation:
        while True:
            self._written.clear()
            operation = await self._store.operation(operation_id)
            if not _is_going_on(operation):
                return operation
            await self._written.wait()


def _is_going_on(operation: Operation) -> bool:
    return operation.state in DRIVEN and operation.then in (None, REPLAN)


async def _nothing(_connection: AsyncConnection) -> None:
    """The word is all that is written."""
