"""The orchestrator: takes requests, and keeps one drive for each operation under way, also those that `recovery.py`
takes over.

Promises: an accepted request is durable before the caller hears of it, and is driven without further asking. With
nothing under way it runs no SQL, no timer and no task. After `close` no task is left, and everything that was under
way goes on when the database is opened again.

Races considered. A request that comes while closing is refused before anything is written.
Between the reading of what a request names and its writing, another operation may have ended that gave the VM a disk
or took one: so what an operation is about is read again once it owns it, and its first step looks at its rules again.
Between a look at what is to be taken over and the taking, an operation may have ended, here or elsewhere: it is left.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

import msgspec

from interlock.drivers.protocol import Driver
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import CancelRequested, Claimed, Requested, Resolved, Way, ids_needed
from interlock.engine.core.recovery import STRANDED
from interlock.engine.core.snapshot import Rules
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.archival import Archival
from interlock.engine.orchestrator.clock import fresh_ids
from interlock.engine.orchestrator.commits import Accepted, Commits, Overtaken, after, makes_its_subject
from interlock.engine.orchestrator.convergence import Convergence
from interlock.engine.orchestrator.door import Door
from interlock.engine.orchestrator.drive import Drive, Wish
from interlock.engine.orchestrator.elsewhere import Elsewhere
from interlock.engine.orchestrator.expiry import Expiry
from interlock.engine.orchestrator.intake import Intake
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.lease import Lease, Worker
from interlock.engine.orchestrator.reconciliation import Reconciliation
from interlock.engine.orchestrator.recovery import Recovery
from interlock.engine.orchestrator.watched import performer
from interlock.engine.orchestrator.wishes import Wishes
from interlock.engine.store import queries
from interlock.engine.store.cases import Case
from interlock.engine.store.listening import Word
from interlock.engine.store.store import Store
from interlock.engine.store.workers import Workers
from interlock.schema.errors import Busy, EngineClosed, InterlockError, InvalidRequest, StoreError
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.operation import DRIVEN
from interlock.schema.records import Operation
from interlock.schema.requests import EvictGuest, ExpungeVM, Request, checked, subject_of

T = TypeVar("T")

OURS = "interlock"
"""Who asks, in the journal, for what the engine does by itself."""
IN_FLIGHT = 512
"""Operations driven at once. Too low: driver latency is not hidden; too high: memory, and hosts asked for too much."""
LEFT_BEHIND = 60.0
"""Seconds that closing waits for effects under way. Too low: they are repeated later; too high: closing hangs."""


class Part(StrEnum):
    """What an engine does among the others on its database."""

    ASKS = "asks"  # writes requests, and leaves them to those that serve
    ALL_OF_ITS_OWN = "own"  # drives what is asked of it, and what nobody drives any more
    SERVES = "serves"  # drives what others only asked for as well


class Orchestrator:
    """The shell around the core for one database.

    Args:
        part: what it does among others.
        in_flight: operations driven at once; None: `IN_FLIGHT`.
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
        self.commits = Commits(store, inventory, rules, lambda: self._closed)
        self._in_flight = in_flight
        self._workers = Workers(store)
        self._lease = Lease(self._write_worker, self._workers.forget, lambda: bool(self._ends) and not self._closed)
        self._observer = store.observer
        self._performer = performer(drivers, rules.policy.look_within, self._observer)
        self._drives: dict[str, Drive] = {}
        self._started = self._ahead = 0
        self.door = Door(lambda: len(self._ends))
        store.writer.at_work = lambda: self._started + self.door.inside
        self._queue: deque[str] = deque()
        self._loading: dict[str, asyncio.Event] = {}
        self._ends: dict[str, asyncio.Future[Operation | None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._joining: set[asyncio.Task[Any]] = set()
        """Those of the tasks that wait for an embedder's commit."""
        self.expiry = Expiry(store, inventory, self._expunge, self._spawn)
        self.archival = Archival(store, inventory, self._spawn)
        self.commits.on_reload = self._others_wrote
        self._closed = False
        self.elsewhere = Elsewhere(store, self._spawn)
        self._wishes = Wishes(store)
        self.recovery = Recovery(self._workers, self._lease.worker_id, self._ends.keys(), self._enqueue, self._spawn)
        self.intake = Intake(
            self._workers,
            self.commits,
            self._lease.worker_id,
            lambda: self._most,
            lambda: self.under_way,
            self._lease.ensure,
            self._enqueue,
            self._spawn,
        )
        self.convergence = Convergence(store, inventory, self.submit, self._spawn, self._ends.__contains__)
        self.reconciliation = Reconciliation(store, inventory, drivers, self.submit, self._spawn, self._owned)

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
        task = self._spawn(self._submit(request, actor, caller_id), "interlock request")
        task.add_done_callback(lambda _: self.door.leave())
        return await asyncio.shield(task)

    async def _submit(self, request: Request, actor: str, caller_id: str | None) -> Decision:
        if self.part is not Part.ASKS:
            await self._lease.ensure()
        try:
            case, event = await self.prepare(request, actor, caller_id)
            accepted = await self._accepted(request, case, event)
        except StoreError:
            self.recovery.look_in(STRANDED)  # a connection that broke may have broken after the commit
            raise
        except Busy:
            self.recovery.glance()  # with what nobody drives any more
            raise
        self.begin(accepted.decision, accepted)
        return accepted.decision

    async def _accepted(self, request: Request, case: Case | None, event: Callable[[int], Requested]) -> Accepted:
        """Have a request written; with a head start, if its operation makes all that it is about and begins at once."""
        if case is not None or self._queue or self._full or self.part is Part.ASKS:
            return await self.commits.request(case, event)
        self._ahead += 1
        try:
            return await self.commits.request(case, event, partial(_claimed, self._lease.worker_id))
        finally:
            self._ahead -= 1

    @property
    def _full(self) -> bool:
        """Whether no more operations are begun now."""
        return self._started + self._ahead >= self._most

    async def prepare(
        self, request: Request, actor: str, caller_id: str | None
    ) -> tuple[Case | None, Callable[[int], Requested]]:
        """What deciding a request needs: the case of what it names, and the event."""
        request = checked(request)
        ids, worker_id = fresh_ids(ids_needed(request)), self._lease.held_by
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
            self._enqueue(decision.operation.id, after(accepted.then), accepted)
            return
        # What a request found was read before it owned it: only what it made itself cannot have changed since.
        self._enqueue(decision.operation.id, after(decision) if makes_its_subject(decision) else None)

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
            task = self._spawn(begin(), "interlock joined")
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    def heard(self, word: Word) -> None:
        """Another engine has told something."""
        if self._closed:
            return
        if word.wrote:
            self.elsewhere.heard()
        if word.cloud:
            self._spawn(self._catch_up(), "interlock cloud")
        if word.queued and self.part is Part.SERVES:
            self.intake.heard()
        if word.lease_until is not None:
            self.recovery.look_at(word.lease_until)
        if word.wrote:
            self._wishes.heard()
        if word.cancel in self._ends:
            self._spawn(self._cancel_for(word), "interlock cancel")

    async def _catch_up(self) -> None:
        with suppress(InterlockError):  # if the store cannot now, the next decision will see to it
            await self.commits.catch_up()

    def _others_wrote(self) -> None:
        self.expiry.others_wrote()
        self.recovery.others_wrote()

    def _owned(self) -> frozenset[str]:
        """The VMs of the operations that are driven here now."""
        return frozenset(drive.case.vm.id for drive in self._drives.values() if drive.case.vm is not None)

    async def _expunge(self, vm_id: str) -> None:
        await self.submit(ExpungeVM(vm_id), OURS, None)

    @property
    def worker_id(self) -> str:
        """This engine's."""
        return self._lease.worker_id

    @property
    def under_way(self) -> int:
        """How many operations are driven or wait to be."""
        return len(self._ends)

    @property
    def queued(self) -> int:
        """How many of them wait to be."""
        return len(self._queue)

    @property
    def driven(self) -> tuple[str, ...]:
        """The operations that are driven or wait to be."""
        return tuple(self._ends)

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
        if operation_id in self._ends or self.store.dialect != "postgresql":
            return False
        operation = await self.store.operation(operation_id)
        if operation.state == "Queued" and operation.worker_id is None:
            self._enqueue(operation_id)  # nobody's yet: whoever wants it undone does that
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
            self._enqueue(operation_id, written)

    async def _ask(self, operation_id: str, wish: Callable[[int], Wish]) -> None:
        self.check_open()
        drive = self._drives.get(operation_id)
        if drive is None and operation_id in self._queue:
            self._queue.remove(operation_id)
            self._start(operation_id, None)
        if drive is None and operation_id in self._loading:
            await self._loading[operation_id].wait()
            drive = self._drives.get(operation_id)
        if drive is None:
            self.recovery.glance()
            operation = await self.store.operation(operation_id)
            raise InvalidRequest(
                f"operation {operation_id} is {operation.state} and not driven by this engine: nothing to do here"
            )
        await drive.ask(wish)

    # --- waiting

    async def ended(self, operation_id: str) -> Operation:
        """The operation's record once it needs nobody any more (Succeeded, Failed, Cancelled, Stuck)."""
        while True:
            end = self._ends.get(operation_id)
            if end is not None:
                ended = await asyncio.shield(end)
                if ended is not None:
                    return ended
                self.check_open()
            async with self.elsewhere.watched(operation_id) as news:
                if operation_id in self._ends:
                    continue  # it has begun here while that was said
                operation = await self.store.operation(operation_id)
                if MACHINES["operation"].states[operation.state].stability is not Stability.TRANSITIONAL:
                    return operation
                self.recovery.glance()
                await self.elsewhere.pause(news)
            self.check_open()

    async def idle(self) -> None:
        """Return when nothing is under way here."""
        while waits := (
            *self._ends.values(),
            *self._joining,
            *self.convergence.under_way,
            *self.reconciliation.under_way,
        ):
            await asyncio.gather(*map(asyncio.shield, waits))

    # --- driving

    def _enqueue(self, operation_id: str, case: Case | None = None, accepted: Accepted | None = None) -> None:
        if operation_id in self._ends:
            return
        self._ends[operation_id] = asyncio.get_running_loop().create_future()
        self.elsewhere.wake(operation_id)
        self._lease.keep()
        if accepted is not None or not (self._full or self._queue):
            self._start(operation_id, case, accepted)
        else:
            # Only the id is kept: what waits long must not fill memory.
            self._queue.append(operation_id)

    def _start(self, operation_id: str, case: Case | None, accepted: Accepted | None = None) -> None:
        self._started += 1
        if case is None:
            self._loading[operation_id] = asyncio.Event()
            self._spawn(self._load_and_drive(operation_id), f"interlock {operation_id}")
        else:
            drive = self._drive_of(operation_id, case, accepted)
            self._spawn(self._drive(operation_id, drive), f"interlock {operation_id}")

    def _drive_of(self, operation_id: str, case: Case, accepted: Accepted | None = None) -> Drive:
        closing = lambda: self._closed  # noqa: E731
        drive = Drive(case, self.commits, self._performer, self._lease.worker_id, closing, accepted)
        self._drives[operation_id] = drive
        return drive

    def _spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._reaped)
        return task

    def aside(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Do something that closing waits for; nothing, if the engine is closed."""
        if not self._closed:
            self._spawn(work(), name)

    def _reaped(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # Somebody else's code cancelled it from within: what it drove is looked for again.
            self.recovery.look_in(STRANDED)
        else:
            task.exception()  # whoever waits has it; a caller that gave up does not want a warning

    async def _load_and_drive(self, operation_id: str) -> None:
        try:
            case = await self.commits.patiently(partial(self.store.case, operation_id))
            drive = self._drive_of(operation_id, case) if _is_under_way(case) else None
        except EngineClosed:
            self._over(operation_id, None)
            return
        except Exception:
            log.say("exception", "an operation cannot be read; looking again", operation=operation_id)
            self._over(operation_id, None)
            self.recovery.broke_off(operation_id)
            return
        finally:
            self._loading.pop(operation_id).set()
        if drive is None:
            self._over(operation_id, case.operation)
        else:
            await self._drive(operation_id, drive)

    async def _drive(self, operation_id: str, drive: Drive) -> None:
        decision = None
        try:
            await self.commits.patiently(self._lease.ensure)
            if self._observer is not None and drive.case.operation is not None:
                await self._observer.driving(drive.case.operation)
            decision = await drive.run()
            self.recovery.settled(operation_id)
        except Overtaken as overtaken:
            log.say("info", "overtaken", operation=operation_id, why=str(overtaken))
            self.recovery.settled(operation_id)
            self.recovery.glance()
        except EngineClosed:
            pass
        except Exception:
            log.say("exception", "a drive broke off; looking again", operation=operation_id)
            self.recovery.broke_off(operation_id)
        finally:
            if self._observer is not None:
                self._observer.left(operation_id)
            self._over(operation_id, decision.operation if decision else None)
            if decision is not None:
                self.convergence.ended(decision)
                self.reconciliation.ended(decision)
            if decision is not None and decision.vm is not None:
                self.expiry.ended(decision.operation.kind, decision.vm)
                self.archival.ended(decision.vm)

    def _over(self, operation_id: str, operation: Operation | None) -> None:
        self._started -= 1
        self._drives.pop(operation_id, None)
        end = self._ends.pop(operation_id, None)
        if end is not None and not end.done():
            end.set_result(operation)
        if not self._ends:
            self._lease.rest()
        self.door.look()
        while self._queue and not self._full and not self._closed:
            self._start(self._queue.popleft(), None)
        self.intake.room()

    @property
    def _most(self) -> int:
        return IN_FLIGHT if self._in_flight is None else self._in_flight

    async def _write_worker(self, worker: Worker) -> None:
        await self._workers.hold(msgspec.structs.asdict(worker))

    # --- closing

    async def close(self) -> None:
        """Let effects under way answer, commit their results, and leave nothing behind."""
        self._closed = True
        self.intake.close()
        self.elsewhere.wake_all()
        self.door.close()
        self.expiry.close()
        self.archival.close()
        self.convergence.close()
        self.recovery.close()
        self.reconciliation.close()
        for drive in self._drives.values():
            drive.poke()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=LEFT_BEHIND)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for end in self._ends.values():
            if not end.done():
                end.set_result(None)
        self._ends.clear()
        self._queue.clear()
        try:
            await self._lease.give_up()
        except InterlockError:
            log.say("warning", "the lease could not be given up; others wait until it runs out")


def _claimed(worker_id: str, at: int) -> Claimed:
    return Claimed(at=at, worker_id=worker_id)


def _is_under_way(case: Case) -> bool:
    return case.operation is not None and case.operation.state in DRIVEN
