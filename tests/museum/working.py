"""Room four: who drives an operation. Recovery that strands, workers that do not let go, results of somebody else.

The patches go into the fuzzer's mirror of the shell (`interlock/testing/fuzz/worker.py`, `universe.py`): that is what
a fuzz run drives. What they leave out is what `orchestrator/drive.py` and `recovery.py` do in production.
"""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Event, Overdue
from interlock.engine.store.memory import Case
from interlock.engine.store.verdict import Committed, Verdict
from interlock.schema.commands import AnyCommand, Outcome
from interlock.testing.fuzz.hypervisor import MemoryHypervisor
from interlock.testing.fuzz.universe import Universe
from interlock.testing.fuzz.worker import Drive, Worker
from tests.museum.exhibit import Fired, exhibit
from tests.museum.planting import swapped


@exhibit(
    bug="the recoverer's error is swallowed: its work is stranded for ever",
    source="dbos-transact-py 716; procrastinate 1408",
    promises=("liveness",),
)
def recovery_strands(fired: Fired) -> Iterator[None]:
    """Recovery looks for operations that run; one that was being undone when its worker died is left where it is."""
    right = Universe.is_abandoned

    def is_abandoned(self: Universe, operation_id: str, by: str) -> bool:
        abandoned = right(self, operation_id, by)
        if abandoned and self.store.records["operation"][operation_id].state == "Undoing":
            fired()
            return False
        return abandoned

    with swapped(Universe, is_abandoned=is_abandoned):
        yield


@exhibit(
    bug="what is overdue is never noticed",
    source="cloudstack 10961, 12920, 5999",
    promises=("liveness",),
)
def overdue_never_fires(fired: Fired) -> Iterator[None]:
    """No deadline ever passes: an effect that never answers is waited for as long as the process lives."""
    right = Worker.next_event

    def next_event(self: Worker, drive: Drive, at: int) -> Event | None:
        event = right(self, drive, at)
        if not isinstance(event, Overdue):
            return event
        fired()
        if not drive.wishes:
            return None
        drive.wishes.pop(0)
        return next_event(self, drive, at)

    with swapped(Worker, next_event=next_event):
        yield


@exhibit(
    bug="a stale list of work executes what no longer belongs to it",
    source="dbos-transact-py 742",
    promises=("defect", "world", "half-way", "model", "liveness"),
)
def overtaken_goes_on(fired: Fired) -> Iterator[None]:
    """A worker that was overtaken reads the record again, and goes on with what it had been doing."""
    right = Worker._look_again

    def look_again(self: Worker, drive: Drive, fresh: Case) -> None:
        operation = fresh.operation
        if drive.claimed and operation is not None and operation.worker_id not in (None, self.name):
            fired()
            drive.case = fresh
        else:
            right(self, drive, fresh)

    with swapped(Worker, _look_again=look_again):
        yield


@exhibit(
    bug="a worker re-claims what was just put back",
    source="dbos-transact-py 804",
    promises=("liveness",),
)
def overtaken_claims_back(fired: Fired) -> Iterator[None]:
    """A worker that was overtaken takes the operation from the one that overtook it, who does the same."""
    right = Worker._look_again

    def look_again(self: Worker, drive: Drive, fresh: Case) -> None:
        right(self, drive, fresh)
        if drive.operation_id not in self.drives and drive.operation_id in self._store.driven:
            fired()
            self.claim(drive.operation_id)

    with swapped(Worker, _look_again=look_again):
        yield


@exhibit(
    bug="results are matched by position: a step consumes another's",
    source="aws-durable-execution-sdk-python 692",
    promises=("world", "leak", "data", "defect"),
)
def result_of_another(fired: Fired) -> Iterator[None]:
    """The outcomes of the step before are taken for those of the step that was just announced."""
    right = Worker._written

    def written(self: Worker, drive: Drive, event: Event, decision: Decision, fence: int) -> None:
        before = drive.outcomes
        right(self, drive, event, decision, fence)
        if any(before) and decision.effects:
            fired()
            drive.outcomes[: len(before)] = before[: len(drive.outcomes)]

    with swapped(Worker, _written=written):
        yield


@exhibit(
    bug="a write that failed is logged, and the machine goes on",
    source="superfly/fsm interceptor.go",
    promises=("world", "leak", "half-way"),
)
def lost_write_goes_on(fired: Fired) -> Iterator[None]:
    """A commit that lost a race is taken for one that won: its effects begin, and no row announces them."""
    right = Worker._settled

    def settled(self: Worker, decision: Decision) -> Verdict:
        verdict = right(self, decision)
        if not isinstance(verdict, Committed) and decision.effects:
            fired()
            return Committed(self._store.head + 1)
        return verdict

    with swapped(Worker, _settled=settled):
        yield


@exhibit(
    bug="nothing fences the effects of a worker that was overtaken",
    source="cloudstack 2890, PR 2472, PR 2722",
    promises=("world", "leak", "one guest"),
)
def fence_constant(fired: Fired) -> Iterator[None]:
    """All effects have the same fence: one that was given up long ago happens when it arrives, after its undo."""
    right = MemoryHypervisor.perform
    highest: WeakKeyDictionary[MemoryHypervisor, dict[str, int]] = WeakKeyDictionary()

    def perform(self: MemoryHypervisor, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        seen = highest.setdefault(self, {})
        if fence < seen.get(command.subject, 0):
            fired()
        seen[command.subject] = max(fence, seen.get(command.subject, 0))
        return right(self, command, token=token, fence=1)

    with swapped(MemoryHypervisor, perform=perform):
        yield
