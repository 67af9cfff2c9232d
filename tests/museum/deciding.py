"""Room two: what follows from an event. Outcomes misread, steps skipped, wishes forgotten, states simply flipped."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from interlock.engine.core import course, decide
from interlock.engine.core.admission.admit import unfit
from interlock.engine.core.course import FAILED, backward, forward, present_act
from interlock.engine.core.decision import Effect
from interlock.engine.core.draft import Draft
from interlock.engine.core.events import Claimed, Overdue, Settled
from interlock.schema.commands import AnyCommand, Done, Outcome, Refused, StartDomain
from interlock.schema.records import Vm
from tests.museum.exhibit import Fired, exhibit
from tests.museum.planting import everywhere, swapped


@exhibit(
    bug="a start is reported as done although it failed",
    source="cloudstack PR 5148",
    promises=("world",),
)
def failed_start_reported(fired: Fired) -> Iterator[None]:
    """Any answer to the start of a guest is taken for Done."""
    right = decide._settled

    def hear(command: AnyCommand, outcome: Outcome) -> Outcome:
        if isinstance(command, StartDomain) and isinstance(outcome, Refused):
            fired()
            return Done()
        return outcome

    def settled(draft: Draft, event: Settled) -> None:
        commands = present_act(draft).effects(draft)
        outcomes = tuple(map(hear, commands, event.outcomes))
        right(draft, msgspec.structs.replace(event, outcomes=outcomes))

    with swapped(decide, _settled=settled):
        yield


@exhibit(
    bug="a step is skipped on resume",
    source="superfly/fsm store.go",
    promises=("world",),
)
def announced_taken_for_done(fired: Fired) -> Iterator[None]:
    """Whoever takes an operation over goes on with the step after the announced one, done or not."""
    right = decide._claimed

    def claimed(draft: Draft, event: Claimed) -> None:
        operation = draft.operation
        if operation.state == "Running" and operation.step >= 0 and operation.then is None:
            fired()
            present_act(draft).settle(draft)
            forward(draft, "Claimed", worker_id=event.worker_id)
        else:
            right(draft, event)

    with swapped(decide, _claimed=claimed):
        yield


@exhibit(
    bug="one trigger silently cancels another",
    source="transitions 465",
    promises=("cancel",),
)
def cancel_lost(fired: Fired) -> Iterator[None]:
    """A cancel that comes while an effect is under way is noted, and forgotten when the effect has answered."""
    right = decide._step_done

    def step_done(draft: Draft) -> None:
        if draft.operation.then is None:
            right(draft)
            return
        fired()
        present_act(draft).settle(draft)
        forward(draft, "StepSucceeded", then=None, error=None)

    with swapped(decide, _step_done=step_done):
        yield


@exhibit(
    bug="what is overdue is flipped to failed, and nobody asks the host",
    source="cloudstack 10798, 8748, PR 2163",
    promises=("world", "leak"),
)
def overdue_flips(fired: Fired) -> Iterator[None]:
    """When a deadline passes, the records are set back and no effect is undone."""

    def overdue(draft: Draft, event: Overdue) -> None:
        fired()
        operation = draft.operation
        if operation.state != "Undoing":
            cause = f"overdue: {event.what}"
            draft.move(operation, "OperationFailed", cause=cause, then=FAILED, error=cause, tries=0, wake_at=None)
        backward(draft, operation.step, vouched=True)

    with swapped(decide, _overdue=overdue):
        yield


@exhibit(
    bug="one id for two jobs",
    source="cloudstack 3871",
    promises=("world", "liveness"),
)
def token_without_attempt(fired: Fired) -> Iterator[None]:
    """The effects of a second placement have the tokens of the first: what was undone is held to be done already."""
    right = course._announce

    def announce(draft: Draft, number: int, direction: str, commands: tuple[AnyCommand, ...]) -> None:
        right(draft, number, direction, commands)
        if draft.operation.attempt > 1:
            fired()
        draft.effects = tuple(Effect(token=_first(each.token), command=each.command) for each in draft.effects)

    def _first(token: str) -> str:
        operation_id, _, rest = token.split("/", 2)
        return f"{operation_id}/1/{rest}"

    with swapped(course, _announce=announce):
        yield


@exhibit(
    bug="a start is accepted in any state",
    source="cloudstack PR 5165",
    promises=("defect", "model"),
)
def start_in_any_state(fired: Fired) -> Iterator[None]:
    """Nobody asks whether a VM that is to be started is Stopped; the transition table does, when it is too late."""

    def fits(vm: Vm, kind: str) -> str | None:
        reason = unfit(vm, kind)
        if kind == "start" and reason:
            fired()
            return None
        return reason

    with everywhere(unfit, fits):
        yield


@exhibit(
    bug="a failed operation is tried again at once, elsewhere, before its effects are undone",
    source="cloudstack 4517, 2736",
    promises=("world", "defect"),
)
def replan_without_undo(fired: Fired) -> Iterator[None]:
    """When a host refuses, another is planned; what was made on the first is not taken back."""
    right = course.backward

    def back(draft: Draft, number: int, *, vouched: bool = False) -> None:
        again = draft.operation.then == course.REPLAN
        if again:
            fired()
        right(draft, number, vouched=vouched or again)

    with everywhere(course.backward, back):
        yield
