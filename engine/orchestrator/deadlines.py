"""When an operation is overdue: the earliest deadline among the transitional states it is responsible for."""

from __future__ import annotations

from interlock.engine.core.backoff import SECOND
from interlock.engine.core.decision import Decision
from interlock.engine.store.store import Case
from interlock.schema.machines import MACHINES
from interlock.schema.records import MACHINE_OF, Entity


def deadline(case: Decision | Case) -> tuple[int, str] | None:
    """When (µs since 1970), and what is overdue then; None if nothing is transitional.

    Counted from when the operation entered its own present state, where that is later: what is undone because it was
    overdue, or tried again by a person after days of being Stuck, has the same time again.
    """
    operation = case.operation
    assert operation is not None
    found = []
    entities: list[Entity] = [operation, *case.nics, *case.volumes]
    if case.vm is not None:
        entities.append(case.vm)
    for entity in entities:
        machine = MACHINES[MACHINE_OF[type(entity)]]
        state = machine.states[entity.state]
        if state.within is not None:
            since = max(entity.since, operation.since)
            what = f"{machine.name} {entity.id} has been {entity.state} for {state.within} s"
            found.append((since + state.within * SECOND, what))
    return min(found, default=None)
