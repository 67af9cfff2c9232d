"""The core alone, without database, driver or clock: whatever drivers answer and whenever workers change, what holds.

A tiny shell applies decisions to records in memory and lets Hypothesis choose every outcome, a takeover at any
boundary, a cancel at any time. Nothing here shares code with the store or the orchestrator.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock import CloudDescription, DeployVM
from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision, End, seal
from interlock.engine.core.events import (
    CancelRequested,
    Claimed,
    Event,
    Overdue,
    Requested,
    Resolved,
    Settled,
    Way,
    Woken,
    ids_needed,
)
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.snapshot import Policy, Rules, Snapshot
from interlock.engine.orchestrator.inventory import Inventory
from interlock.planners.concentrating import Concentrating
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.gurus.direct import DirectGuru
from interlock.planners.gurus.isolated import IsolatedGuru
from interlock.schema.commands import (
    AnyCommand,
    Capability,
    Done,
    LookForDomain,
    Outcome,
    Refusal,
    Refused,
    Scope,
)
from interlock.schema.errors import InvalidRequest
from interlock.schema.holdings import FREE
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import MACHINE_OF, Entity, Nic, Operation, Vm, Volume
from interlock.schema.reports import Found, Power
from interlock.schema.requests import KINDS, Request, subject_of
from tests.world import cloud

RULES = Rules(
    policy=Policy(placements=3, tries=3, undo_tries=3),
    planners={"first-fit": FirstFit(), "dispersing": Dispersing(), "concentrating": Concentrating()},
    gurus={"direct": DirectGuru(), "isolated": IsolatedGuru()},
    capabilities={"simulator": frozenset(Capability)},
)
SETTLED = {"Allocated", "Running", "Stopped", "Destroyed", "Expunged", "Error", "Unknown"}
"""Where a VM may stand when no operation is active."""


class Shell:
    """Records in memory, and decisions applied to them."""

    def __init__(self, description: CloudDescription) -> None:
        places: dict[str, list[Any]] = {}
        for place in description.places:
            name = {"StoragePool": "storage_pool"}.get(type(place).__name__, type(place).__name__.lower())
            places.setdefault(name, []).append(place)
        self.cloud = Inventory(places)
        self.cloud.open_book("net", [])
        self.records: dict[str, Entity] = {}
        self.journal: list[Any] = []
        self.owned: dict[tuple[str, str], dict[str, int]] = {}
        self.at = 1_000_000
        self.ids = (f"id-{number:05}" for number in range(100_000))

    def snapshot(self, operation_id: str | None, vm_id: str | None) -> Snapshot:
        """What the core is shown."""
        mine = [each for each in self.records.values() if not isinstance(each, Vm | Operation) and each.vm_id == vm_id]
        operation = self.records.get(operation_id or "")
        vm = self.records.get(vm_id or "")
        assert operation is None or isinstance(operation, Operation)
        assert vm is None or isinstance(vm, Vm)
        return Snapshot(
            cloud=self.cloud,
            operation=operation,
            vm=vm,
            nics=tuple(each for each in mine if isinstance(each, Nic) and each.state != "Deallocated"),
            volumes=tuple(each for each in mine if isinstance(each, Volume) and each.state != "Expunged"),
        )

    def decide(self, snapshot: Snapshot, event: Event) -> Decision:
        """Decide twice, hold that both are equal, and commit."""
        decision = decide(snapshot, event, RULES)
        assert decide(snapshot, event, RULES) == decision
        self.cloud.hold(decision)
        self.cloud.settle(decision)
        for change in decision.changes:
            self._apply(change)
        return decision

    def _apply(self, change: Any) -> None:
        known = self.records.get(change.after.id)
        assert known == change.before
        machine = MACHINES[change.machine]
        if known is not None:
            assert machine.table[known.state, change.entry.event] == change.after.state
            assert change.after.version == known.version + 1
            assert change.entry.prev == known.hash
        assert change.after.hash == change.entry.hash == seal(change.entry)
        for movement in change.ledger:
            self._move(movement)
        self.records[change.after.id] = change.after
        self.journal.append(change.entry)

    def _move(self, movement: Any) -> None:
        owners = self.owned.setdefault((movement.thing, movement.where), {})
        if movement.giver == FREE:
            assert movement.taker not in owners, "taken twice"
            owners[movement.taker] = movement.amount
            if movement.thing in ("ip", "mac"):
                assert len(owners) == 1, "an address with two owners"
        else:
            assert owners.pop(movement.giver) == movement.amount, "given back by another, or another amount"

    def request(self, request: Request) -> Decision:
        """Ask for an operation."""
        vm_id, _ = subject_of(request)
        ids = tuple(next(self.ids) for _ in range(ids_needed(request)))
        event = Requested(at=self.at, request=request, actor="test", ids=ids)
        return self.decide(self.snapshot(None, vm_id), event)

    def feed(self, decision: Decision, event: Event) -> Decision:
        """Tell the core what happened."""
        self.at = max(self.at + 1, event.at)
        return self.decide(self.snapshot(decision.operation.id, decision.operation.vm_id), event)

    def holdings(self) -> dict[tuple[str, str], dict[str, int]]:
        """Who owns what, without what is free."""
        return {unit: dict(owners) for unit, owners in self.owned.items() if owners}


outcomes = st.one_of(
    st.just(Done()),
    st.builds(Done, found=st.builds(Found, st.sampled_from(Power), st.sampled_from(["", "migrated", "crashed"]))),
    st.builds(Refused, kind=st.sampled_from(Refusal), scope=st.sampled_from(Scope), reason=st.just("ordered")),
)


def run(shell: Shell, decision: Decision, data: st.DataObject, answers: Any = outcomes) -> Decision:
    """Drive an operation to its end, with chosen outcomes, takeovers and cancels."""
    decision = shell.feed(decision, Claimed(at=shell.at, worker_id="w0"))
    for turn in range(400):
        if decision.outcome is not None:
            return decision
        event = _next_event(shell, decision, data, turn, answers)
        try:
            decision = shell.feed(decision, event)
        except InvalidRequest:
            assert isinstance(event, CancelRequested)
    raise AssertionError("the operation does not end")


def _next_event(shell: Shell, decision: Decision, data: st.DataObject, turn: int, answers: Any) -> Event:
    choice = data.draw(st.sampled_from(["go", "go", "go", "go", "takeover", "cancel", "overdue"]), label="next")
    if choice == "takeover":
        return Claimed(at=shell.at, worker_id=f"w{turn}")
    if choice == "cancel" and not decision.effects:
        return CancelRequested(at=shell.at, actor="somebody")
    if choice == "overdue" and decision.operation.state != "Undoing":
        return Overdue(at=shell.at, what="a state")
    if decision.effects:
        return Settled(at=shell.at, outcomes=tuple(data.draw(answers) for _ in decision.effects))
    assert decision.wake_at is not None
    return Woken(at=decision.wake_at)


def done(decision: Decision) -> Settled:
    """Every driver says Done; asked for a guest, it finds it running."""
    return Settled(at=0, outcomes=tuple(_done(effect.command) for effect in decision.effects))


def _done(command: AnyCommand) -> Done:
    return Done(found=Found(Power.ON)) if isinstance(command, LookForDomain) else Done()


def all_done(shell: Shell, decision: Decision) -> Decision:
    """Drive an operation to its end; every driver says Done."""
    decision = shell.feed(decision, Claimed(at=shell.at, worker_id="w"))
    while decision.outcome is None:
        assert decision.effects
        decision = shell.feed(decision, done(decision))
    assert decision.outcome is End.SUCCEEDED
    return decision


REQUEST = DeployVM(name="web", offering="small", template="t", data_disks_mib=(10,))


def vm_of(shell: Shell) -> Vm:
    """The one VM."""
    return next(each for each in shell.records.values() if isinstance(each, Vm))


def request_of(kind: str, vm: Vm) -> Request:
    """The operation asked of the VM, with what it must be told besides."""
    wishes = {"scale": ("medium" if vm.offering_id == "small" else "small",), "assign": ("eve",)}
    return KINDS[kind](vm.id, *wishes.get(kind, ()))  # type: ignore[call-arg]


def requests_for(vm: Vm) -> list[str]:
    """Which operations on the VM as a whole may be asked for now; those on its parts have tests of their own."""
    return [
        kind
        for kind, program in PROGRAMS.items()
        if vm.state in program.accepts and not {"volume", "nic", "network"} & set(KINDS[kind].__struct_fields__)
    ]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_drivers_answer_every_operation_ends_and_the_ledger_balances(data: st.DataObject) -> None:
    shell = Shell(cloud(hosts=3))
    decision = run(shell, shell.request(REQUEST), data)
    for _ in range(data.draw(st.integers(0, 5), label="operations")):
        if decision.outcome is End.STUCK:
            decision = _resolve(shell, decision, data)
        vm = vm_of(shell)
        kinds = requests_for(vm)
        if not kinds:
            break
        kind = data.draw(st.sampled_from(kinds), label="operation")
        before = shell.holdings()
        try:
            asked = shell.request(request_of(kind, vm))
        except InvalidRequest:
            assert shell.holdings() == before
            continue
        decision = run(shell, asked, data)
        if decision.outcome in (End.FAILED, End.CANCELLED) and kind not in ("expunge", "deploy"):
            assert shell.holdings() == before
    assert_stable(shell, decision)


def _resolve(shell: Shell, decision: Decision, data: st.DataObject) -> Decision:
    way = data.draw(st.sampled_from([Way.UNDO, Way.ACCEPT]), label="way out")
    decision = shell.feed(decision, Resolved(at=shell.at, way=way, actor="a person", reason="seen to"))
    while decision.outcome is None:
        decision = shell.feed(decision, Settled(at=shell.at, outcomes=(Done(),) * len(decision.effects)))
    assert decision.outcome in (End.FAILED, End.CANCELLED)
    return decision


def assert_stable(shell: Shell, decision: Decision) -> None:
    """Unless a person is waited for, nothing is half-way and nothing is owned that should not be."""
    if decision.outcome is End.STUCK:
        return
    for record in shell.records.values():
        state = MACHINES[MACHINE_OF[type(record)]].states[record.state]
        assert state.stability is not Stability.TRANSITIONAL, record
    vm = vm_of(shell)
    assert vm.state in SETTLED
    things = {thing for thing, _ in shell.holdings()}
    if vm.state == "Expunged":
        assert not things
    assert ("cpu" in things) == ("memory" in things) == (vm.state in ("Running", "Unknown"))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_failed_deploy_leaves_nothing(data: st.DataObject) -> None:
    shell = Shell(cloud(hosts=2))
    decision = run(shell, shell.request(REQUEST), data)
    if decision.outcome in (End.FAILED, End.CANCELLED):
        assert shell.holdings() == {}
        assert vm_of(shell).state == "Error"
    if decision.outcome is End.SUCCEEDED:
        assert vm_of(shell).state == "Running"


@settings(max_examples=100, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["deploy", "start", "stop", "destroy", "expunge", "reboot"]))
def test_a_worker_that_takes_over_repeats_the_same_effects_under_the_same_tokens(
    data: st.DataObject, kind: str
) -> None:
    shell = Shell(cloud(hosts=2))
    for decision in _until(shell, kind):
        again = shell.feed(decision, Claimed(at=shell.at, worker_id="other"))
        assert again.effects == decision.effects
        for effect in again.effects:
            assert effect.token.startswith(decision.operation.id)


def _until(shell: Shell, kind: str) -> Iterator[Decision]:
    """Each decision of an operation that announces effects."""
    decision = shell.request(REQUEST)
    if kind != "deploy":
        decision = all_done(shell, decision)
        for earlier in {"start": ["stop"], "expunge": ["destroy"]}.get(kind, []):
            decision = all_done(shell, shell.request(request_of(earlier, vm_of(shell))))
        decision = shell.request(request_of(kind, vm_of(shell)))
    decision = shell.feed(decision, Claimed(at=shell.at, worker_id="w"))
    while decision.outcome is None:
        yield decision
        decision = shell.feed(decision, Settled(at=shell.at, outcomes=(Done(),) * len(decision.effects)))


def test_tokens_are_never_used_for_two_effects() -> None:
    shell = Shell(cloud(hosts=3))
    seen: dict[str, Any] = {}
    refused = Refused(kind=Refusal.PERMANENT, scope=Scope.HOST, reason="no")
    decision = shell.feed(shell.request(REQUEST), Claimed(at=shell.at, worker_id="w"))
    while decision.outcome is None:
        for effect in decision.effects:
            assert seen.setdefault(effect.token, effect.command) == effect.command
        answers = [refused if type(e.command).__name__ == "StartDomain" else Done() for e in decision.effects]
        decision = shell.feed(decision, Settled(at=shell.at, outcomes=tuple(answers)))
    assert len({token.split("/")[1] for token in seen}) == 3


def test_a_lone_deploy_takes_four_decisions() -> None:
    shell = Shell(cloud())
    decisions = [shell.request(REQUEST)]
    decisions.append(shell.feed(decisions[-1], Claimed(at=shell.at, worker_id="w")))
    while decisions[-1].outcome is None:
        answers: tuple[Outcome, ...] = (Done(),) * len(decisions[-1].effects)
        decisions.append(shell.feed(decisions[-1], Settled(at=shell.at, outcomes=answers)))
    assert len(decisions) == 4


def test_an_operation_this_release_does_not_know_is_stuck_not_ignored() -> None:
    shell = Shell(cloud())
    decision = shell.request(REQUEST)
    foreign = msgspec.structs.replace(decision.operation, kind="teleport")
    shell.records[foreign.id] = foreign
    decision = shell.feed(decision, Claimed(at=shell.at, worker_id="w"))
    assert decision.outcome is End.STUCK
    assert "teleport" in (decision.operation.error or "")


def test_what_refused_is_avoided_for_as_long_as_configured() -> None:
    shell = Shell(cloud(hosts=1))
    refused = Refused(kind=Refusal.PERMANENT, scope=Scope.HOST, reason="no")
    decision = all_done(shell, shell.request(msgspec.structs.replace(REQUEST, start=False)))
    first = shell.feed(shell.request(request_of("start", vm_of(shell))), Claimed(at=shell.at, worker_id="w"))
    assert first.operation.avoid == ()
    decision = shell.feed(first, Settled(at=shell.at, outcomes=(refused, refused, refused)))
    (entry, *_) = decision.operation.avoid
    assert entry.id == "h"
    assert entry.until == decision.changes[0].entry.at + int(RULES.policy.avoid_for * 1_000_000)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_request_has_a_program(kind: str) -> None:
    assert PROGRAMS[kind].kind == kind
