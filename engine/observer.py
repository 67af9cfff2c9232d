"""What an engine tells whoever watches it: metrics, traces, or an embedder's own.

An observer is told of what has happened and changes nothing of it; the one answer it gives, where a request comes from,
is written into the journal and decides nothing. It is called on the engine's event loop and must return at once.
What it raises is its bug: logged, and gone no further. Without observers each place that would tell one costs a
comparison with None, and no object is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from interlock.engine.core.deadlines import Deadline
from interlock.engine.core.decision import Decision, Effect
from interlock.engine.store.verdict import Committed
from interlock.schema.commands import Outcome
from interlock.schema.records import Operation
from interlock.schema.requests import Request

if TYPE_CHECKING:
    from interlock.engine.orchestrator.view import View
    from interlock.engine.store.commit import Written

T = TypeVar("T")

Finish = Callable[[Outcome | None], None]
"""Told what an effect came to; None: it was cut off."""


def _nothing(outcome: Outcome | None) -> None:
    """Nobody wants to know."""


class Observer:
    """What may be listened to; all of it does nothing here."""

    def opened(self, view: View) -> None:
        """The engine is about to work; `view` shows it until `closed`."""

    def asked(self, operation_id: str, request: Request) -> str | None:
        """A request is about to be decided, in the caller's own context; what is returned is kept with the operation in
        the journal, in the detail of its first row (`trace_in` of `core/inputs.py` finds it there)."""

    def written(self, decision: Decision) -> None:
        """A decision of this engine is durable. Told once for each; in the order of the journal for each operation."""

    def batch(self, written: Written) -> None:
        """A transaction of decisions has ended, with their verdicts."""

    def overdue(self, due: Deadline) -> None:
        """An operation of this engine was too long in a state, and what follows from that is durable."""

    async def driving(self, operation: Operation) -> None:
        """This engine begins to drive an operation: a new one, or one that somebody left."""

    def left(self, operation_id: str) -> None:
        """This engine does not drive it any more: it has ended, somebody else does, or the engine closes."""

    def performing(self, effect: Effect, fence: int) -> Finish:
        """A driver is about to be called, in the task that calls; the answer is told in the same task."""
        return _nothing

    def closed(self) -> None:
        """The engine is closed; nothing more is told until another is opened with it."""


class Observers(Observer):
    """Several as one; what one of them raises does not reach the others, nor the engine."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)
        self._opened: list[Observer] = []

    def opened(self, view: View) -> None:
        """What one of them raises here is the caller's to hear: it cannot be used so."""
        for observer in self._observers:
            observer.opened(view)
            self._opened.append(observer)

    def asked(self, operation_id: str, request: Request) -> str | None:
        answers = self._each(lambda observer: observer.asked(operation_id, request))
        return next((answer for answer in answers if answer), None)

    def written(self, decision: Decision) -> None:
        self._each(lambda observer: observer.written(decision))

    def told(self, decisions: Sequence[Decision], written: Written) -> None:
        """What became of a batch: `written` for each that was, then `batch`."""
        for decision, verdict in zip(decisions, written.verdicts, strict=True):
            if isinstance(verdict, Committed):
                self.written(decision)
        self._each(lambda observer: observer.batch(written))

    def overdue(self, due: Deadline) -> None:
        self._each(lambda observer: observer.overdue(due))

    async def driving(self, operation: Operation) -> None:
        for observer in self._observers:
            try:
                await observer.driving(operation)
            except Exception:
                _blame(observer)

    def left(self, operation_id: str) -> None:
        self._each(lambda observer: observer.left(operation_id))

    def performing(self, effect: Effect, fence: int) -> Finish:
        finishes = self._each(lambda observer: (observer, observer.performing(effect, fence)))

        def finish(outcome: Outcome | None) -> None:
            # In reverse: what one of them has made current is what the one before it finds.
            for observer, end in reversed(finishes):
                try:
                    end(outcome)
                except Exception:
                    _blame(observer)

        return finish

    def closed(self) -> None:
        """Only those that were opened: another may be another engine's."""
        for observer in reversed(self._opened):
            try:
                observer.closed()
            except Exception:
                _blame(observer)

    def _each(self, tell: Callable[[Observer], T]) -> list[T]:
        answers = []
        for observer in self._observers:
            try:
                answers.append(tell(observer))
            except Exception:
                _blame(observer)
        return answers


def _blame(observer: Observer) -> None:
    from interlock.engine.orchestrator import log

    with suppress(Exception):
        log.say("exception", "an observer raised: its bug", observer=type(observer).__name__)
