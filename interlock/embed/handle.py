"""A handle on an operation: what `engine.deploy(…)` and its like return."""

from __future__ import annotations

from interlock.engine.orchestrator.orchestrator import Orchestrator
from interlock.schema.errors import OperationFailed
from interlock.schema.records import Operation


class Handle:
    """An accepted operation. It is durable and driven whether or not anybody keeps the handle."""

    def __init__(self, operation: Operation, actor: str, orchestrator: Orchestrator) -> None:
        self.id = operation.id
        self.vm_id = operation.vm_id
        self.volume_id = operation.volume_id
        self.kind = operation.kind
        self._actor = actor
        self._orchestrator = orchestrator

    def __repr__(self) -> str:
        return f"<{self.kind} operation {self.id} of {self.subject}>"

    @property
    def subject(self) -> str:
        """The id of the VM, or of the disk that belongs to none."""
        return self.vm_id or self.volume_id or ""

    async def wait(self) -> Operation:
        """Wait until it has succeeded.

        Raises:
            OperationFailed: it ended otherwise; the message says why, `operation` is its record.
            EngineClosed: the engine closed first; the operation goes on at the next open.
        """
        operation = await self.ended()
        if operation.state != "Succeeded":
            raise OperationFailed(f"{self.kind} {operation.state.lower()}: {operation.error}", operation)
        return operation

    async def ended(self) -> Operation:
        """Wait until it has ended or is Stuck, and return its record, whatever it says."""
        return await self._orchestrator.ended(self.id)

    async def cancel(self) -> None:
        """Have it undone. Returns once that is durable; `ended` waits until it is done.

        Raises:
            InvalidRequest: it has ended already.
        """
        await self._orchestrator.cancel(self.id, self._actor)
