"""One worker of the fuzzer: what the orchestrator does for its operations, cut into single steps that a schedule calls.

It mirrors `orchestrator/drive.py` and `commits.py` without tasks: an operation is thought about (`think`: decide on
what this worker knows), written (`write`: commit, or lose the race and look again), performed (its messages wait in
the network), and told the outcomes. Between any two of these anything may happen: another worker, a crash, a lie.

Promises: all that a worker knows is lost with it; nothing here is durable. A worker that was overtaken finds out at
its next write, as in production, and lets go. Real tasks and real databases are fuzzed elsewhere (tests/killing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from interlock.engine.core.backoff import SECOND
from interlock.engine.core.deadlines import Deadline, deadline
from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision, Effect
from interlock.engine.core.events import (
    Broken,
    CancelRequested,
    Claimed,
    Event,
    Overdue,
    Requested,
    Resolved,
    Settled,
    Woken,
)
from interlock.engine.core.snapshot import Rules, Snapshot
from interlock.engine.orchestrator.addresses import AddressBook
from interlock.engine.orchestrator.books import AddressesNeeded
from interlock.engine.orchestrator.inventory import GroupsNeeded, Inventory
from interlock.engine.orchestrator.recording import Recording
from interlock.engine.store.memory import TERMINAL, Case, MemoryStore
from interlock.engine.store.verdict import Committed, Lost, Verdict, Why
from interlock.schema.commands import Outcome
from interlock.schema.errors import InvalidRequest, NoRoom
from interlock.schema.machine import Overdue as Rule
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.requests import Request, subject_of
from interlock.testing.fuzz.events import Fate
from interlock.testing.fuzz.violation import Violation

ACTOR = "fuzz"
LEASE = 30 * SECOND
"""As the orchestrator's, in µs."""
RACES = 100
"""As the orchestrator's: what it gives up after is a defect here."""


NEVER = 1 << 62
"""A time that does not come."""
NOT_DUE = Deadline(at=NEVER, what="", machine="", state="", rule=Rule.UNWIND)
STALE = Lost(Why.ROOM, "others have changed what this refusal was decided on")
Wish = CancelRequested | Broken | Overdue


@dataclass(slots=True)
class Drive:
    """An operation in a worker's hands."""

    case: Case
    claimed: bool = False
    decision: Decision | None = None
    """The last one that was written."""
    due: Deadline = NOT_DUE
    """When that is overdue."""
    fence: int = 0
    outcomes: list[Outcome | None] = field(default_factory=list)
    """Of the effects of `decision`, as far as they have answered."""
    wishes: list[Wish] = field(default_factory=list)
    thought: tuple[Event, Decision] | None = None
    """Decided, and not written yet."""

    @property
    def waits_for_effects(self) -> bool:
        """Whether effects that were announced have not been told to the core."""
        return bool(self.outcomes)

    @property
    def operation_id(self) -> str:
        """Whose it is."""
        assert self.case.operation is not None
        return self.case.operation.id


class Known(Inventory):
    """What a worker knows of the cloud. Address books are read the moment they are asked for: nothing is waited for
    here, so nothing need be decided again once they are there."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        super().__init__({name: list(rows.values()) for name, rows in store.places.items()})

    def addresses(self, network_id: str) -> AddressBook:
        """See `Cloud`."""
        try:
            return super().addresses(network_id)
        except AddressesNeeded:
            self.open_book(network_id, self._store.addresses(network_id))
            return super().addresses(network_id)


class Worker:
    """A process that drives operations.

    Args:
        name: its id.
        store: the tables that it shares with others.
        rules: policy and plug-ins.
        announce: told each effect that is to be performed now: its drive, its number, itself, its fence.
        records: whether decisions say what they saw, to be decided again. That depends on what was refused as well,
            so the journal of a run is then that of all its events, also of those that came to nothing.
    """

    def __init__(
        self,
        name: str,
        store: MemoryStore,
        rules: Rules,
        announce: Callable[[Worker, Drive, int, Effect, int], None],
        *,
        records: bool = False,
    ) -> None:
        self.name = name
        self.paused = False
        self.lease_until = 0
        self.drives: dict[str, Drive] = {}
        self.asked: dict[int, tuple[Requested, Decision]] = {}
        """Requests that are decided and not written yet, by number."""
        self._store, self._rules, self._announce = store, rules, announce
        self._inventory = Known(store)
        self._recording = Recording(rules) if records else None
        self._head = -1

    # --- requests

    def ask(self, number: int, request: Request, ids: tuple[str, ...], at: int) -> None:
        """Admit a request; it is written by `submit`.

        Raises:
            InvalidRequest: it is refused.
        """
        vm_id, volume_id = subject_of(request)
        case = self._store.subject(vm_id, volume_id) if vm_id or volume_id else None
        event = Requested(at=at, request=request, actor=ACTOR, ids=ids, worker_id=self.name)
        decision = self._admitted(case, event)
        self._inventory.hold(decision)
        self.asked[number] = event, decision

    def submit(self, number: int) -> Decision | None:
        """Write a request, and begin to drive it; None if another was quicker, or it is refused after all.

        A race that was lost is decided again, as in production; unless what it wants is promised by a decision that
        is not written yet, which in production it would be meanwhile.
        """
        event, decision = self.asked.pop(number)
        for _ in range(RACES):
            verdict = self._settled(decision)
            if isinstance(verdict, Committed):
                self._begin(decision)
                return decision
            self._reload()
            promised = self.asked or any(drive.thought for drive in self.drives.values())
            if verdict.why in (Why.NAME, Why.MAC, Why.BUSY) or promised:
                return None
            operation = decision.operation
            named = subject_of(event.request) != (None, None)
            case = self._store.subject(operation.vm_id, operation.volume_id) if named else None
            try:
                decision = self._admitted(case, event)
            except InvalidRequest:
                return None
            self._inventory.hold(decision)
        raise RuntimeError(f"a request lost {RACES} races in a row")

    def _admitted(self, case: Case | None, event: Requested) -> Decision:
        try:
            return self._decided(case, event)
        except NoRoom:
            self._reload()
            return self._decided(case, event)

    def _begin(self, decision: Decision) -> None:
        made = any(change.before is None and change.machine in ("vm", "volume") for change in decision.changes)
        operation = decision.operation
        if operation.id in self._store.driven:
            case = after(decision) if made else self._store.case(operation.id)
            self.drives[operation.id] = Drive(case)

    # --- driving

    def claim(self, operation_id: str) -> None:
        """Take an operation that no living worker has."""
        self.drives.setdefault(operation_id, Drive(self._store.case(operation_id)))

    def next_event(self, drive: Drive, at: int) -> Event | None:
        """What the operation wants to be told now; None: it waits."""
        if not drive.claimed:
            return Claimed(at=at, worker_id=self.name)
        if drive.wishes:
            return drive.wishes[0]
        decision, due = drive.decision, drive.due
        assert decision is not None
        if decision.effects:
            if None not in drive.outcomes:
                return Settled(at=at, outcomes=tuple(each for each in drive.outcomes if each is not None))
        elif decision.wake_at is not None and decision.wake_at <= at and decision.wake_at <= due.at:
            return Woken(at=at)
        return Overdue(at=at, what=due.what, rule=due.rule) if due.at <= at else None

    def wakes_at(self, drive: Drive) -> int:
        """When it wants to be told something, if nothing happens before."""
        if drive.decision is None:
            return 0
        wake_at = None if drive.decision.effects else drive.decision.wake_at
        return drive.due.at if wake_at is None else min(wake_at, drive.due.at)

    def think(self, operation_id: str, at: int) -> bool:
        """Decide what follows for an operation; False if it waits."""
        drive = self.drives[operation_id]
        event = self.next_event(drive, at) if drive.thought is None else None
        if event is None:
            return False
        decision = self._considered(drive, event)
        if decision is not None:
            self._inventory.hold(decision)
            drive.thought = event, decision
        return True

    def _considered(self, drive: Drive, event: Event) -> Decision | None:
        """The decision; None if a wish was refused, which changes nothing.

        Raises:
            Violation: our own code failed. In production the operation would be Stuck, with the defect as its reason.
        """
        try:
            return self._decided(drive.case, event)
        except Exception as error:
            if isinstance(error, InvalidRequest) and drive.wishes and event is drive.wishes[0]:
                drive.wishes.pop(0)
                return None
            raise Violation("defect", f"operation {drive.operation_id}, told {event}: {error!r}") from error

    def write(self, operation_id: str, fate: Fate | None = None) -> Decision | None:
        """Commit what was decided; the decision, once it is known to be written.

        One that lost a race decides again at its next `think`; one that was overtaken lets go.
        """
        drive = self.drives[operation_id]
        if drive.thought is None:
            return None
        event, decision = drive.thought
        if fate in (Fate.FAILED, Fate.UNHEARD, Fate.LATE):
            if fate is not Fate.FAILED:
                self._store.commit(decision)
            return None  # it is still thought, and tried again
        drive.thought = None
        verdict = self._settled(decision) if fate is not Fate.REFUSED else self._dropped(decision)
        if fate is Fate.TWICE and isinstance(verdict, Committed):
            assert isinstance(self._store.commit(decision), Lost), "a commit that came twice was taken twice"
        if isinstance(verdict, Committed):
            self._written(drive, event, decision, verdict.first_seq)
            return decision
        if verdict.why is Why.ROOM:
            self._reload()
        fresh = self._store.case(operation_id)
        if fresh.operation is not None and fresh.operation.hash == decision.operation.hash:
            # The connection broke after our own commit.
            self._written(drive, event, decision, self._store.head)
            return decision
        self._look_again(drive, fresh)
        return None

    def _dropped(self, decision: Decision) -> Lost:
        self._inventory.drop(decision)
        return Lost(Why.STALE, "on order")

    def _written(self, drive: Drive, event: Event, decision: Decision, fence: int) -> None:
        missed = None if drive.claimed else deadline_of(drive.case)
        drive.case, drive.claimed = after(decision), True
        if drive.wishes and event is drive.wishes[0]:
            drive.wishes.pop(0)
        if decision.outcome is not None:
            del self.drives[drive.operation_id]
        elif isinstance(event, CancelRequested) and drive.waits_for_effects:
            pass  # it is noted; what is under way answers first
        else:
            drive.decision, drive.fence, drive.outcomes = decision, fence, [None] * len(decision.effects)
            drive.due = deadline_of(decision)
            if missed is not None and missed.at <= event.at:
                drive.wishes.insert(0, Overdue(at=event.at, what=missed.what, rule=missed.rule))
                return
            for index, effect in enumerate(decision.effects):
                self._announce(self, drive, index, effect, fence)

    def _look_again(self, drive: Drive, fresh: Case) -> None:
        before, operation = drive.case.operation, fresh.operation
        assert operation is not None and before is not None
        over = MACHINES["operation"].states[operation.state].stability is Stability.TERMINAL
        taken = operation.worker_id != self.name if drive.claimed else operation.version != before.version
        if over or taken:
            del self.drives[drive.operation_id]
        else:
            drive.case = fresh

    def hear(self, operation_id: str, index: int, outcome: Outcome) -> None:
        """An effect has answered."""
        drive = self.drives[operation_id]
        drive.outcomes[index] = outcome

    def wish(self, operation_id: str, wish: Wish) -> None:
        """Somebody asks something of an operation under way."""
        self.drives[operation_id].wishes.append(wish)

    def resolve(self, operation_id: str, wish: Resolved) -> Decision | None:
        """Take a way out of Stuck; None if it was refused."""
        try:
            decision = self._decided(self._store.case(operation_id), wish)
        except InvalidRequest:
            return None
        if isinstance(self._committed(decision), Lost):
            return None
        if decision.outcome is None:
            self.drives[operation_id] = Drive(after(decision))
        return decision

    # --- deciding and writing, as commits.py does

    def _decided(self, case: Case | None, event: Event) -> Decision:
        if self._head != self._store.head:
            self._reload()
        while True:
            try:
                return decide(self._snapshot(case), event, self._rules)
            except GroupsNeeded as needed:
                known = self._store.places["security_group"]
                self._inventory.put(known[each] for each in needed.group_ids)

    def _committed(self, decision: Decision) -> Verdict:
        self._inventory.hold(decision)
        return self._settled(decision)

    def _settled(self, decision: Decision) -> Verdict:
        stale = self._head != self._store.head
        verdict = self._store.commit(decision) if not (stale and decision.if_fresh) else STALE
        if isinstance(verdict, Committed):
            self._inventory.settle(decision)
            if self._recording is not None:
                self._recording.written(decision)
            # What others wrote meanwhile is not known here: it is read before the next decision.
            self._head = self._head if stale else self._store.head
        else:
            self._inventory.drop(decision)
        return verdict

    def _snapshot(self, case: Case | None) -> Snapshot:
        cloud = self._inventory
        sight = self._recording.sight(cloud.moment) if self._recording is not None else None
        if case is None:
            return Snapshot(cloud=cloud, sight=sight)
        operation, vm, nics, volumes = case
        return Snapshot(cloud=cloud, sight=sight, operation=operation, vm=vm, nics=nics, volumes=volumes)

    def _reload(self) -> None:
        self._inventory.reload(self._store.usage(), self._store.tenants(), [(self._store.head,)])
        self._inventory.put(self._store.places["security_group"].values())
        self._head = self._store.head


def after(decision: Decision) -> Case:
    """The case as the decision leaves it."""
    nics = tuple(nic for nic in decision.nics if nic.state not in TERMINAL["nic"])
    volumes = tuple(volume for volume in decision.volumes if volume.state not in TERMINAL["volume"])
    return Case(decision.operation, decision.vm, nics, volumes)


def deadline_of(case: Any) -> Deadline:
    """When it is overdue, what, and what is to follow."""
    return deadline(case.operation, case.vm, case.nics, case.volumes) or NOT_DUE
