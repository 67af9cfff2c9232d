"""What one engine drives: a drive for each operation under way, as many at once as it may, the others in a queue.

Operations come from requests (`orchestrator.py`), from what others left (`recovery.py`) and from what others only asked
for (`intake.py`); all are driven on one lease (`lease.py`), held while there are any.

Promises: an operation that was begun here is driven without further asking, once, until it needs nobody any more; then
whoever waits for its end has it, and the next one begins. A drive that breaks off is looked for again. Of what waits in
the queue only the id is kept. Never writes, decides or performs: a drive does.

Races considered. Between a look at what is to be taken over and the taking, an operation may have ended, here or
elsewhere: it is left. Somebody wants something of an operation that waits in the queue, or whose records are being
read: it is begun at once, and told when it is read. While a request is written whose operation begins with it, its
place is taken already (`ahead`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from interlock.drivers.protocol import Driver
from interlock.engine.core.decision import Decision
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.commits import Accepted, Commits, Overtaken
from interlock.engine.orchestrator.drive import Drive, Wish
from interlock.engine.orchestrator.intake import Intake
from interlock.engine.orchestrator.lease import Lease
from interlock.engine.orchestrator.recovery import Recovery
from interlock.engine.orchestrator.watched import performer
from interlock.engine.store.cases import Case
from interlock.engine.store.store import Store
from interlock.engine.store.workers import Workers
from interlock.schema.errors import EngineClosed, InterlockError, InvalidRequest
from interlock.schema.operation import DRIVEN
from interlock.schema.records import Operation

IN_FLIGHT = 512
"""Operations driven at once. Too low: driver latency is not hidden; too high: memory, and hosts asked for too much."""


class Drives:
    """One per engine.

    Args:
        drivers: who acts, by name.
        in_flight: operations driven at once; None: `IN_FLIGHT`.
        spawn: starts a task that closing waits for.
    """

    def __init__(
        self,
        store: Store,
        commits: Commits,
        drivers: Mapping[str, Driver],
        in_flight: int | None,
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._store, self._commits, self._spawn = store, commits, spawn
        self._observer = store.observer
        self._performer = performer(drivers, commits.rules.policy.look_within, self._observer)
        self._in_flight = in_flight
        self._by_id: dict[str, Drive] = {}
        self._loading: dict[str, asyncio.Event] = {}
        self._queue: deque[str] = deque()
        self._ends: dict[str, asyncio.Future[Operation | None]] = {}
        self.ends: Mapping[str, asyncio.Future[Operation | None]] = self._ends
        """By operation that is driven or waits to be: its record when it needs nobody any more; None: not from here."""
        self.started = 0
        """How many are driven."""
        self.ahead = 0
        """Places that are kept for operations which are being written."""
        self.on_begun: Callable[[str], None] = lambda operation_id: None
        """Told which operation is driven here, or waits to be, from now on."""
        self.on_over: Callable[[], None] = lambda: None
        """Called when one is not any more."""
        self.on_ended: Sequence[Callable[[Decision], None]] = ()
        """Each is told how an operation has ended here."""
        self._closed = False
        self._on_lease(Workers(store))

    def _on_lease(self, workers: Workers) -> None:
        """Whom the operations are driven as, and how it comes by those of others."""
        self.lease = Lease(
            lambda worker: workers.hold(msgspec.structs.asdict(worker)),
            workers.forget,
            lambda: bool(self._ends) and not self._closed,
        )
        worker_id = self.lease.worker_id
        self.recovery = Recovery(workers, worker_id, self._ends.keys(), self.begin, self._spawn)
        self.intake = Intake(
            workers,
            self._commits,
            worker_id,
            lambda: self._most,
            self._ends.__len__,
            self.lease.ensure,
            self.begin,
            self._spawn,
        )

    # --- what is driven

    @property
    def queued(self) -> int:
        """How many wait to be driven."""
        return len(self._queue)

    @property
    def has_room(self) -> bool:
        """Whether what is begun now is driven at once."""
        return not self._queue and self.started + self.ahead < self._most

    @property
    def _most(self) -> int:
        return IN_FLIGHT if self._in_flight is None else self._in_flight

    def owned(self) -> frozenset[str]:
        """The VMs of the operations that are driven now."""
        return frozenset(drive.case.vm.id for drive in self._by_id.values() if drive.case.vm is not None)

    async def ask(self, operation_id: str, wish: Callable[[int], Wish]) -> None:
        """Have a wish of an operation decided and committed; returns when that is durable.

        Raises:
            InvalidRequest: it is refused, or the operation is not driven here.
        """
        drive = self._by_id.get(operation_id)
        if drive is None and operation_id in self._queue:
            self._queue.remove(operation_id)
            self._start(operation_id, None)
        if drive is None and operation_id in self._loading:
            await self._loading[operation_id].wait()
            drive = self._by_id.get(operation_id)
        if drive is None:
            self.recovery.glance()
            operation = await self._store.operation(operation_id)
            raise InvalidRequest(
                f"operation {operation_id} is {operation.state} and not driven by this engine: nothing to do here"
            )
        await drive.ask(wish)

    # --- driving

    def begin(self, operation_id: str, case: Case | None = None, accepted: Accepted | None = None) -> None:
        """Drive an operation, now or when there is room; nothing, if that is so already.

        Args:
            case: what it is about, as it stands; None: it is read.
            accepted: its request, if its first step was written with it: it begins now.
        """
        if operation_id in self._ends:
            return
        self._ends[operation_id] = asyncio.get_running_loop().create_future()
        self.on_begun(operation_id)
        self.lease.keep()
        if accepted is not None or self.has_room:
            self._start(operation_id, case, accepted)
        else:
            # Only the id is kept: what waits long must not fill memory.
            self._queue.append(operation_id)

    def _start(self, operation_id: str, case: Case | None, accepted: Accepted | None = None) -> None:
        self.started += 1
        if case is None:
            self._loading[operation_id] = asyncio.Event()
            self._spawn(self._load_and_drive(operation_id), f"interlock {operation_id}")
        else:
            drive = self._drive_of(operation_id, case, accepted)
            self._spawn(self._drive(operation_id, drive), f"interlock {operation_id}")

    def _drive_of(self, operation_id: str, case: Case, accepted: Accepted | None = None) -> Drive:
        closing = lambda: self._closed  # noqa: E731
        drive = Drive(case, self._commits, self._performer, self.lease.worker_id, closing, accepted)
        self._by_id[operation_id] = drive
        return drive

    async def _load_and_drive(self, operation_id: str) -> None:
        try:
            case = await self._commits.patiently(partial(self._store.case, operation_id))
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
            await self._commits.patiently(self.lease.ensure)
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
                for told in self.on_ended:
                    told(decision)

    def _over(self, operation_id: str, operation: Operation | None) -> None:
        self.started -= 1
        self._by_id.pop(operation_id, None)
        end = self._ends.pop(operation_id, None)
        if end is not None and not end.done():
            end.set_result(operation)
        if not self._ends:
            self.lease.rest()
        self.on_over()
        while self._queue and self.started + self.ahead < self._most and not self._closed:
            self._start(self._queue.popleft(), None)
        self.intake.room()

    # --- closing

    def close(self) -> None:
        """Begin nothing more; effects under way answer, and their drives end."""
        self._closed = True
        self.intake.close()
        self.recovery.close()
        for drive in self._by_id.values():
            drive.poke()

    async def leave(self) -> None:
        """No task is left: what has not ended is for others, at once."""
        for end in self._ends.values():
            if not end.done():
                end.set_result(None)
        self._ends.clear()
        self._queue.clear()
        try:
            await self.lease.give_up()
        except InterlockError:
            log.say("warning", "the lease could not be given up; others wait until it runs out")


def _is_under_way(case: Case) -> bool:
    return case.operation is not None and case.operation.state in DRIVEN
