"""decide(snapshot, event) -> decision: the one door of the core.

An operation goes forward step by step. When effects are refused it tries again, plans again elsewhere, or unwinds:

    Queued ─Claimed→ Running ─all Done→ next step … ─→ Succeeded
                       │ transient, unknown: Retrying, same step, same tokens, up to `tries`
                       │ refused by a host or pool: it joins the avoid set, Undoing back to `place`, next attempt
                       └ anything else: Undoing to the beginning ─→ Failed (Cancelled)
    Undoing ─an undo cannot be done→ Stuck, with the ways out in `Way`

Races considered. A cancel while effects are under way is noted in `then` and acted on when they have answered: an
effect is never abandoned half-way. A worker that takes over repeats the announced effects under the same tokens.
A step that was entered is undone even if no effect of it answered. Attempts are part of the token, so the effects
of a second attempt are never mistaken for those of the first.
"""

from __future__ import annotations

from interlock.engine.core.admission.admit import admit, unfit
from interlock.engine.core.backoff import SECOND, wait
from interlock.engine.core.begun import Unknown, carry_on
from interlock.engine.core.course import (
    CANCELLED,
    FAILED,
    REPLAN,
    backward,
    finish_undo,
    forward,
    go_on,
    perform_again,
    present_act,
    steps_of,
    stick,
    turn_back,
)
from interlock.engine.core.decision import Decision
from interlock.engine.core.draft import Draft
from interlock.engine.core.events import (
    Broken,
    CancelRequested,
    Claimed,
    Event,
    Overdue,
    Requested,
    Resolved,
    Settled,
    Way,
    Woken,
)
from interlock.engine.core.laid_down import lay_down
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.program import place_in
from interlock.engine.core.snapshot import Rules, Snapshot
from interlock.schema.commands import (
    AnyCommand,
    AtPool,
    Done,
    MigrateDomain,
    Outcome,
    Refusal,
    Refused,
    Scope,
)
from interlock.schema.errors import InvalidRequest
from interlock.schema.machine import Overdue as Rule
from interlock.schema.records import Avoided

Answers = list[tuple[AnyCommand, Refused]]
"""The refusals among a step's outcomes, each with what was asked."""


def decide(snapshot: Snapshot, event: Event, rules: Rules) -> Decision:
    """What follows from `event` for the entities of `snapshot`.

    Raises:
        InvalidRequest: a request that cannot be accepted; nothing follows from it.
    """
    if isinstance(event, Requested):
        return admit(snapshot, event, rules)
    operation = snapshot.operation
    if operation is None:
        raise ValueError(f"{type(event).__name__} needs an operation")
    draft = Draft(snapshot, event, rules, operation.actor, operation.id)
    _react(draft, event)
    return draft.decision()


def _react(draft: Draft, event: Event) -> None:
    match event:
        case Claimed():
            _claimed(draft, event)
        case Settled():
            _settled(draft, event)
        case Woken():
            _woken(draft)
        case Overdue():
            _overdue(draft, event)
        case CancelRequested():
            _cancel(draft, event)
        case Resolved():
            _resolved(draft, event)
        case Broken():
            stick(draft, f"internal error: {event.error}")


def _claimed(draft: Draft, event: Claimed) -> None:
    try:
        carry_on(draft)
    except Unknown as unknown:
        stick(draft, f"{unknown}; open the database with a release that does", (Way.ACCEPT,))
        return
    operation = draft.operation
    if operation.state == "Queued":
        _begin(draft, event)
    elif operation.wake_at is None:
        perform_again(draft, "Claimed", worker_id=event.worker_id)
    else:
        draft.move(operation, "Claimed", worker_id=event.worker_id)


def _begin(draft: Draft, event: Claimed) -> None:
    """Enter the first step; unless the VM has moved on between the reading of the request and its writing."""
    operation = draft.operation
    if draft.has_vm and not PROGRAMS[operation.kind].allocates and (why := unfit(draft.vm, operation.kind)):
        turn_back(draft, FAILED, why)
    else:
        forward(draft, "Claimed", worker_id=event.worker_id)


def _settled(draft: Draft, event: Settled) -> None:
    # The commands follow from the committed records, so they are the ones that were announced.
    commands = present_act(draft).effects(draft)
    answers = [
        (command, outcome)
        for command, outcome in zip(commands, event.outcomes, strict=True)
        if isinstance(outcome, Refused)
    ]
    draft.outcomes = event.outcomes
    draft.detail["outcomes"] = [_said(outcome) for outcome in event.outcomes]
    if draft.operation.state == "Undoing":
        _undo_settled(draft, answers)
    elif answers:
        _refused(draft, answers)
    else:
        _step_done(draft)


def _step_done(draft: Draft) -> None:
    operation = draft.operation
    if operation.then == CANCELLED:
        # Not settled: every undo copes with effects that happened and were not written down.
        turn_back(draft, CANCELLED, operation.error or "cancelled")
        return
    go_on(draft)


def _refused(draft: Draft, answers: Answers) -> None:
    operation, policy = draft.operation, draft.rules.policy
    if operation.then == CANCELLED:
        turn_back(draft, CANCELLED, operation.error or "cancelled")
        return
    tries = operation.tries + 1
    if not _hopeless(answers) and tries < policy.tries:
        wake_at = draft.at + wait(policy, operation.id, tries)
        draft.move(operation, "OperationRetry", cause=_reason(answers), tries=tries, wake_at=wake_at)
        return
    if present_act(draft).bears:
        go_on(draft)
        return
    placed = place_in(steps_of(draft)) is not None
    again = placed and _may_go_elsewhere(draft, answers) and operation.attempt < policy.placements
    turn_back(draft, REPLAN if again else FAILED, _reason(answers), avoid=_avoid(draft, answers))


def _may_go_elsewhere(draft: Draft, answers: Answers) -> bool:
    """Another place may do: it is not about the VM, nor is it the host that the VM wants to leave which refuses."""
    leaving = draft.vm.host_id if draft.has_vm and draft.vm.target_host_id else None
    return all(
        outcome.scope is not Scope.VM and leaving not in _refusers(draft, command, outcome)
        for command, outcome in answers
    )


def _hopeless(answers: Answers) -> bool:
    return any(outcome.kind is Refusal.PERMANENT for _, outcome in answers)


def _avoid(draft: Draft, answers: Answers) -> tuple[Avoided, ...]:
    until = draft.at + int(draft.rules.policy.avoid_for * SECOND)
    places = {
        (outcome.scope.value, place): outcome.reason
        for command, outcome in answers
        for place in _refusers(draft, command, outcome)
    }
    kept = (entry for entry in draft.operation.avoid if (entry.scope, entry.id) not in places)
    added = (Avoided(scope=scope, id=place, cause=reason, until=until) for (scope, place), reason in places.items())
    return (*kept, *added)


def _refusers(draft: Draft, command: AnyCommand, outcome: Refused) -> tuple[str, ...]:
    """Where not to plan again: the host that refuses, of a migration the one it goes to; or the pool that was asked,
    or if a host says so, all the VM has."""
    if outcome.scope is Scope.VM:
        return ()
    if isinstance(command, MigrateDomain) and outcome.scope is Scope.HOST:
        return (command.to_host,)
    if outcome.scope is Scope.HOST:
        return ((draft.vm.host_id or "") if isinstance(command, AtPool) else command.at,) if draft.has_vm else ()
    if isinstance(command, AtPool):
        return (command.at,)
    return tuple(volume.pool_id for volume in draft.volumes if volume.pool_id)


def _undo_settled(draft: Draft, answers: Answers) -> None:
    operation, policy = draft.operation, draft.rules.policy
    tries, act = operation.tries + 1, present_act(draft)
    over = _hopeless(answers) or tries >= policy.undo_tries
    if not answers or (over and act.bears):
        act.settle(draft)
        backward(draft, operation.step - 1)
    elif over:
        stick(draft, f"its undo was refused: {_reason(answers)}")
    else:
        wake_at = draft.at + wait(policy, operation.id, tries)
        draft.move(operation, "UndoRetry", cause=_reason(answers), tries=tries, wake_at=wake_at)


def _woken(draft: Draft) -> None:
    perform_again(draft, "OperationResumed" if draft.operation.state == "Retrying" else "StepUndone", wake_at=None)


def _overdue(draft: Draft, event: Overdue) -> None:
    if draft.operation.state == "Undoing":
        stick(draft, f"it is overdue while being undone: {event.what}")
    elif event.rule is Rule.STICK:
        stick(draft, f"overdue: {event.what}")
    else:
        turn_back(draft, draft.operation.then or FAILED, f"overdue: {event.what}")


def _cancel(draft: Draft, event: CancelRequested) -> None:
    operation = draft.operation
    if operation.state not in ("Queued", "Running", "Retrying") and operation.then != REPLAN:
        raise InvalidRequest(f"operation {operation.id} is {operation.state}: there is nothing left to cancel")
    _must_have_steps(draft, "")
    cause = f"cancelled by {event.actor}"
    noted = {"cause": cause, "then": CANCELLED, "error": cause, "wake_at": None}
    if operation.state == "Undoing" and operation.wake_at is not None:
        perform_again(draft, "CancelRequested", **noted)
        return
    draft.move(operation, "CancelRequested", **noted)
    if operation.state in ("Queued", "Retrying"):
        backward(draft, operation.step)


def _resolved(draft: Draft, event: Resolved) -> None:
    operation = draft.operation
    if operation.state != "Stuck":
        raise InvalidRequest(f"operation {operation.id} is {operation.state}, not Stuck: there is nothing to resolve")
    cause = f"{event.actor}: {event.reason}"
    try:
        carry_on(draft)
    except Unknown as unknown:
        _vouched(draft, event, cause, unknown)
        return
    if event.way is Way.RETRY:
        _try_again(draft, cause)
        return
    _must_have_steps(draft, "; --retry ends this one")
    _turn_back(draft, "AcceptRequested" if event.way is Way.ACCEPT else "UndoRequested", cause)
    backward(draft, draft.operation.step, vouched=event.way is Way.ACCEPT)


def _must_have_steps(draft: Draft, hint: str) -> None:
    """What is done with its request cannot be undone by its own steps: it has none."""
    operation = draft.operation
    if not steps_of(draft):
        raise InvalidRequest(
            f"operation {operation.id} ({operation.kind}) was done with its request: ask for the reverse{hint}"
        )


def _turn_back(draft: Draft, way: str, cause: str) -> None:
    # Whoever asks for the undo wants an end, not another placement.
    then = CANCELLED if draft.operation.then == CANCELLED else FAILED
    draft.move(draft.operation, way, cause=cause, tries=0, then=then)


def _vouched(draft: Draft, event: Resolved, cause: str, unknown: Unknown) -> None:
    """An operation that this release cannot undo: a person may vouch for what is left of it."""
    if event.way is not Way.ACCEPT:
        raise InvalidRequest(
            f"operation {draft.operation.id} cannot go this way here: {unknown}; open the database with a release that "
            "does, or put the world in order and vouch with --accept"
        )
    _turn_back(draft, "AcceptRequested", cause)
    lay_down(draft)
    finish_undo(draft, -1)


def _try_again(draft: Draft, cause: str) -> None:
    operation = draft.operation
    if operation.then is not None:
        raise InvalidRequest(f"operation {operation.id} was being undone: go on with --undo, or vouch with --accept")
    perform_again(draft, "RetryRequested", cause=cause, tries=0, error=None)


def _said(outcome: Outcome) -> str:
    if isinstance(outcome, Done):
        return f"found {outcome.found}" if outcome.found else "Done"
    return f"{outcome.kind} ({outcome.scope}): {outcome.reason}"


def _reason(answers: Answers) -> str:
    return "; ".join(dict.fromkeys(outcome.reason for _, outcome in answers))
