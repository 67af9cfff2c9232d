"""What a command that acts has under way: the operations it asked for, and those it took over from a dead engine.

Promises: every operation under way in the engine is waited for and reported once; requests are sent many at a time,
but not all. A request on a VM whose operation was taken over waits for that one first.

Races considered. A Ctrl-C arrives while requests are being sent: those in the air are answered before the engine
closes, so that what was begun is known; the others are not sent. What has ended until then is told; nothing is read
from the engine later. Closing ends every wait: with the operation's record, if it ended meanwhile, or with
`EngineClosed`, which is how the operations still under way are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from interlock.cli.exits import Exit, Interrupted, gravest, of_error, of_operation
from interlock.cli.face import Face
from interlock.cli.output import note
from interlock.schema.errors import EngineClosed, InterlockError
from interlock.schema.records import Nic, Operation, Vm, Volume

if TYPE_CHECKING:
    from interlock.embed.cloud import CloudDescription
    from interlock.embed.engine import Engine
    from interlock.embed.handle import Handle

AT_ONCE = 64
"""Requests in the air. Too low: no batch of commits is full; too high: memory, and a slow answer to Ctrl-C."""
READ = 500
"""Results read together at most. Too low: reading costs more than deploying; too high: the first are told late."""

HOPED = ("Succeeded",)


@dataclass(frozen=True)
class Result:
    """How one request ended. Without `operation` it was refused: `error` says why."""

    name: str
    kind: str
    vm: Vm | None = None
    ip: str | None = None
    disk: Volume | None = None
    """What it was about, if that is a disk."""
    operation: Operation | None = None
    error: InterlockError | None = None
    hoped: tuple[str, ...] = HOPED

    @property
    def state(self) -> str | None:
        """Of what it was about."""
        about = self.disk or self.vm
        return about.state if about else None

    @property
    def exit(self) -> Exit:
        """What it exits with, by itself."""
        if self.operation is not None:
            return of_operation(self.operation.state, self.hoped)
        return of_error(self.error) if self.error else Exit.OK

    @property
    def message(self) -> str | None:
        """What went wrong, if anything did."""
        return str(self.error) if self.error else self.operation.error if self.operation else None


@dataclass(frozen=True)
class End:
    """An operation that has ended and is not reported yet."""

    operation: Operation
    results: list[Result]
    hoped: tuple[str, ...]


def headline(operation: Operation) -> str | None:
    """The error without the candidates it lists, for where they are listed beside it. One that is Stuck names its ways
    out, and lists none."""
    error = operation.error
    return error.partition(": ")[0] if error and operation.reasons and operation.state != "Stuck" else error


class Reporter(Protocol):
    """Who is told of results as they come."""

    def begin(self, work: Work) -> None:
        """Operations are about to be asked for."""
        ...

    def ended(self, result: Result) -> None:
        """One has ended."""
        ...

    async def end(self) -> None:
        """There will be no more; nothing may be left running."""
        ...


class Work:
    """Made by `working`."""

    def __init__(self, engine: Engine, reporter: Reporter) -> None:
        self.engine = engine
        self.results: list[Result] = []
        self.taken_over: list[Result] = []
        self.vms: set[str] = set()
        """The VMs whose operations are known here."""
        self._reporter = reporter
        self._tasks: list[asyncio.Task[bool]] = []
        self._adopted: dict[str, Handle] = {}
        self._own: set[str] = set()
        self._turn, self._telling = asyncio.Semaphore(AT_ONCE), asyncio.Lock()
        self._untold: list[End] = []
        self._stopping = self._resting = False
        self._unsent = 0

    @property
    def known(self) -> int:
        """How many operations there are to wait for."""
        return len(self._tasks)

    @property
    def exit(self) -> Exit:
        """What the command exits with. How operations end that another command began is told, but is not its fault."""
        return gravest(result.exit for result in self.results)

    def ask(
        self,
        name: str,
        kind: str,
        request: Callable[[], Awaitable[Handle]],
        *,
        vm: str | None = None,
        disk: str | None = None,
        hoped: tuple[str, ...] = HOPED,
    ) -> None:
        """Send a request when its turn comes, and report how it ends.

        Args:
            name: of the VM or disk, for people.
            request: sends it.
            vm: name or id of a VM whose taken-over operation must end first.
            disk: the same of a disk, and of the VM that has it.
            hoped: the ends that mean success.
        """
        self._spawn(self._asked(Result(name, kind, hoped=hoped), request, vm, disk))

    async def adopt(self) -> None:
        """Wait, from now on, also for what the engine took over."""
        count = self.engine.under_way()
        if count:
            note(f"took over {count} operation{'s' * (count > 1)} that an earlier command left under way")
        for handle in await self.engine.handles():
            self._adopted.update({each: handle for each in (handle.vm_id, handle.volume_id) if each})
            self._spawn(self._awaited(handle))

    async def finish(self) -> None:
        """Wait until everything has ended and is reported."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.result()

    def interrupt(self) -> None:
        """Say what closing waits for."""
        self._stopping = True
        if count := self.engine.under_way():
            note(f"waiting for the effects of {count} operation{'s' * (count > 1)}; Ctrl-C again quits now")

    async def rest(self) -> None:
        """Send nothing more, and let what is in the air be answered: after this the engine may close."""
        self._stopping = True
        try:
            for _ in range(AT_ONCE):  # all turns taken means that nobody else has one
                await self._turn.acquire()
            await self._tell()
        finally:
            self._resting = True
            await self._reporter.end()

    async def left(self) -> Interrupted:
        """After the engine has closed: let every wait end, and count what is still under way."""
        for _ in range(AT_ONCE):
            self._turn.release()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        return Interrupted(sum(each is False for each in ended), self._unsent)

    def _spawn(self, job: Coroutine[Any, Any, bool]) -> None:
        self._tasks.append(asyncio.create_task(job))

    async def _asked(
        self, result: Result, request: Callable[[], Awaitable[Handle]], vm: str | None, disk: str | None
    ) -> bool:
        """Whether it has ended; a request that is not sent any more, or refused, has."""
        try:
            if self._adopted:
                await self._after_the_adopted(vm, disk)
            async with self._turn:
                if self._stopping:
                    self._unsent += 1
                    return True
                handle = await request()
        except EngineClosed:
            self._unsent += 1
            return True
        except InterlockError as error:
            self._report(self.results, Result(result.name, result.kind, error=error))
            return True
        self.vms.add(handle.subject)
        self._own.add(handle.id)
        return await self._ended(handle, self.results, result.hoped)

    async def _after_the_adopted(self, vm: str | None, disk: str | None) -> None:
        async with self._turn:
            found = set() if self._stopping else await self._ids(vm, disk)
        for each in found & self._adopted.keys():
            await self._adopted[each].ended()

    async def _ids(self, vm: str | None, disk: str | None) -> set[str]:
        """Of a VM, and of a disk with the VM that has it."""
        found = {(await self.engine.vm(vm)).id} if vm is not None else set()
        if disk is not None:
            volume = await self.engine.disk(disk)
            found |= {volume.id, volume.vm_id or volume.id}
        return found

    async def _awaited(self, handle: Handle) -> bool:
        self.vms.add(handle.subject)
        return await self._ended(handle, self.taken_over, HOPED)

    async def _ended(self, handle: Handle, results: list[Result], hoped: tuple[str, ...]) -> bool:
        try:
            operation = await handle.ended()
        except EngineClosed:
            return False
        self._untold.append(End(operation, results, hoped))
        await self._tell()
        return True

    async def _tell(self) -> None:
        """Report what has ended. Who comes first does it for all that wait: they are read together."""
        async with self._telling:
            while self._untold and not self._resting:
                ends, self._untold = self._untold[:READ], self._untold[READ:]
                ids = [end.operation.vm_id for end in ends if end.operation.vm_id]
                vms, nics = await self.engine.vms_of(ids), await self.engine.nics_of(ids)
                about_disks = [end.operation.volume_id for end in ends if end.operation.volume_id]
                disks = await self.engine.disks_of(about_disks) if about_disks else {}
                for end in ends:
                    about = end.operation.vm_id or ""
                    disk = disks.get(end.operation.volume_id or "")
                    self._report_end(end, vms.get(about), nics.get(about, []), disk)

    def _report_end(self, end: End, vm: Vm | None, nics: list[Nic], disk: Volume | None) -> None:
        operation, adopted = end.operation, end.results is self.taken_over
        if not (adopted and operation.id in self._own):  # else it was taken over to be cancelled: told once
            ip = next((nic.ip_address for nic in nics), None)
            name = disk.name if disk else vm.name if vm else operation.id
            self._report(end.results, Result(name, operation.kind, vm, ip, disk, operation, hoped=end.hoped))

    def _report(self, results: list[Result], result: Result) -> None:
        results.append(result)
        self._reporter.ended(result)


@asynccontextmanager
async def working(
    face: Face, reporter: Reporter, *, cloud: CloudDescription | None = None, listens: bool = True
) -> AsyncIterator[Work]:
    """An engine with work: takes over what was left, runs the body, and waits until everything has ended.

    Args:
        cloud: is loaded first.
        listens: whether the engine looks by itself at what hosts have.

    Raises:
        Interrupted: Ctrl-C; says how many operations are still under way.
    """
    work = None
    try:
        async with face.acting(cloud, listens=listens) as engine:
            work = Work(engine, reporter)
            reporter.begin(work)
            try:
                await work.adopt()
                yield work
                await work.finish()
                await engine.idle()  # what the engine does by itself: hosts that must be told rules
            except asyncio.CancelledError:
                work.interrupt()
                raise
            finally:
                await work.rest()
    except asyncio.CancelledError:
        raise (await work.left() if work else Interrupted(0)) from None
    except BaseException:
        if work:
            await work.left()
        raise
