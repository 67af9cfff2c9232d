"""Asks for follows and evictions: so many at once, again when it was no use, after the operation that is in the way.

Promises: what could not be asked, or has failed, is kept until it is asked again (`again`), for as long as the engine
is open. A VM whose operation is driven here, or waits for a person, is asked for when that has ended (`freed`): no
timer is needed. One that another engine drives may need one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from interlock.engine.core.decision import Decision
from interlock.engine.orchestrator import log
from interlock.engine.store.store import Store
from interlock.schema.errors import Busy, EngineClosed, InterlockError, InvalidRequest
from interlock.schema.requests import EvictGuest, FollowVM

ACTOR = "interlock"
AT_ONCE = 32
"""Requests in the air. Too low: a lost host is slow to be noticed in full; too high: what people ask for meanwhile
waits."""

Ask = FollowVM | EvictGuest
Submit = Callable[[Ask, str, None], Awaitable[Decision]]


class Looks:
    """One per engine.

    Args:
        store: says who owns a VM.
        submit: accepts a request and begins to drive it.
        owned: the VMs whose operations are driven here, so that their ends will be told.
        later: has `again` asked after a while.
    """

    def __init__(
        self, store: Store, submit: Submit, owned: Callable[[], frozenset[str]], later: Callable[[], None]
    ) -> None:
        self._store, self._submit, self._owned, self._later = store, submit, owned, later
        self._after: dict[str, FollowVM] = {}
        self._again: dict[str, Ask] = {}
        self.hearers: list[list[Decision]] = []
        """Told of every request that was accepted."""

    @property
    def waiting(self) -> bool:
        """Whether something is to be asked again."""
        return bool(self._again)

    async def ask(self, asks: Sequence[Ask]) -> None:
        """Ask for all of these."""
        waiting = iter(asks)

        async def work() -> None:
            for ask in waiting:
                await self._ask(ask)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(asks))):
                group.create_task(work())

    def later(self, ask: Ask) -> None:
        """Ask for this when the timer rings."""
        self._again[_about(ask)] = ask
        self._later()

    def again(self) -> list[Ask]:
        """What is to be asked now that it has rung."""
        again, self._again = list(self._again.values()), {}
        return again

    def freed(self, vm_id: str) -> list[Ask]:
        """What is to be asked now that the VM's operation has ended."""
        ask = self._after.pop(vm_id, None)
        return [ask] if ask else []

    async def _ask(self, ask: Ask) -> None:
        try:
            decision = await self._submit(ask, ACTOR, None)
            for hearer in self.hearers:
                hearer.append(decision)
        except EngineClosed:
            pass
        except Busy:
            await self._leave_to_owner(ask)
        except InvalidRequest as error:
            log.say("warning", "what differs cannot be looked at", about=_about(ask), error=str(error))
        except InterlockError as error:
            log.say(
                "warning", "what differs cannot be looked at now; trying again", about=_about(ask), error=str(error)
            )
            self.later(ask)

    async def _leave_to_owner(self, ask: Ask) -> None:
        """A follow that is under way looks anyway."""
        vm_id = _about(ask)
        owners = await self._store.owners(vm_id, None)
        if any(owner.kind == "follow" for owner in owners):
            return
        if isinstance(ask, FollowVM) and any(owner.state == "Stuck" or vm_id in self._owned() for owner in owners):
            self._after[vm_id] = ask
        else:
            self.later(ask)


def _about(ask: Ask) -> str:
    return ask.vm if isinstance(ask, FollowVM) else ask.guest
