"""Which step each operation is in, from the decisions that are written: where one begins, goes on, and how it ends.

Pure: told decisions, it answers what they mean. A step is entered with the decision that announces its effects and
left with the one that announces others, or ends the operation; between the two it may be tried again, wait, or be taken
over by another worker. A step without effects is passed within one decision and is none here. Remembers one entry for
each operation that is in a step.
"""

from __future__ import annotations

import msgspec

from interlock.engine.core.course import CANCELLED
from interlock.engine.core.decision import Decision, Effect
from interlock.schema.transition import Entry

ENDS = {"OperationFailed": "refused", "OperationStuck": "stuck", "CancelRequested": "cancelled"}
"""What a step came to, by the operation's transition that left it; all others: done."""


class Step(msgspec.Struct, frozen=True):
    """A step that is carried out; what is done again after a new placement is another one."""

    attempt: int
    name: str
    direction: str
    """do or undo"""


class Left(msgspec.Struct, frozen=True):
    """A step that is over."""

    step: Step
    micros: int
    """How long it took, from where it is known; one that was taken over, from when it was."""
    outcome: str
    """done, refused, stuck or cancelled"""


class Turn(msgspec.Struct, frozen=True):
    """What a decision means for its operation's step: None where it is not so."""

    left: Left | None = None
    entered: Step | None = None


NO_TURN = Turn()


class Steps:
    """Of all operations that are told of."""

    def __init__(self) -> None:
        self._now: dict[str, tuple[Step, int]] = {}

    def follow(self, decision: Decision) -> Turn:
        """What a decision means; decisions of one operation in their order."""
        operation_id, at = decision.operation.id, decision.changes[0].entry.at
        before = self._now.get(operation_id)
        if decision.outcome is None and not decision.effects:
            return NO_TURN  # it waits, or a wish was noted: what is under way goes on
        now = step_of(decision.effects[0]) if decision.outcome is None else None
        if before is not None and before[0] == now:
            return NO_TURN
        if now is None:
            self._now.pop(operation_id, None)
        else:
            self._now[operation_id] = now, at
        left = None if before is None else Left(before[0], at - before[1], _outcome(decision))
        return Turn(left=left, entered=now)

    def forget(self, operation_id: str) -> None:
        """Nothing more will be told of it."""
        self._now.pop(operation_id, None)


def step_of(effect: Effect) -> Step:
    """The step that an effect belongs to; its token says so."""
    _, attempt, name, direction, *_ = effect.token.split("/")
    return Step(int(attempt), name, direction)


def own_rows(decision: Decision) -> list[Entry]:
    """The rows of the operation itself."""
    return [change.entry for change in decision.changes if change.machine == "operation"]


def _outcome(decision: Decision) -> str:
    event = own_rows(decision)[0].event
    found = ENDS.get(event, "done")
    return "cancelled" if found == "refused" and decision.operation.then == CANCELLED else found
