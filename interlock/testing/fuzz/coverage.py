"""What runs have reached: (transition × what went wrong × crash point), as cells.

A transition is a row of a machine's table. A cell is reached when the row is written by an operation that the fault
befell at any time before its end, in its messages (`Fault`) or its commits (`Fate`); `none`: nothing befell it. Its
crash point is where its worker was killed: with a decision in hand (`deciding`), or with effects under way (`waiting`).

Which cells are possible is a table, too: rows that nothing writes yet (`UNWRITTEN`), and rows of operations that ask
nothing of a hypervisor (`ON_PAPER`), which no fault of a message can befall. All others are possible, since a crash
can have any answer forgotten. A run that reaches a cell called impossible fails: the tables are then wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from interlock.engine.core.decision import Decision, End
from interlock.schema.machines import MACHINES
from interlock.testing.fuzz.events import Fate
from interlock.testing.fuzz.network import Fault

Row = tuple[str, str, str]
"""Machine, source, event."""
Cell = tuple[Row, str, str]
NONE = "none"
WRONGS: tuple[str, ...] = (*Fault, *Fate)
DECIDING, WAITING = "deciding", "waiting"
CRASHES = (NONE, DECIDING, WAITING)


def _rows(text: str) -> frozenset[Row]:
    """Rows written as `machine source event event …`, a line each."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return frozenset((line[0], line[1], event) for line in lines if line for event in line[2:])


UNWRITTEN = _rows("""
    vm         Stopped             StopRequested AgentReportStopped OperationFailed AgentReportShutdowned
    vm         Stopped             StorageMigrationRequested FollowAgentPowerOnReport FollowAgentPowerOffReport
    vm         Starting            AgentReportRunning AgentReportStopped AgentReportShutdowned
    vm         Starting            FollowAgentPowerOnReport FollowAgentPowerOffReport
    vm         Running             OperationSucceeded AgentReportRunning AgentReportStopped AgentReportShutdowned
    vm         Running             FollowAgentPowerOnReport
    vm         Stopping            StopRequested AgentReportRunning AgentReportStopped AgentReportShutdowned
    vm         Stopping            FollowAgentPowerOnReport FollowAgentPowerOffReport
    vm         Migrating           AgentReportRunning AgentReportStopped AgentReportShutdowned
    vm         Migrating           FollowAgentPowerOnReport FollowAgentPowerOffReport
    vm         Destroyed           RestoringRequested
    vm         Expunging           ExpungeOperation
    vm         Error               DestroyRequested
    nic        Reserving           OperationFailed CancelRequested
    nic        Deallocating        OperationFailed
    volume     Allocated           UploadRequested
    volume     Creating            OperationRetry OperationFailed
    volume     Ready               SnapshotRequested RevertSnapshotRequested MigrationRequested RestoreRequested
    volume     Snapshotting        OperationSucceeded OperationFailed
    volume     RevertSnapshotting  OperationSucceeded OperationFailed
    volume     Migrating           OperationSucceeded OperationFailed
    volume     Restoring           RestoreSucceeded RestoreFailed
    volume     Destroy             RestoreRequested
    volume     Expunging           ExpungingRequested
    volume     NotUploaded         UploadRequested OperationSucceeded OperationFailed OperationTimeout
    volume     UploadInProgress    OperationSucceeded OperationFailed OperationTimeout
    volume     Uploaded            CopyRequested DestroyRequested
    volume     Copying             OperationSucceeded OperationFailed
    volume     UploadError         DestroyRequested
    volume     UploadAbandoned     DestroyRequested
    operation  Queued              CancelRequested   # a drive claims before it hears
    operation  Queued              OperationStuck    # a kind of another release: tests/test_versions.py
""")
"""CloudStack's rows are there for its logs to be read; until an operation of ours writes them no run can."""
ON_PAPER = _rows("""
    vm         Allocated           DestroyRequested OperationFailedToError
    vm         Allocated           ScaleRequested AssignRequested NicChangeRequested
    vm         Stopped             ScaleRequested AssignRequested NicChangeRequested
    vm         Destroyed           RecoveryRequested
    nic        Allocated           DefaultChanged
    nic        Reserved            DefaultChanged
    volume     Allocated           ResizeRequested DetachRequested AssignRequested
    volume     Ready               AssignRequested
    operation  Queued              OperationFailed
""")
"""Rows of operations without effects, or of their beginnings."""
ROWS: tuple[Row, ...] = tuple(
    row
    for machine in MACHINES.values()
    for move in machine.moves
    if (row := (machine.name, move.source, move.event)) not in UNWRITTEN
)
POSSIBLE = (
    *((row, str(fault)) for row in ROWS if row not in ON_PAPER for fault in Fault),
    *((row, str(fate)) for row in ROWS for fate in Fate),
)
"""The cells that a run should reach, whatever the crash point."""


class _Life:
    """What an operation has written and suffered so far."""

    def __init__(self) -> None:
        self.rows: set[Row] = set()
        self.wrongs: set[str] = set()
        self.crashes: set[str] = set()


class Coverage:
    """Cells, and how often each was reached; runs are added up."""

    def __init__(self) -> None:
        self.cells: Counter[Cell] = Counter()
        self._lives: dict[str, _Life] = {}

    def wrote(self, decision: Decision) -> None:
        """A decision was committed."""
        life = self._life(decision.operation.id)
        for change in decision.changes:
            if change.before is not None:
                life.rows.add((change.machine, change.entry.source, change.entry.event))
        if decision.outcome is not None and decision.outcome is not End.STUCK:
            self._count(self._lives.pop(decision.operation.id))

    def has_befallen(self, operation_id: str, wrong: str) -> bool:
        """Whether it has gone wrong with it already."""
        life = self._lives.get(operation_id)
        return life is not None and wrong in life.wrongs

    def befell(self, operation_id: str, wrong: str) -> None:
        """Something went wrong with one of its messages or commits."""
        self._life(operation_id).wrongs.add(wrong)

    def crashed(self, operation_id: str, *, deciding: bool) -> None:
        """Its worker was killed."""
        self._life(operation_id).crashes.add(DECIDING if deciding else WAITING)

    def end(self) -> None:
        """A run is over: its operations have nothing to do with those of the next, though ids are the same."""
        self._lives.clear()

    def _life(self, operation_id: str) -> _Life:
        life = self._lives.get(operation_id)
        if life is None:
            life = self._lives[operation_id] = _Life()
        return life

    def _count(self, life: _Life) -> None:
        for row in life.rows:
            for wrong in life.wrongs or {NONE}:
                for crash in life.crashes or {NONE}:
                    self.cells[row, wrong, crash] += 1

    def add(self, cells: Iterable[tuple[Cell, int]]) -> None:
        """Add up the cells of another run."""
        for cell, count in cells:
            self.cells[cell] += count

    # --- what it says

    @property
    def reached(self) -> set[tuple[Row, str]]:
        """The cells that were reached, whatever the crash point."""
        return {(row, wrong) for row, wrong, _ in self.cells if wrong != NONE}

    @property
    def missing(self) -> list[tuple[Row, str]]:
        """The possible cells that were not, in the tables' order."""
        reached = self.reached
        return [cell for cell in POSSIBLE if cell not in reached]

    @property
    def impossible(self) -> list[tuple[Row, str]]:
        """The cells that were reached and are called impossible."""
        return sorted(self.reached - set(POSSIBLE))

    @property
    def share(self) -> float:
        """Of the possible cells, from 0 to 1."""
        return 1 - len(self.missing) / len(POSSIBLE)

    @property
    def share_with_crashes(self) -> float:
        """The same, with each crash point a cell of its own."""
        return sum((*cell, crash) in self.cells for cell in POSSIBLE for crash in CRASHES) / (
            len(POSSIBLE) * len(CRASHES)
        )
