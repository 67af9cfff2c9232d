"""The orchestrator: takes requests, hears what other engines tell, and says when something has ended.

What it takes is driven by `drives.py`; what else goes on in an engine (`expiry.py`, `archival.py`, `convergence.py`,
`reconciliation.py`) asks through it like everybody. It is put together here, and closed.

Promises: an accepted request is durable before the caller hears of it, and is driven without further asking. With
nothing under way it runs no SQL, no timer and no task. After `close` no task is left, and everything that was under
way goes on when the database is opened again.

Races considered. A request that comes while closing is refused before anything is written.
Between the reading of what a request names and its writing, another operation may have ended that gave the VM a disk
or took one: so what an operation is about is read again once it owns it, and its first step looks at its rules again.
An operation may begin to be driven here while somebody begins to wait for it as one of another engine's: it is looked
for again once that was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Any

from interlock.drivers.protocol import Driver
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import CancelRequested, Claimed, Requested, Resolved, Way, ids_needed
from interlock.engine.core.recovery import STRANDED
from interlock.engine.core.snapshot import Rules
from interlock.engine.orchestrator.archival import Archival
from interlock.engine.orchestrator.clock import fresh_ids
from interlock.engine.orchestrator.commits import Accepted, Commits, after, makes_its_subject
from interlock.engine.orchestrator.convergence import Convergence
from interlock.engine.orchestrator.door import Door
from interlock.engine.orchestrator.drive import Wish
from interlock.engine.orchestrator.drives import Drives
from interlock.engine.orchestrator.elsewhere import Elsewhere
from interlock.engine.orchestrator.expiry import Expiry
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.reconciliation import Reconciliation
from interlock.engine.orchestrator.tasks import Tasks
from interlock.engine.orchestrator.wishes import Wishes
from interlock.engine.store import queries
from interlock.engine.store.cases import Case
from interlock.engine.store.listening import Word
from interlock.engine.store.store import Store
from interlock.schema.errors import Busy, EngineClosed, InterlockError, InvalidRequest, StoreError
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.operation import DRIVEN
from interlock.schema.records import Operation
from interlock.schema.requests import EvictGuest, ExpungeVM, Request, checked, subject_of

OURS = "interlock"
"""Who asks, in the journal, for what the engine does by itself."""


class Part(StrEnum):
    """What an engine does among the others on its database."""

    ASKS = "asks"  # writes requests, and leaves them to those that serve
    ALL_OF_ITS_OWN = "own"  # drives what is asked of it, and what nobody drives any more
    SERVES = "serves"  # drives what others only asked for as well


class Orchestrator:
    """The shell around the core for one database.

    Args:
        part: what it does among others.
        in_flight: operations driven at once; None: as many as `drives.IN_FLIGHT`.
    """

    def __init__(
        self,
        store: Store,
        inventory: Inventory,
        rules: Rules,
        drivers: Mapping[str, Driver],
        part: Part = Part.ALL_OF_ITS_OWN,
        in_flight: int | None = None,
    ) -> None:
        self.store = store
        self.part = part
        self._closed = False
        self._observer = store.observer
        self._tasks = Tasks(lambda: self.drives.recovery.look_in(STRANDED))
        self._joining: set[asyncio.Task[Any]] = set()
        """Those of the tasks that wait for an embedder's commit."""
        spawn = self._tasks.spawn
        self.commits = Commits(store, inventory, rules, lambda: self._closed)
        self.drives = Drives(store, self.commits, drivers, in_flight, spawn)
        self.door = Door(self.drives.ends.__len__)
        self.elsewhere = Elsewhere(store, spawn)
        self._wishes = Wishes(store)
        self.expiry = Expiry(store, inventory, self._expunge, spawn)
        self.archival = Archival(store, inventory, spawn)
        self.convergence = Convergence(store, inventory, self.submit, spawn, self.drives.ends.__contains__)
        self.reconciliation = Reconciliation(store, inventory, drivers, self.submit, spawn, self.drives.owned)
        self._listen()

    def _listen(self) -> None:
        """Have each of them hear what it must of the others."""
        self.store.writer.at_work = lambda: self.drives.started + self.door.inside
        self.commits.on_reload = self._others_wrote
        self.drives.on_begun = self.elsewhere.wake
        self.drives.on_over = self.door.look
        self.drives.on_ended = tuple(
            each.ended for each in (self.convergence, self.reconciliation, self.expiry, self.archival)
        )

    # --- requests

    async def submit(self, request: Request, actor: str, caller_id: str | None) -> Decision:
        """Accept a request and begin to drive it; returns when it is durable.

        Args:
            request: what is asked.
            actor: who asks, for the journal.
            caller_id: the account on whose rights; None: the operator's.

        Raises:
            InvalidRequest: it is refused; the message says by which rule and what to do.
            StoreError: it cannot be written now; nothing was.
            EngineClosed: the engine is closed.
        """
        self.check_open()
        await self.door.enter()
        # In a task of our own: a caller that gives up waiting must not leave a request written and not driven.
        task = self._tasks.spawn(self._submit(request, actor, caller_id), "interlock request")
        task.add_done_callback(lambda _: self.door.leave())
        return await asyncio.shield(task)

    async def _submit(self, request: Request, actor: str, caller_id: str | None) -> Decision:
        if self.part is not Part.ASKS:
            await self.drives.lease.ensure()
        try:
            case, event = await self.prepare(request, actor, caller_id)
            accepted = await self._accepted(request, case, event)
        except StoreError:
            self.drives.recovery.look_in(STRANDED)  # a connection that broke may have broken after the commit
            raise
        except Busy:
            self.drives.recovery.glance()  # with what nobody drives any more
            raise
        self.begin(accepted.decision, accepted)
        return accepted.decision

    async def _accepted(self, request: Request, case: Case | None, event: Callable[[int], Requested]) -> Accepted:
        """Have a request written; with a head start, if its operation makes all that it is about and begins at once."""
        if case is not None or not self.drives.has_room or self.part is Part.ASKS:
            return await self.commits.request(case, event)
        self.drives.ahead += 1
        try:
            return await self.commits.request(case, event, partial(_claimed, self.drives.lease.worker_id))
        finally:
            self.drives.ahead -= 1

    async def prepare(
        self, request: Request, actor: str, caller_id: str | None
    ) -> tuple[Case | None, Callable[[int], Requested]]:
        """What deciding a request needs: the case of what it names, and the event."""
        request = checked(request)
        ids, worker_id = fresh_ids(ids_needed(request)), self.drives.lease.held_by
        vm_id, volume_id = subject_of(request)
        if isinstance(request, EvictGuest):
            await self._must_be_a_stranger(request.guest)
        case = None
        if vm_id or volume_id:
            case = await self.store.subject(vm_id, volume_id)
            await self.commits.busy(case.vm.id if case.vm else None, volume_id)
        trace = None if self._observer is None else self._observer.asked(ids[0], request)
        return case, lambda at: Requested(
            at=at, request=request, actor=actor, caller_id=caller_id, ids=ids, worker_id=worker_id, trace=trace
        )

    async def _must_be_a_stranger(self, guest: str) -> None:
        """Only an operation that owns a VM may touch its guest."""
        for vm in await self.store.vms(queries.vms_of((guest,))):
            raise InvalidRequest(f"guest {guest} is VM {vm.name}: stop it, or `interlock reconcile {vm.name}`")

    def begin(self, decision: Decision, accepted: Accepted | None = None) -> None:
        """Drive an operation that has just been written; if the engine has closed meanwhile, the next one does."""
        if self._closed or self.part is Part.ASKS:
            return
        if accepted is not None and accepted.then is not None:
            self.drives.begin(decision.operation.id, after(accepted.then), accepted)
            return
        # What a request found was read before it owned it: only what it made itself cannot have changed since.
        self.drives.begin(decision.operation.id, after(decision) if makes_its_subject(decision) else None)

    def begin_joined(self, decision: Decision) -> None:
        """Drive an operation that somebody else's transaction is just committing."""

        async def begin() -> None:
            # With the journal's lock in hand: whoever held it has committed or rolled back.
            look = partial(self.store.locked_read, queries.entity("operation", decision.operation.id))
            with suppress(EngineClosed):
                there = await self.commits.patiently(look)
                # A savepoint may have taken our rows back: what really is there is counted by the journal.
                self.commits.inventory.drop(decision)
                self.store.feed.hinted = True
                if there and not self._closed:
                    if self._observer is not None:
                        self._observer.written(decision)
                    self.begin(decision)

        if not self._closed:
            task = self._tasks.spawn(begin(), "interlock joined")
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    def heard(self, word: Word) -> None:
        """Another engine has told something."""
        if self._closed:
            return
        if word.wrote and not word.midway:
            self.elsewhere.heard()
        if word.cloud:
            self._tasks.spawn(self._catch_up(), "interlock cloud")
        if word.queued and self.part is Part.SERVES:
            self.drives.intake.heard()
        if word.lease_until is not None:
            self.drives.recovery.look_at(word.lease_until)
        if word.wrote:
            self._wishes.heard()
        if word.cancel in self.drives.ends:
            self._tasks.spawn(self._cancel_for(word), "interlock cancel")

    async def _catch_up(self) -> None:
        with suppress(InterlockError):  # if the store cannot now, the next decision will see to it
            await self.commits.catch_up()

    def _others_wrote(self) -> None:
        self.expiry.others_wrote()
        self.drives.recovery.others_wrote()

    async def _expunge(self, vm_id: str) -> None:
        await self.submit(ExpungeVM(vm_id), OURS, None)

    @property
    def worker_id(self) -> str:
        """This engine's."""
        return self.drives.lease.worker_id

    @property
    def under_way(self) -> int:
        """How many operations are driven or wait to be."""
        return len(self.drives.ends)

    @property
    def queued(self) -> int:
        """How many of them wait to be."""
        return self.drives.queued

    @property
    def driven(self) -> tuple[str, ...]:
        """The operations that are driven or wait to be."""
        return tuple(self.drives.ends)

    def check_open(self) -> None:
        """Raise `EngineClosed` if it is closed."""
        if self._closed:
            raise EngineClosed("the engine is closed; open it again")

    # --- wishes

    async def cancel(self, operation_id: str, actor: str) -> None:
        """Undo an operation that has not ended; returns when that is durable, not when it is undone.

        Raises:
            InvalidRequest: it has ended, is being undone, or is driven by another process that cannot be told, or does
                not hear.
        """
        self.check_open()
        if await self._is_driven_elsewhere(operation_id):
            await self._wishes.cancel(operation_id, actor)
        else:
            await self._ask(operation_id, lambda at: CancelRequested(at=at, actor=actor))

    async def _is_driven_elsewhere(self, operation_id: str) -> bool:
        """Whether another engine drives it that can be told something."""
        if operation_id in self.drives.ends or self.store.dialect != "postgresql":
            return False
        operation = await self.store.operation(operation_id)
        if operation.state == "Queued" and operation.worker_id is None:
            self.drives.begin(operation_id)  # nobody's yet: whoever wants it undone does that
            return False
        return operation.state in DRIVEN

    async def _cancel_for(self, word: Word) -> None:
        with suppress(InterlockError):  # who asked sees that nothing came of it, and why
            await self._ask(word.cancel or "", lambda at: CancelRequested(at=at, actor=word.actor))

    async def resolve(self, operation_id: str, way: Way, actor: str, reason: str) -> None:
        """Take a way out of Stuck."""
        await self.door.enter()
        try:
            case = await self.store.case(operation_id)
            written, decision, _ = await self.commits.write(
                case, lambda at: Resolved(at=at, way=way, actor=actor, reason=reason), None
            )
        finally:
            self.door.leave()
        if decision.outcome is None:
            self.drives.begin(operation_id, written)

    async def _ask(self, operation_id: str, wish: Callable[[int], Wish]) -> None:
        self.check_open()
        await self.drives.ask(operation_id, wish)

    # --- waiting

    async def ended(self, operation_id: str) -> Operation:
        """The operation's record once it needs nobody any more (Succeeded, Failed, Cancelled, Stuck)."""
        while True:
            end = self.drives.ends.get(operation_id)
            if end is not None:
                ended = await asyncio.shield(end)
                if ended is not None:
                    return ended
                self.check_open()
            async with self.elsewhere.watched(operation_id) as news:
                if operation_id in self.drives.ends:
                    continue  # it has begun here while that was said
                operation = await self.store.operation(operation_id)
                if MACHINES["operation"].states[operation.state].stability is not Stability.TRANSITIONAL:
                    return operation
                self.drives.recovery.glance()
                await self.elsewhere.pause(news)
            self.check_open()

    async def idle(self) -> None:
        """Return when nothing is under way here."""
        while waits := (
            *self.drives.ends.values(),
            *self._joining,
            *self.convergence.under_way,
            *self.reconciliation.under_way,
        ):
            await asyncio.gather(*map(asyncio.shield, waits))

    def aside(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Do something that closing waits for; nothing, if the engine is closed."""
        if not self._closed:
            self._tasks.spawn(work(), name)

    # --- closing

    async def close(self) -> None:
        """Let effects under way answer, commit their results, and leave nothing behind."""
        self._closed = True
        self.elsewhere.wake_all()
        self.door.close()
        self.expiry.close()
        self.archival.close()
        self.convergence.close()
        self.reconciliation.close()
        self.drives.close()
        await self._tasks.end()
        await self.drives.leave()


def _claimed(worker_id: str, at: int) -> Claimed:
    return Claimed(at=at, worker_id=worker_id)
