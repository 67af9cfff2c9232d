"""Convergence: sees to it that the hosts of all VMs are told the rules of their security groups.

A VM is behind while it holds a host and `rules_told` is lower than the version of one of its groups. That stands in
the database, so nothing that happens in between is forgotten: whoever opens it looks. One that is behind is told by a
`secure` operation of the actor `interlock`, as soon as no other operation owns it.

When it looks: after opening, after a change of rules, and at each VM whose operation ends here (in memory: the record
is at hand). Only while some VM is known to be behind and cannot be told now does a timer run: its host refuses, or an
operation of another engine owns it. Nothing behind: no SQL, no timer, no task.

Races considered. A VM that starts while the rules change is found Starting, or ends its start with an older version
than is known by then: its end is looked at. A Stuck operation is not waited for: its end, one day, is. Two engines that
find the same VM: one gets it, the other is told that it is busy, or finds it told. An engine does not hear of a change
that another one makes; it learns of it with the figures it reads again when it was overtaken, and tells the VMs whose
operations it ends. The engine that changed the rules looks again for the rest, as does the next one that opens.

Never waits for a host that refuses: `idle` and closing leave it behind, in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from interlock.engine.core.decision import Decision, End
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.errors import Busy, EngineClosed, InterlockError
from interlock.schema.records import Operation
from interlock.schema.requests import SecureVM

ACTOR = "interlock"
AT_ONCE = 64
"""Requests in the air. Too low: no batch of commits is full; too high: what people ask for meanwhile waits longer."""
AGAIN_FIRST, AGAIN_MOST = 1.0, 300.0
"""Seconds until VMs that could not be told are looked for again; doubles each time. Too low: a host that refuses is
hammered; too high: rules take long to reach a host that is well again."""

Submit = Callable[[SecureVM, str, None], Awaitable[Decision]]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Convergence:
    """One per engine.

    Args:
        store: is asked who is behind.
        inventory: the groups as they are known here.
        submit: accepts a request and begins to drive it.
        spawn: runs work in a task that closing waits for.
        is_driven: whether an operation is driven here, so that its end will be told.
    """

    def __init__(
        self, store: Store, inventory: Inventory, submit: Submit, spawn: Spawn, is_driven: Callable[[str], bool]
    ) -> None:
        self._store, self._inventory = store, inventory
        self._submit, self._spawn, self._is_driven = submit, spawn, is_driven
        self._rounds: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None
        self._wait = AGAIN_FIRST
        self._closed = False

    @property
    def under_way(self) -> Sequence[asyncio.Task[None]]:
        """The rounds that have not yet asked for all they found."""
        return tuple(self._rounds)

    def look(self, above: int = 0) -> None:
        """Some VMs may be behind: find them, and have them told.

        Args:
            above: groups of this version or lower have not changed.
        """
        self._begin(self._round(above))

    def ended(self, decision: Decision) -> None:
        """An operation has ended here: its VM may have been busy while rules changed, or not be told after all."""
        vm, operation = decision.vm, decision.operation
        if vm is None or decision.outcome is End.STUCK or not self._inventory.behind(vm):
            return
        if operation.kind == "secure" and decision.outcome is not End.SUCCEEDED:
            self._look_later()
        elif vm.state == "Running":
            self._begin(self._tell([vm.id]))

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True
        if self._later is not None:
            self._later.cancel()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if self._closed:
            work.close()
            return
        task = self._spawn(work, "interlock convergence")
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)

    async def _round(self, above: int) -> None:
        try:
            behind = [vm_id for [vm_id] in await self._store.rows(queries.behind(above))]
        except EngineClosed:
            return
        except InterlockError as error:
            log.say("error", "who is behind with security groups cannot be read; trying again", error=str(error))
            self._look_later()
            return
        if behind:
            await self._tell(behind)
        elif self._later is None:
            self._wait = AGAIN_FIRST

    async def _tell(self, vm_ids: Sequence[str]) -> None:
        waiting = iter(vm_ids)

        async def work() -> None:
            for vm_id in waiting:
                await self._tell_one(vm_id)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(vm_ids))):
                group.create_task(work())

    async def _tell_one(self, vm_id: str) -> None:
        try:
            await self._submit(SecureVM(vm_id), ACTOR, None)
        except EngineClosed:
            pass
        except Busy:
            await self._leave_to(vm_id)
        except InterlockError as error:
            log.say("warning", "security groups: a VM cannot be told now; trying again", vm=vm_id, error=str(error))
            self._look_later()

    async def _leave_to(self, vm_id: str) -> None:
        """Whose end is told here, or by a person, needs no timer; another engine's does."""
        try:
            owners = await self._store.owners(vm_id, None)
        except EngineClosed:
            return
        except InterlockError:
            owners = ()
        if not owners or any(self._is_elsewhere(owner) for owner in owners):
            self._look_later()

    def _is_elsewhere(self, operation: Operation) -> bool:
        return operation.state != "Stuck" and not self._is_driven(operation.id)

    def _look_later(self) -> None:
        if self._closed or self._later is not None:
            return
        self._later = asyncio.get_running_loop().call_later(self._wait, self._ring)
        self._wait = min(2 * self._wait, AGAIN_MOST)

    def _ring(self) -> None:
        self._later = None
        self.look()
