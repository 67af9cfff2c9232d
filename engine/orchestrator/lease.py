"""Who may drive what: each open engine is a worker with a lease, renewed only while it has operations under way.

An operation whose worker's lease ran out, or whose worker is known to be dead (same machine, and its process is gone),
may be taken over. Taking over is a commit on the operation's version: of two that try, one wins, and the former
worker's next commit fails. Its effects are refused by their fence, the journal number of the claim.

Races considered. A paused process that wakes up believes it still has its lease: the version check and the fence
stop it, the lease only decides how soon others may begin. Process numbers are reused: a worker is known by number
and birth. A container has process numbers of its own: the process space is part of the machine's name.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.clock import fresh_ids, now
from interlock.schema.errors import InterlockError

LEASE = 30.0
"""Seconds. Too low: a busy machine loses its operations to others; too high: those of a dead one wait."""
RENEW = 10.0
"""Seconds between renewals; a third of the lease survives two that fail."""
SECOND = 1_000_000
ENDED = (["Z"], ["X"])
"""How the kernel calls a process that has ended and keeps its number until its parent has taken note; in a container
whose first process takes no note of any, that is for good."""
FORGET = 3600.0
"""Seconds after which the row of a worker that died is removed. Too low: nothing breaks; too high: rows pile up."""


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table `worker`."""

    id: str
    machine: str
    pid: int
    born: str
    lease_until: int


def worker_of(row: Sequence[Any]) -> Worker | None:
    """A row's worker; one that has been forgotten has no id."""
    if row[0] is None:
        return None
    return Worker(id=row[0], machine=row[1], pid=row[2], born=row[3], lease_until=row[4])


def this_machine() -> str:
    """This machine, boot and process space."""
    boot = _read("/proc/sys/kernel/random/boot_id") or platform.node()
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{boot.strip()}/{space}"


def birth(pid: int) -> str:
    """When a process began, in the machine's own count; empty if that cannot be told."""
    return next(iter(_stat(pid)[19:]), "")


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on; empty if it cannot be asked."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def is_gone(worker: Worker) -> bool:
    """Whether a worker is known to have died, so that nobody need wait for its lease; False: that cannot be told."""
    if worker.machine != this_machine():
        return False
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    if _stat(worker.pid)[:1] in ENDED:
        return True
    return bool(worker.born) and birth(worker.pid) != worker.born


class Lease:
    """This engine's own lease.

    Args:
        write: puts the worker's row into the database.
        forget: takes the rows of a worker, and of those whose lease ran out before a time, out of it.
        busy: whether anything is under way.
    """

    def __init__(
        self,
        write: Callable[[Worker], Awaitable[None]],
        forget: Callable[[str, int], Awaitable[None]],
        busy: Callable[[], bool],
    ) -> None:
        self.worker_id = fresh_ids(1)[0]
        self._write = write
        self._forget = forget
        self._until = 0
        self._busy = busy
        self._alarm: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    async def ensure(self) -> None:
        """Hold the lease for long enough to begin something; no SQL if it is held already."""
        if self._until - now() >= (LEASE - RENEW) * SECOND:
            return
        async with self._writing:
            if self._until - now() < (LEASE - RENEW) * SECOND:
                await self._renew(now() + int(LEASE * SECOND))

    @property
    def held_by(self) -> str | None:
        """The worker's id while the lease is held, without asking anybody."""
        return self.worker_id if self._until > now() else None

    def keep(self) -> None:
        """Renew in time, until `rest`."""
        if self._alarm is None and self._renewal is None:
            self._alarm = asyncio.get_running_loop().call_later(RENEW, self._ring)

    def rest(self) -> None:
        """Nothing is under way: let the lease run out, and leave no timer."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self) -> None:
        self._alarm = None
        self._renewal = asyncio.create_task(self._try_to_renew(), name="interlock lease")

    async def _try_to_renew(self) -> None:
        try:
            await self._renew(now() + int(LEASE * SECOND))
        except InterlockError as error:
            log.say("warning", "the lease could not be renewed; trying again", error=str(error))
        finally:
            self._renewal = None
        if self._busy():
            self.keep()

    async def _renew(self, until: int) -> None:
        pid = os.getpid()
        await self._write(
            Worker(id=self.worker_id, machine=this_machine(), pid=pid, born=birth(pid), lease_until=until)
        )
        self._until = until

    async def give_up(self) -> None:
        """Others may take over at once: an operation whose worker is not known is nobody's."""
        self.rest()
        if self._renewal is not None:
            await asyncio.gather(self._renewal, return_exceptions=True)
        self.rest()
        if self._until:
            await self._forget(self.worker_id, now() - int(FORGET * SECOND))
            self._until = 0
