"""A state machine as a JSON document, for programs: a published contract.

`format` is the version of this document's shape and rises when a field changes its meaning or goes away;
new fields may come without. `table_version` is that of our transition tables, null for the machines of others. The
order is that of the tables.
"""

from __future__ import annotations

import json
from typing import Any

from interlock.schema.interlocks import INTERLOCKS, Holds, HoldsNo, Need, Related
from interlock.schema.machine import Machine, State
from interlock.schema.machines import MACHINES, TABLE_VERSION

FORMAT = 1


def as_json(machine: Machine) -> str:
    """The document as text, always the same for the same tables."""
    return json.dumps(document(machine), indent=2, ensure_ascii=False) + "\n"


def document(machine: Machine) -> dict[str, Any]:
    """The document as plain values."""
    return {
        "format": FORMAT,
        "machine": machine.name,
        "table_version": TABLE_VERSION if machine.name in MACHINES else None,
        "initial": machine.initial,
        "states": [_state(state) for state in machine.states.values()],
        "transitions": [
            {"source": move.source, "event": move.event, "destination": move.destination} for move in machine.moves
        ],
        "interlocks": [
            {"state": row.state, "needs": [_need(need) for need in row.needs]}
            for row in INTERLOCKS
            if row.machine == machine.name
        ],
    }


def _state(state: State) -> dict[str, Any]:
    return {
        "name": state.name,
        "class": state.stability.value,
        "deadline_seconds": state.within,
        "overdue": state.overdue.value if state.overdue else None,
    }


def _need(need: Need) -> dict[str, Any]:
    match need:
        case Related(machine, states):
            return {"kind": "related", "machine": machine, "states": list(states)}
        case Holds(column):
            return {"kind": "holds", "column": column}
        case HoldsNo(column):
            return {"kind": "holds_no", "column": column}
