"""The connection to one host's libvirt: jobs run through it, few at a time, and it comes back when it was lost.

Promises: no call blocks the event loop. No more jobs are under way than libvirtd serves at a time. A call that takes
too long is given up on, with its whole connection; the next job opens another, so a hung libvirtd holds up only who
asked it, and only so long. After `close` no task is left, and no thread but one that hangs inside libvirt, which ends
when keepalive gives the connection up.

Races: a connection may be found dead by a job, by its close callback and by keepalive at once; `_drop` is for one
connection, and the second time does nothing. While nobody asks, a task tries to come back, ever more seldom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from interlock.drivers.libvirt.boundary import Connection, code_of, is_libvirt_error, lib, open_connection
from interlock.drivers.libvirt.events import EVENTS
from interlock.drivers.libvirt.gate import DEED, Gate, GivenUp, guarded
from interlock.drivers.libvirt.options import Options
from interlock.drivers.libvirt.refusals import kind_of
from interlock.drivers.libvirt.threads import begin
from interlock.schema.commands import Refusal

T = TypeVar("T")
Job = Callable[[Connection], T]
KEEPALIVES = 3
"""How many keepalive messages without an answer a host has. Too few: one that is busy is taken for lost."""
BACK_AFTER, BACK_AT_MOST = 0.5, 30.0
"""Seconds between two tries to come back: at first, and at most. Too short: a host that boots is hammered; too long: it
is noticed late that it is back."""
CLOSING = 10.0
"""Seconds that closing may take. Too short: a busy libvirtd is left with a connection that it has to time out."""


class Trouble(Exception):
    """A job did not come to its end; `kind` says what may have happened.

    `answered`: libvirt itself has said so, and nothing of the job is under way any more. `undone`: what earlier jobs of
    the command had done was taken back.
    """

    def __init__(self, kind: Refusal, reason: str, *, answered: bool = False, undone: bool = False) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.answered, self.undone = kind, reason, answered, undone


class Link:
    """One host's connection."""

    def __init__(self, uri: str, options: Options, hear: Callable[..., None]) -> None:
        """Args:
        uri: of libvirt.
        options: limits and times.
        hear: called on the event loop: `hear("lost")`, `hear("back")`, `hear("event", uuid, (event, detail))`,
            `hear("reboot", uuid, ())`.
        """
        self.uri = uri
        self._options, self._hear = options, hear
        self._turn = asyncio.Semaphore(options.calls_at_once)
        self._opening = asyncio.Lock()
        self._connection: Connection | None = None
        self._was_up = False
        self._back: asyncio.Task[None] | None = None
        self._dialling: set[asyncio.Future[Any]] = set()
        self._leaving: set[asyncio.Future[Any]] = set()
        self._closed = False

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None

    async def run(self, job: Job[T], within: float | None = None) -> T:
        """Run a job in a thread.

        Args:
            job: called with the connection, through its gate.
            within: seconds that each of its calls may take, if not as the options say.

        Raises:
            Trouble: there is no connection, it broke, or libvirt has refused.
        """
        async with self._turn:
            connection = await self._open()
            gate = Gate()
            work = begin(partial(job, guarded(connection, gate)), "interlock-libvirt-call")
            try:
                if await self._ended(work, gate, within or self._options.call_within_s):
                    return work.result()
            except Exception as error:
                raise await self._trouble(connection, gate, error) from error
            finally:
                if gate.touched and (deed := DEED.get()) is not None:
                    deed.touched = True
            work.add_done_callback(_heeded)
            self._drop(connection)
            raise _gone(gate, f"{gate.calling} gave no answer within {within or self._options.call_within_s:g} s")

    @staticmethod
    async def _ended(work: asyncio.Future[Any], gate: Gate, within: float) -> bool:
        """Whether it ended; if not, it is given up on, for one of its calls takes too long."""
        while not work.done():
            if (left := gate.overdue(within)) <= 0:
                break
            try:
                await asyncio.wait([work], timeout=left)
            except asyncio.CancelledError:
                gate.given_up = True
                work.add_done_callback(_heeded)
                raise
        gate.given_up = not work.done()
        return work.done()

    async def _trouble(self, connection: Connection, gate: Gate, error: Exception) -> Exception:
        """What an error of a job means; the connection is given up if it is broken."""
        if isinstance(error, GivenUp) or not is_libvirt_error(error):
            return error
        if code_of(error) in _broken_codes() and not await self._is_alive(connection):
            self._drop(connection)
            return _gone(gate, f"the connection to {self.uri} broke in {gate.calling}: {error}")
        return Trouble(kind_of(error, gate.touched, gate.calling), f"{gate.calling}: {error}", answered=True)

    async def _is_alive(self, connection: Connection) -> bool:
        def ask() -> bool:
            with suppress(Exception):
                return connection.isAlive() == 1
            return False

        return await begin(ask, "interlock-libvirt-ask")

    # Opening

    async def _open(self) -> Connection:
        async with self._opening:
            if self._closed:
                raise Trouble(Refusal.TRANSIENT, f"the connection to {self.uri} is closed")
            if self._connection is None:
                self._connection = await self._opened()
                if self._was_up:
                    self._hear("back")
                self._was_up = True
            return self._connection

    async def _opened(self) -> Connection:
        """Open it; one that comes too late is closed again."""
        EVENTS.hold()
        work = begin(partial(self._dial, asyncio.get_running_loop()), "interlock-libvirt-open")
        self._dialling.add(work)
        work.add_done_callback(self._dialling.discard)
        try:
            await asyncio.wait([work], timeout=self._options.connect_within_s)
        except asyncio.CancelledError:
            work.add_done_callback(self._too_late)
            raise
        if not work.done():
            work.add_done_callback(self._too_late)
            raise Trouble(Refusal.TRANSIENT, f"{self.uri} does not answer: no connection yet")
        try:
            return work.result()
        except Exception as error:
            EVENTS.release()
            kind = kind_of(error, touched=False) if is_libvirt_error(error) else Refusal.TRANSIENT
            raise Trouble(kind, f"{self.uri} cannot be reached: {error}") from error

    def _too_late(self, work: asyncio.Future[Connection]) -> None:
        if work.cancelled() or work.exception() is not None:
            EVENTS.release()
        else:
            self._leave(work.result())

    def _dial(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """Blocks."""
        connection = open_connection(self.uri)
        with suppress(lib().libvirtError):  # test:///default has none of the two
            connection.setKeepAlive(self._options.keepalive_s, KEEPALIVES)
        with suppress(lib().libvirtError):
            connection.registerCloseCallback(partial(self._broke, loop), None)
        lifecycle, reboot = lib().VIR_DOMAIN_EVENT_ID_LIFECYCLE, lib().VIR_DOMAIN_EVENT_ID_REBOOT
        connection.domainEventRegisterAny(None, lifecycle, partial(self._heard, loop, "event"), None)
        connection.domainEventRegisterAny(None, reboot, partial(self._heard, loop, "reboot"), None)
        return connection

    # Hearing; both are called in libvirt's thread

    def _heard(self, loop: asyncio.AbstractEventLoop, what: str, connection: object, domain: Any, *more: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._pass_on, what, domain.UUIDString(), more[:-1])

    def _broke(self, loop: asyncio.AbstractEventLoop, connection: Connection, reason: int, opaque: object) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._drop, connection)

    def _pass_on(self, *what: Any) -> None:
        if not self._closed:
            self._hear(*what)

    # Losing

    def _drop(self, connection: Connection) -> None:
        """Give it up, if it is the one in use."""
        if self._connection is None or not _same(self._connection, connection):
            return
        gone, self._connection = self._connection, None
        self._leave(gone)
        if not self._closed:
            self._hear("lost")
            if self._back is None or self._back.done():
                self._back = asyncio.create_task(self._come_back(), name=f"interlock-libvirt-back {self.uri}")

    def _leave(self, connection: Connection) -> None:
        """Close it in a thread; that may hang as long as libvirtd does."""
        leaving = begin(partial(_close, connection), "interlock-libvirt-close")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._left)

    def _left(self, leaving: asyncio.Future[Any]) -> None:
        self._leaving.discard(leaving)
        EVENTS.release()

    async def _come_back(self) -> None:
        wait = BACK_AFTER
        while self._connection is None and not self._closed:
            await asyncio.sleep(wait)
            wait = min(2 * wait, BACK_AT_MOST)
            with suppress(Trouble):
                await self._open()

    async def close(self) -> None:
        """Let go of it; jobs that are under way must have ended."""
        self._closed = True
        if self._back is not None:
            self._back.cancel()
            await asyncio.wait([self._back])
        if self._connection is not None:
            gone, self._connection = self._connection, None
            self._leave(gone)
        if self._dialling:
            await asyncio.wait(self._dialling, timeout=CLOSING)
            await asyncio.sleep(0)  # what came too late is being closed now
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=CLOSING)


def _heeded(work: asyncio.Future[Any]) -> None:
    """What a job that was given up on comes to at last; nobody asks any more."""
    if not work.cancelled():
        work.exception()


def _close(connection: Connection) -> None:
    with suppress(lib().libvirtError):
        connection.unregisterCloseCallback()
    with suppress(lib().libvirtError):
        connection.close()


def _same(one: Any, other: Any) -> bool:
    """Callbacks bring objects of their own for one connection."""
    return one is other or getattr(one, "_o", one) == getattr(other, "_o", other)


def _gone(gate: Gate, reason: str) -> Trouble:
    """It was cut off: whether something may have happened depends on what had gone out."""
    return Trouble(Refusal.UNKNOWN if gate.touched else Refusal.TRANSIENT, reason)


def _broken_codes() -> frozenset[int]:
    """Errors after which to see whether the connection still is one."""
    names = ("RPC", "SYSTEM_ERROR", "INTERNAL_ERROR", "INVALID_CONN", "NO_CONNECT", "OPERATION_FAILED")
    return frozenset(int(getattr(lib(), f"VIR_ERR_{name}")) for name in names)
