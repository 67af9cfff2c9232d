"""A conversation with a driver: every command is said through here, checked for its answer, and written down.

Promises: whatever the driver does, the caller gets an outcome or a `Broken` with all that was said so far. Tokens and
fences are new and rising unless the caller names them, as the engine's are. `tidy` undoes all that was said, so that
a real hypervisor is left as it was found.

An answer of transient or unknown is asked for again under its token, as the engine does, before it counts as a
refusal: real hypervisors have their moods.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from interlock.drivers.protocol import Driver
from interlock.schema.commands import (
    AnyCommand,
    DeleteVolume,
    Done,
    MigrateDomain,
    Outcome,
    Refusal,
    Refused,
    ReleaseNic,
    Scope,
    StopDomain,
)
from interlock.testing.kits.broken import Broken
from interlock.testing.kits.promises import ALREADY_THERE, FENCE, NEVER_RAISES, SCOPE, TRUTH, Promise
from interlock.testing.kits.scene import Scene
from interlock.testing.seen import Seen, differences

TRIES = 4
"""How often a command is said before its transient or unknown refusal counts. Too low: a mood fails a check; too high:
a driver that only ever says "perhaps" takes long to be found."""
TIDYING = (StopDomain, DeleteVolume, ReleaseNic)
"""What is needed to undo everything, in this order."""


@dataclass(frozen=True)
class Said:
    """A command that was said, and how."""

    command: AnyCommand
    token: str
    fence: int


@dataclass
class Told:
    """One driver, and what it was told."""

    open: Callable[[], Awaitable[Driver]]
    """Opens it, also again, with its places attached."""
    observe: Callable[[Driver], Awaitable[Seen]]
    scene: Scene
    patience: float
    """Seconds that an answer may take."""
    driver: Driver
    top: int = 0
    """The highest fence that was said."""
    log: list[str] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    """Everything, in order."""

    # Saying

    def new(self, command: AnyCommand, token: str | None = None, fence: int | None = None) -> Said:
        """The command, with a token of its own and the next fence if none are given."""
        fence = self.top + 1 if fence is None else fence
        self.top = max(self.top, fence)
        said = Said(command, token or f"kit-{len(self.said) + 1}", fence)
        self.said.append(said)
        return said

    async def say(self, said: Said) -> Outcome:
        """Say it; whatever is answered."""
        at = len(self.log)
        self.log.append(f"{_words(said)} -> (no answer yet)")
        outcome = await self._answer(said)
        self.log[at] = f"{_words(said)} -> {_spoken(outcome)}"
        return outcome

    async def _answer(self, said: Said) -> Outcome:
        name = type(said.command).__name__
        try:
            async with asyncio.timeout(self.patience) as waiting:
                outcome: object = await self.driver.perform(said.command, token=said.token, fence=said.fence)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self.broken(NEVER_RAISES, f"perform({name}) raised {error!r}, and nobody had cancelled it") from error
        except Exception as error:
            if waiting.expired():
                raise self.broken(NEVER_RAISES, f"perform({name}) gave no answer in {self.patience} s") from error
            raise self.broken(NEVER_RAISES, f"perform({name}) raised {error!r}") from error
        if isinstance(outcome, Done) or _is_refusal(outcome):
            return outcome  # type: ignore[return-value]  # the second is a Refused
        raise self.broken(NEVER_RAISES, f"perform({name}) answered {outcome!r}, which is neither Done nor Refused")

    async def settle(self, said: Said) -> Outcome:
        """Say it until it is Done or refused for good."""
        for _ in range(TRIES):
            outcome = await self.say(said)
            if isinstance(outcome, Done) or outcome.kind is Refusal.PERMANENT:
                break
        return outcome

    async def done(
        self, command: AnyCommand, promise: Promise, token: str | None = None, fence: int | None = None
    ) -> Said:
        """Say it, and see that it is done."""
        said = self.new(command, token, fence)
        await self.again(said, promise)
        return said

    async def again(self, said: Said, promise: Promise) -> None:
        """Say what was said before, and see that it is done."""
        outcome = await self.settle(said)
        if not isinstance(outcome, Done):
            raise self.broken(promise, f"{_words(said)} was answered {_spoken(outcome)} instead of Done")

    async def refused(
        self,
        command: AnyCommand,
        promise: Promise,
        *kinds: Refusal,
        scope: Scope | None = None,
        fence: int | None = None,
    ) -> None:
        """Say it, and see that it is refused: permanently, or as one of `kinds`; and that nothing changes."""
        before, said = await self.world(), self.new(command, fence=fence)
        outcome = await self.settle(said)
        allowed = kinds or (Refusal.PERMANENT,)
        if isinstance(outcome, Done) or outcome.kind not in allowed:
            wanted = " or ".join(allowed)
            raise self.broken(promise, f"{_words(said)} was answered {_spoken(outcome)} instead of Refused {wanted}")
        if scope not in (None, outcome.scope):
            raise self.broken(SCOPE, f"{_words(said)} was refused about the {outcome.scope}, not about the {scope}")
        await self.unchanged(before, promise if promise is FENCE else TRUTH, f"{_words(said)} was refused")

    # Looking

    async def world(self) -> Seen:
        """What there is now."""
        return await self.observe(self.driver)

    async def unchanged(self, before: Seen, promise: Promise = ALREADY_THERE, though: str = "") -> None:
        """See that the world is as it was."""
        if wrong := differences(before, await self.world()):
            raise self.broken(promise, f"{though or 'nothing was to change'}, and now {'; '.join(wrong)}")

    async def looks(self, expected: Seen, promise: Promise) -> None:
        """See that the world is as it must be."""
        if wrong := differences(expected, await self.world()):
            raise self.broken(promise, f"in the world {'; '.join(wrong)}")

    def broken(self, promise: Promise, what: str) -> Broken:
        """The failure, with all that was said."""
        return Broken(promise, what, [f"  {number}. {line}" for number, line in enumerate(self.log, 1)])

    # Ends

    async def reopen(self) -> None:
        """Close the driver and open it again on the same home."""
        await self.driver.close()
        self.driver = await self.open()
        self.log.append("the driver was closed and opened again")

    async def tidy(self) -> None:
        """Undo all that was said. What fails is left: the check has its verdict already."""
        undoing = [each for said in self.said if (each := self._undo(said.command)) is not None]
        for kind in TIDYING:
            for number, command in enumerate(dict.fromkeys(each for each in undoing if isinstance(each, kind))):
                with suppress(Exception):
                    await self._answer(Said(command, f"kit-tidy-{kind.__name__}-{number}", self.top + 1))

    def _undo(self, command: AnyCommand) -> AnyCommand | None:
        if isinstance(command, MigrateDomain):
            there = StopDomain(
                driver=command.driver, at=command.to_host, vm_id=command.vm_id, subject=command.subject, forced=True
            )
            return there
        return self.scene.undo(command)


def _is_refusal(outcome: object) -> bool:
    """Whether it is one, with kind, scope and a reason."""
    if not isinstance(outcome, Refused):
        return False
    kinds, scopes = isinstance(outcome.kind, Refusal), isinstance(outcome.scope, Scope)
    return kinds and scopes and isinstance(outcome.reason, str) and bool(outcome.reason)


def _words(said: Said) -> str:
    command = said.command
    to = f" to {command.to_host}" if isinstance(command, MigrateDomain) else ""
    whose = f" of {command.vm_id or 'no VM'}" if not command.subject.startswith("vm ") else ""
    name = f"{type(command).__name__} {command.subject}{whose} at {command.at}{to}"
    return f"{name} (token {said.token}, fence {said.fence})"


def _spoken(outcome: Outcome) -> str:
    if isinstance(outcome, Done):
        return "Done"
    return f"Refused {outcome.kind} about the {outcome.scope}: {outcome.reason}"


def aged(said: Said, fence: int) -> Said:
    """The same token under another fence."""
    return Said(said.command, said.token, fence)
