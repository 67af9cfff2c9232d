"""The course of an operation: how it walks its steps forward and back, and how each walk is written down.

Promises: one call of `forward` or `backward` goes as far as it can without the world: to a step with effects, or to
the end. The operation's own record moves once for each leg; its journal row says what was announced, and where.
"""

from __future__ import annotations

from typing import Any

from interlock.engine.core.decision import Effect
from interlock.engine.core.draft import Draft
from interlock.engine.core.events import Way
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.program import Act, Refusal, Step, place_in
from interlock.schema.commands import AnyCommand
from interlock.schema.records import Avoided

REPLAN, FAILED, CANCELLED = "replan", "failed", "cancelled"
"""What `then` may say follows an undo."""


def steps_of(draft: Draft) -> tuple[Step, ...]:
    """The operation's steps."""
    if draft.steps is None:
        draft.steps = PROGRAMS[draft.operation.kind].steps_of(draft.operation.request)
    return draft.steps


def present_act(draft: Draft) -> Act:
    """The step the operation is in, in the direction it goes."""
    step = steps_of(draft)[draft.operation.step]
    return step.undo if draft.operation.state == "Undoing" else step.forward


def forward(draft: Draft, event: str, **attributes: Any) -> None:
    """Enter the steps that follow the present one.

    Args:
        event: the operation's transition that this leg is written under.
        attributes: what changes along with it.
    """
    steps, number = steps_of(draft), draft.operation.step
    while number + 1 < len(steps):
        number += 1
        act = steps[number].forward
        try:
            act.announce(draft)
            commands = act.effects(draft)
            if not commands:
                act.settle(draft)
        except Refusal as refusal:
            _open(draft, event, attributes)
            _refused(draft, number, refusal)
            return
        if commands:
            _announce(draft, number, "do", commands)
            draft.move(draft.operation, event, **{**attributes, "step": number, "tries": 0, "wake_at": None})
            return
    _open(draft, event, attributes)
    draft.move(draft.operation, "OperationSucceeded", step=number, tries=0, wake_at=None, worker_id=None)


def go_on(draft: Draft) -> None:
    """The present step's effects have answered: settle it, and enter those that follow."""
    try:
        present_act(draft).settle(draft)
    except Refusal as refusal:
        _refused(draft, draft.operation.step, refusal)
        return
    draft.outcomes = ()
    forward(draft, "StepSucceeded")


def _open(draft: Draft, event: str, attributes: dict[str, Any]) -> None:
    """A leg that ends at once is written in two rows only where the first says more than that it ended."""
    if event != "StepSucceeded":
        draft.move(draft.operation, event, **attributes)


def _refused(draft: Draft, number: int, refusal: Refusal) -> None:
    draft.if_fresh = True
    turn_back(draft, FAILED, refusal.message, step=number, reasons=refusal.reasons)


def turn_back(draft: Draft, then: str, error: str, avoid: tuple[Avoided, ...] | None = None, **attributes: Any) -> None:
    """Begin to undo, from the step the operation is in.

    Args:
        then: what follows the undo.
        error: why, for people.
        avoid: the new avoid set, where it grows.
    """
    operation = draft.operation
    kept = operation.avoid if avoid is None else avoid
    draft.move(
        operation,
        "OperationFailed",
        cause=error,
        **{"then": then, "error": error, "tries": 0, "wake_at": None, "avoid": kept, **attributes},
    )
    backward(draft, draft.operation.step)


def backward(draft: Draft, number: int, *, vouched: bool = False) -> None:
    """Undo step `number` and those before it; for a new plan down to `place`, else to the beginning.

    `vouched`: a person says that the world is already as the effects would leave it; they are skipped.
    """
    operation, steps = draft.operation, steps_of(draft)
    floor = (place_in(steps) or 0) + 1 if operation.then == REPLAN else 0
    while number >= floor:
        act = steps[number].undo
        act.announce(draft)
        if (commands := act.effects(draft)) and not vouched:
            _announce(draft, number, "undo", commands)
            draft.move(operation, "StepUndone", step=number, tries=0, wake_at=None)
            return
        act.settle(draft)
        number -= 1
    _at_the_floor(draft, number)


def _at_the_floor(draft: Draft, number: int) -> None:
    operation = draft.operation
    if operation.then == REPLAN:
        # `place` stays entered: its forward, asked again, moves the VM straight to its next destination.
        draft.move(operation, "OperationRetry", attempt=operation.attempt + 1, step=number - 1, tries=0, then=None)
        forward(draft, "OperationResumed", error=None, wake_at=None)
        return
    finish_undo(draft, number)


def finish_undo(draft: Draft, number: int) -> None:
    """Nothing is left to undo; `number`: the last step that is still entered."""
    operation = draft.operation
    event = "OperationCancelled" if operation.then == CANCELLED else "OperationUndone"
    draft.move(operation, event, step=number, tries=0, wake_at=None, worker_id=None)


def perform_again(draft: Draft, event: str, **attributes: Any) -> None:
    """Announce the present step's effects once more, under the same tokens; where it has none, walk on.

    Args:
        event: the operation's transition that this is written under.
        attributes: what changes along with it.
    """
    operation = draft.operation
    undoing = operation.state == "Undoing"
    commands = present_act(draft).effects(draft) if operation.step >= 0 else ()
    if commands:
        _announce(draft, operation.step, "undo" if undoing else "do", commands)
    if commands or undoing:
        draft.move(operation, event, **attributes)
    if undoing and not commands:
        backward(draft, operation.step)
    elif not commands:
        forward(draft, event, **attributes)


def stick(draft: Draft, why: str, ways: tuple[Way, ...] | None = None) -> None:
    """The operation can neither go on nor be undone: a person must choose.

    Args:
        why: for people.
        ways: what can be chosen here; None: whatever makes sense of an operation that this release knows.
    """
    listed = " or ".join(f"--{way}" for way in ways or _ways_out(draft))
    said = f"{why} (ways out: interlock resolve {draft.operation.id} with {listed})"
    draft.move(draft.operation, "OperationStuck", cause=why, error=said, wake_at=None, worker_id=None)


def _ways_out(draft: Draft) -> tuple[Way, ...]:
    if not steps_of(draft):
        return (Way.RETRY,)  # it was done with its request: nothing is left but to say so
    if draft.operation.then is not None:
        return (Way.UNDO, Way.ACCEPT)  # its effects have been taken back in part: it is not gone on with
    return tuple(Way)


def _announce(draft: Draft, number: int, direction: str, commands: tuple[AnyCommand, ...]) -> None:
    operation = draft.operation
    prefix = f"{operation.id}/{operation.attempt}/{steps_of(draft)[number].name}/{direction}"
    subjects = [command.subject for command in commands]
    draft.effects = tuple(
        # Several places may be asked about one subject; all others are named as ever, for operations under way.
        Effect(
            token=f"{prefix}/{each.subject}" + (f"/{each.at}" if subjects.count(each.subject) > 1 else ""), command=each
        )
        for each in commands
    )
    draft.detail["effects"] = [f"{type(command).__name__} {command.subject} at {command.at}" for command in commands]
