"""Expunges Destroyed VMs when setting `expunge.delay` has passed for them: each by an ordinary request of our own.

Promises: a VM that was destroyed here, or was Destroyed when this engine opened, is asked to be expunged once it is
due, for as long as the engine is open. Between two deadlines there is one timer, and no SQL. What is due is not kept
in memory but asked of the database, so nothing here can be wrong for longer than until the next look. An engine that
only looks (`begin` was not called) expunges nothing.

Races considered. Several engines on one database find the same VM due: each request is an ordinary one, one of them
is admitted, the others hear Busy or that it is not Destroyed any more, which is as well. Somebody recovers a VM that
is due: whoever is admitted first has it. A VM whose expunge fails is in Error, and is left to a person; one that is
Destroyed though another operation than destroy has just ended on it (a cancelled expunge, a failed recover) is left
alone for `AGAIN`, so that a person can recover it.

A VM that another engine destroys is that engine's to expunge. If that engine is gone by then (a command that ended),
this one hears of it when it next commits and finds that others have written; no VM it does not know can be due before
the least delay has passed since it last looked, so that is when it looks.

When the wall clock jumps forward, or the machine sleeps, the timer rings late by as much. When it jumps back, it
rings early, finds nothing due, and is set again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from interlock.engine.core.decision import Decision
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.clock import now
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.lease import SECOND
from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.cloud import SettingValue
from interlock.schema.errors import EngineClosed, InvalidRequest
from interlock.schema.settings import EXPUNGE_DELAY, SettingScope

NEVER = -1
"""The delay that says so."""
AT_ONCE = 200
"""VMs of one look. Too low: many looks where many are due; too high: they crowd out what people ask for."""
PAUSE = 1.0
"""Seconds between looks while more are due than one takes. Too low: people's requests wait; too high: room stays
held."""
AGAIN = 60.0
"""Seconds until a VM that could not be asked for is asked for again, and until one that somebody has just touched is.
Too low: a store that cannot write is hammered; too high: it stays."""


class Delay(msgspec.Struct, frozen=True):
    """A delay in µs, and whose VMs have it: those of `accounts`, or, with none, of all but `others_than`."""

    length: int
    accounts: tuple[str, ...]
    others_than: tuple[str, ...]


class Expiry:
    """One per engine.

    Args:
        expunge: asks for the expunge of a VM, by id.
        spawn: runs work in a task that closing waits for.
    """

    def __init__(
        self,
        store: Store,
        inventory: Inventory,
        expunge: Callable[[str], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._expunge = expunge
        self._spawn = spawn
        self._on = False
        self._looking = asyncio.Lock()
        self._looked_at = 0
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at: int | None = None

    async def begin(self) -> None:
        """From now on, until `close`."""
        self._on = True
        await self.look()

    def close(self) -> None:
        """Nothing more is asked for; a look under way ends by itself."""
        self._on = False
        self._silence()

    def ended(self, decision: Decision) -> None:
        """An operation has ended here."""
        kind, vm = decision.operation.kind, decision.vm
        if vm is None or vm.state != "Destroyed":
            return
        delay = self._inventory.setting(EXPUNGE_DELAY, (SettingScope.ACCOUNT, vm.account_id))
        if delay != NEVER:
            due = vm.since + delay * SECOND
            self._ring_at(due if kind == "destroy" else max(due, _later(AGAIN)))

    def others_wrote(self) -> None:
        """Somebody else has written, and may have destroyed VMs since the last look."""
        least = min((each.length for each in self._delays()), default=None)
        if least is not None:
            self._ring_at(max(self._looked_at + least, _later(AGAIN)))

    async def look(self) -> None:
        """Ask for the expunge of what is due, and have the timer ring when more will be."""
        if self._on:
            # In a task of its own: a caller that gives up waiting must not leave us without a timer.
            await asyncio.shield(self._spawn(self._look(), "interlock expiry"))

    async def _look(self) -> None:
        async with self._looking:
            if self._on:
                self._silence()
                self._looked_at = now()
                await self._look_safely()

    async def _look_safely(self) -> None:
        try:
            for delay in self._delays():
                await self._ask(delay)
        except EngineClosed:
            pass
        except Exception as error:
            log.say("error", "looking for what is to be expunged failed; trying again", error=str(error))
            self._ring_at(_later(AGAIN))

    async def _ask(self, delay: Delay) -> None:
        """Ask for those that are due, a page of them; know when the next is."""
        oldest = await self._store.rows(queries.destroyed(delay.accounts, delay.others_than, AT_ONCE))
        due = [vm_id for vm_id, since in oldest if since + delay.length <= self._looked_at]
        later = [since + delay.length for _, since in oldest if since + delay.length > self._looked_at]
        answers = await asyncio.gather(*map(self._expunge, due), return_exceptions=True)
        for answer in answers:
            self._heard(answer)
        if later:
            self._ring_at(later[0])
        elif len(due) == AT_ONCE:
            self._ring_at(_later(PAUSE))

    def _heard(self, answer: BaseException | None) -> None:
        if answer is None or isinstance(answer, EngineClosed):
            return
        if not isinstance(answer, InvalidRequest):
            log.say("error", "a VM that is due cannot be expunged now; trying again", error=str(answer))
        self._ring_at(_later(AGAIN))

    def _delays(self) -> list[Delay]:
        """The finite delays in force, each with whose VMs have it."""
        own: dict[int, list[str]] = {}
        for account_id in self._accounts_with_their_own():
            own.setdefault(self._length(account_id), []).append(account_id)
        others_than = tuple(account_id for accounts in own.values() for account_id in accounts)
        found = [Delay(length, tuple(accounts), ()) for length, accounts in own.items()]
        return [each for each in (*found, Delay(self._length(), (), others_than)) if each.length >= 0]

    def _accounts_with_their_own(self) -> list[str]:
        rows = self._inventory.all(SettingValue)
        return [
            row.place_id
            for row in rows
            if row.name == EXPUNGE_DELAY.name and row.scope == SettingScope.ACCOUNT and row.place_id
        ]

    def _length(self, account_id: str | None = None) -> int:
        places = [(SettingScope.ACCOUNT, account_id)] if account_id else []
        return self._inventory.setting(EXPUNGE_DELAY, *places) * SECOND

    # --- the timer

    def _ring_at(self, at: int) -> None:
        """Look at this time (µs since 1970), or sooner."""
        if not self._on or (self._rings_at is not None and self._rings_at <= at):
            return
        self._silence()
        self._rings_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, (at - now()) / SECOND), self._ring)

    def _ring(self) -> None:
        self._rings_at = self._timer = None
        self._spawn(self._look(), "interlock expiry")

    def _silence(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = self._timer = None


def _later(seconds: float) -> int:
    return now() + int(seconds * SECOND)
