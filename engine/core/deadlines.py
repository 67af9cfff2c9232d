"""When an operation is overdue, and what then: the earliest deadline among the transitional states it answers for.

Each transitional state says in its machine's table how long it may last and what follows (`unwind` or `stick`). It is
the state that passes its deadline whose rule is taken, not another's. An operation that is being undone already cannot
be unwound any more: whatever the rule, it becomes Stuck.

Counted from when the operation entered its own present state, where that is later: what is undone because it was
overdue, or tried again by a person after days of being Stuck, has the same time again.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from interlock.engine.core.backoff import SECOND
from interlock.schema.machine import Overdue
from interlock.schema.machines import MACHINES
from interlock.schema.records import MACHINE_OF, Entity, Nic, Operation, Vm, Volume


class Deadline(msgspec.Struct, frozen=True, kw_only=True, order=True, gc=False):
    """A state that must be left in time."""

    at: int
    """µs since 1970."""
    what: str
    """Which entity has been in which state for how long, in words."""
    machine: str
    state: str
    rule: Overdue


def deadline(operation: Operation, vm: Vm | None, nics: Iterable[Nic], volumes: Iterable[Volume]) -> Deadline | None:
    """The earliest; None if nothing is transitional. Of two at one moment, the one that wants to stick is taken."""
    due = _dues(operation, vm, nics, volumes)
    first = min([at for at, _ in due], default=None)
    if first is None:
        return None
    found = [_of(entity, operation, at) for at, entity in due if at == first]
    return min(found, key=lambda each: (each.rule is not Overdue.STICK, each.what))


def due_at(operation: Operation, vm: Vm | None, nics: Iterable[Nic], volumes: Iterable[Volume]) -> int | None:
    """When that is, in µs since 1970: most operations are never overdue, and need no words for it."""
    return min([at for at, _ in _dues(operation, vm, nics, volumes)], default=None)


def _dues(
    operation: Operation, vm: Vm | None, nics: Iterable[Nic], volumes: Iterable[Volume]
) -> list[tuple[int, Entity]]:
    """Those that are in a transitional state, each with when that must be left."""
    entities: list[Entity] = [operation, *nics, *volumes, *([vm] if vm is not None else [])]
    return [(at, each) for each in entities if (at := _due(each, operation)) is not None]


def _due(entity: Entity, operation: Operation) -> int | None:
    state = _STATES[type(entity)][entity.state]
    return None if state.within is None else max(entity.since, operation.since) + state.within * SECOND


def _of(entity: Entity, operation: Operation, at: int) -> Deadline:
    state = _STATES[type(entity)][entity.state]
    assert state.overdue is not None  # a machine that says when, says what then
    rule = Overdue.STICK if operation.state == "Undoing" else state.overdue
    machine = MACHINE_OF[type(entity)]
    what = f"{machine} {entity.id} has been {entity.state} for {state.within} s"
    return Deadline(at=at, what=what, machine=machine, state=entity.state, rule=rule)


_STATES = {kind: MACHINES[name].states for kind, name in MACHINE_OF.items()}
