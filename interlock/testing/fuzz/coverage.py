"""What runs have reached: (transition × fault × crash point), as cells.

A transition is a row of a machine's table. A cell is reached when the row is written by an operation that the fault
befell, at any time before its end: `none` for one that nothing befell. The crash point is what the worker was about to
do when it was killed or overtaken: nothing (`-`), to write (`before`), or to wait for what it wrote (`after`).
"""

from __future__ import annotations

from collections import Counter

from interlock.engine.core.decision import Decision
from interlock.schema.machines import MACHINES
from interlock.testing.fuzz.network import Fault

NONE, BEFORE, AFTER = "-", "before", "after"
CRASHES = (NONE, BEFORE, AFTER)
FAULTS_AND_NONE = ("none", *Fault)
Row = tuple[str, str, str]
"""Machine, source, event."""
Cell = tuple[Row, str, str]


class Coverage:
    """Cells, and how often each was reached; runs are added up."""

    def __init__(self) -> None:
        self.cells: Counter[Cell] = Counter()
        self._open: dict[str, _Operation] = {}

    def wrote(self, decision: Decision, *, first: bool = False) -> None:
        """A decision was committed."""
        operation = self._open.setdefault(decision.operation.id, _Operation())
        for change in decision.changes:
            if change.before is not None:
                operation.rows.add((change.machine, change.entry.source, change.entry.event))
        operation.point = AFTER
        if decision.outcome is not None:
            self._close(decision.operation.id)

    def writing(self, decision: Decision, worker: str) -> None:
        """A decision is about to be."""

    def lost(self, operation_id: str) -> None:
        """It lost a race."""

    def fired(self, operation_id: str, fault: Fault) -> None:
        """A fault befell one of its messages."""
        self._open.setdefault(operation_id, _Operation()).faults.add(fault)

    def crashed(self, operation_id: str, *, thinking: bool = False) -> None:
        """Its worker was killed."""
        self._open.setdefault(operation_id, _Operation()).crashes.add(BEFORE if thinking else AFTER)

    def _close(self, operation_id: str) -> None:
        operation = self._open.pop(operation_id)
        for row in operation.rows:
            for fault in operation.faults or {"none"}:
                for crash in operation.crashes or {NONE}:
                    self.cells[row, fault, crash] += 1

    def add(self, other: Coverage) -> None:
        """Add up the cells of another run."""
        self.cells.update(other.cells)


class _Operation:
    def __init__(self) -> None:
        self.rows: set[Row] = set()
        self.faults: set[str] = set()
        self.crashes: set[str] = set()
        self.point = NONE


ROWS: tuple[Row, ...] = tuple(
    (machine.name, move.source, move.event) for machine in MACHINES.values() for move in machine.moves
)
