"""How the operations of a database stand, counted: the reads that metrics make when somebody asks for them.

Promises: each read touches what operations under way own, or VMs that are overdue, however many VMs there are: it walks
the partial index of active operations, or the index of VMs by state and time, and goes on by primary key or by VM.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Table, and_, func, literal, or_, select, text

from interlock.engine.core.backoff import SECOND
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.operation import ACTIVE, DRIVEN
from interlock.schema.tables import metadata
from interlock.schema.tables.history import journal
from interlock.schema.tables.records import nic, operation, vm, volume


def active() -> Select[Any]:
    """Operations that have not ended, by state: state, how many."""
    return select(operation.c.state, func.count()).where(_in(ACTIVE)).group_by(operation.c.state)


def overdue(at: int) -> tuple[Select[Any], ...]:
    """Transitional states that should have been left by a time (µs since 1970): machine, state, how many.

    Those of operations that are to be driven, and of what they are about: nothing else is transitional.
    """
    joined = {
        "vm": vm.c.id == operation.c.vm_id,
        "nic": nic.c.vm_id == operation.c.vm_id,
        "volume": or_(volume.c.vm_id == operation.c.vm_id, volume.c.id == operation.c.volume_id),
    }
    mine = select(literal("operation"), operation.c.state, func.count()).where(_in(DRIVEN), _late(operation, at))
    others = (
        select(literal(name), _table(name).c.state, func.count())
        .select_from(operation.join(_table(name), met))
        .where(_in(DRIVEN), _late(_table(name), at))
        .group_by(_table(name).c.state)
        for name, met in joined.items()
    )
    return mine.group_by(operation.c.state), *others


def _late(table: Table, at: int) -> Any:
    """As `core/deadlines.py` counts: from when the entity, or its operation if that is later, entered its state."""
    states = MACHINES[table.name].states.values()
    return or_(
        *(
            and_(table.c.state == state.name, *(since < at - state.within * SECOND for since in _sinces(table)))
            for state in states
            if state.stability is Stability.TRANSITIONAL and state.within is not None
        )
    )


def _sinces(table: Table) -> set[Any]:
    return {table.c.since, operation.c.since}


def _in(states: tuple[str, ...]) -> Any:
    # In the very words of the index, for SQLite to see that it serves.
    return text(f"operation.state IN ({', '.join(repr(state) for state in states)})")


def _table(name: str) -> Table:
    return metadata.tables[name]


def asked_where(operation_id: str) -> Select[Any]:
    """The detail of an operation's first row."""
    return select(journal.c.detail).where(journal.c.entity_id == operation_id, journal.c.version == 1)
