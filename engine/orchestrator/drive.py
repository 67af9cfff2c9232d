"""One operation, from event to event: decide, commit, perform, feed back, until it ends or the engine closes.

Promises: nothing is performed before the decision that announces it is durable. A defect of ours ends in Stuck, with
the defect as its reason, never in silence.

Races considered. The worker may have lost the operation: its commit is refused as stale, the record then names
another worker, and the drive ends without a word (`Overtaken`). Wishes (cancel, resolve) arrive at any time and are
committed at once; the effects under way are still waited for. Closing is like a crash that waits: effects under way
answer, their result is committed, and nothing new begins.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from interlock.engine.core.backoff import SECOND
from interlock.engine.core.deadlines import Deadline, deadline, due_at
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import (
    Broken,
    CancelRequested,
    Claimed,
    Event,
    Overdue,
    Resolved,
    Settled,
    Woken,
)
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.clock import now
from interlock.engine.orchestrator.commits import Accepted, Commits, Overtaken
from interlock.engine.orchestrator.effects import Performer
from interlock.engine.store.cases import Case
from interlock.schema.commands import Done, Outcome
from interlock.schema.errors import EngineClosed, InterlockError, InvalidRequest, StoreError
from interlock.schema.words import clean

LET_GO = 10.0
"""Seconds a driver has to end a call that was cancelled. Too low: an undo overtakes it; too high: a hung one delays."""

Wish = CancelRequested | Resolved
"""What somebody outside may ask of an operation under way."""


class Drive:
    """Carries one operation.

    Args:
        case: the operation as last read or written.
        commits: decides and writes.
        performer: acts.
        worker_id: on whose lease.
        closing: whether the engine wants to rest; whoever makes it true pokes every drive.
        accepted: the request with its head start, if the operation had one: it is claimed already.
    """

    def __init__(
        self,
        case: Case,
        commits: Commits,
        performer: Performer,
        worker_id: str,
        closing: Callable[[], bool],
        accepted: Accepted | None = None,
    ) -> None:
        self.case = case
        self._commits = commits
        self._performer = performer
        self._worker_id = worker_id
        self._closing = closing
        self._begun = accepted.then if accepted is not None else None
        self._claimed = self._begun is not None
        self._fence = accepted.fence if accepted is not None else 0
        self._wishes: deque[tuple[Callable[[int], Wish], asyncio.Future[None]]] = deque()
        self._asleep: asyncio.Future[None] | None = None

    async def ask(self, wish: Callable[[int], Wish]) -> None:
        """Have a wish decided and committed; returns when it is durable.

        Raises:
            InterlockError: it was refused, or the drive ended before it was heard.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wishes.append((wish, answer))
        self.poke()
        await answer

    def poke(self) -> None:
        """Something happened: look around."""
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)

    async def run(self) -> Decision | None:
        """Drive to the end; None if the engine closed first.

        Raises:
            Overtaken: another worker drives it now.
            EngineClosed: the store could not be written until the engine closed.
        """
        try:
            decision: Decision | None = self._begun or await self._claim()
            while decision is not None and decision.outcome is None:
                if self._closing():
                    return None
                decision = await (self._act(decision) if decision.effects else self._rest(decision))
            return decision
        finally:
            while self._wishes:
                _, answer = self._wishes.popleft()
                _fail(
                    answer,
                    InvalidRequest("the operation is not under way here any more; look at how it ended"),
                )

    async def _claim(self) -> Decision:
        """Take the operation. What was left for longer than it may take is undone instead of gone on with."""
        due = _deadline(self.case)
        decision = await self._step(lambda at: Claimed(at=at, worker_id=self._worker_id))
        self._claimed = True
        if due is None or now() < due.at or decision.outcome is not None:
            return decision
        return await self._overdue(due)

    async def _step(self, event: Callable[[int], Event], *, on_fresh: bool = True) -> Decision:
        """Decide and commit; `on_fresh`: see `Commits.write`. The commit's journal number becomes the fence of what it
        announces: a command that was sent earlier, by this worker or another, is refused if it arrives late."""
        worker_id = self._worker_id if self._claimed else None
        try:
            written = await self._commits.write(self.case, event, worker_id, on_fresh=on_fresh)
            self.case, decision, self._fence = written
        except (InvalidRequest, Overtaken, EngineClosed, StoreError):
            raise
        except Exception as error:
            log.say("exception", "a defect: the operation becomes Stuck")
            defect = clean(f"{type(error).__name__}: {error}")
            broken = lambda at: Broken(at=at, error=defect)  # noqa: E731
            self.case, decision, self._fence = await self._commits.write(self.case, broken, worker_id)
        return decision

    async def _act(self, decision: Decision) -> Decision:
        """Perform what was announced, and tell the core; wishes are heard meanwhile."""
        acts = asyncio.gather(*(self._performer.perform(effect, self._fence) for effect in decision.effects))
        acts.add_done_callback(lambda _: self.poke())
        until = due_at(decision.operation, decision.vm, decision.nics, decision.volumes)
        try:
            while not acts.done():
                if not self._wishes and not await self._sleep(until):
                    break
                if self._wishes:
                    await self._hear()
        finally:
            answered = acts.done()
            await _ended(acts)
        if not answered and (due := _deadline(decision)) is not None:
            return await self._overdue(due)
        outcomes = tuple(acts.result())
        went_well = all(isinstance(outcome, Done) for outcome in outcomes)
        return await self._step(lambda at: Settled(at=at, outcomes=outcomes), on_fresh=not went_well)

    async def _rest(self, decision: Decision) -> Decision | None:
        """Wait until the operation wants to go on; a wish or closing ends the wait."""
        due, wake_at = _deadline(decision), decision.wake_at
        until = min((time for time in (wake_at, due.at if due else None) if time is not None), default=None)
        poked = bool(self._wishes) or await self._sleep(until)
        if self._wishes:
            return await self._hear() or decision
        if poked:
            return None if self._closing() else decision
        if due is not None and until != wake_at:
            return await self._overdue(due)
        return await self._step(lambda at: Woken(at=at))

    async def _overdue(self, due: Deadline) -> Decision:
        decision = await self._step(lambda at: Overdue(at=at, what=due.what, rule=due.rule))
        if self._commits.observer is not None:
            self._commits.observer.overdue(due)
        return decision

    async def _sleep(self, until: int | None) -> bool:
        """Wait to be poked; False when `until` (µs since 1970) comes first."""
        loop = asyncio.get_running_loop()
        asleep = self._asleep = loop.create_future()
        poked = True

        def ring() -> None:
            nonlocal poked
            if not asleep.done():
                poked = False
                asleep.set_result(None)

        alarm = None if until is None else loop.call_later(max(0.0, (until - now()) / SECOND), ring)
        try:
            await asleep
        finally:
            self._asleep = None
            if alarm is not None:
                alarm.cancel()
        return poked

    async def _hear(self) -> Decision | None:
        """Decide and commit one wish; None if it was refused, which changes nothing."""
        wish, answer = self._wishes.popleft()
        try:
            decision = await self._step(wish)
        except InvalidRequest as error:
            _fail(answer, error)
            return None
        except Overtaken:
            _fail(answer, InvalidRequest("another process drives the operation now: nothing to do here"))
            raise
        except BaseException as error:
            _fail(answer, error)
            raise
        if not answer.done():
            answer.set_result(None)
        return decision


def _deadline(case: Case | Decision) -> Deadline | None:
    assert case.operation is not None
    return deadline(case.operation, case.vm, case.nics, case.volumes)


async def _ended(acts: asyncio.Future[list[Outcome]]) -> None:
    """Have the effects end before anything else is done about them: an undo must not overtake what it undoes."""
    if not acts.done():
        acts.cancel()
        await asyncio.wait({acts}, timeout=LET_GO)
    if acts.done() and not acts.cancelled():
        acts.exception()


def _fail(answer: asyncio.Future[None], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error if isinstance(error, InterlockError) else EngineClosed(f"not heard: {error!r}"))
