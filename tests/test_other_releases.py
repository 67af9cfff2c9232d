"""An operation that another release began, in the core alone: steps are found by name, none is skipped in silence.

Programs stand in for releases: the same operation is begun with one list of steps and gone on with under another.
Whatever this release does not know is Stuck, says what is missing, and can be vouched for: then everything is at rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.engine.core import begun
from interlock.engine.core.decision import Decision, End
from interlock.engine.core.events import Claimed, Resolved, Settled, Way
from interlock.engine.core.laid_down import NIC_DOWN, NIC_UP, VM, VOLUME
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.program import Act, Program, Step
from interlock.schema.commands import Done, Refusal, Refused, Scope
from interlock.schema.errors import InvalidRequest
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import Operation
from interlock.schema.requests import StopVM
from tests.test_core import REQUEST, Shell, all_done, assert_stable, outcomes, request_of, requests_for, vm_of
from tests.world import cloud

NO = Refused(kind=Refusal.PERMANENT, scope=Scope.VM, reason="no")
DEPLOY = PROGRAMS["deploy"]
ALLOCATE, PLACE, PREPARE, DOMAIN = DEPLOY.steps


@contextmanager
def release(*steps: Step, kind: str = "deploy") -> Iterator[None]:
    """Another release, whose operation has these steps."""
    programs: Any = PROGRAMS
    before: Program = programs[kind]
    programs[kind] = replace(before, steps=steps)
    try:
        yield
    finally:
        programs[kind] = before


class Traced:
    """A step without effects that notes when it is taken and when it is undone."""

    def __init__(self, name: str) -> None:
        self._seen: list[str] = []
        do, undo = (Act(announce=lambda _, word=word: self._seen.append(word)) for word in ("do", "undo"))  # type: ignore[misc]
        self.step = Step(name, do, undo)

    @property
    def seen(self) -> list[str]:
        """What was done; the shell decides everything twice."""
        assert self._seen[::2] == self._seen[1::2]
        return self._seen[::2]


def claimed(shell: Shell, decision: Decision) -> Decision:
    """A worker takes it, or takes it over."""
    return shell.feed(decision, Claimed(at=shell.at, worker_id="another"))


def settled(shell: Shell, decision: Decision, answer: Any = Done()) -> Decision:  # noqa: B008
    """All its effects answer."""
    return shell.feed(decision, Settled(at=shell.at, outcomes=(answer,) * len(decision.effects)))


def resolved(shell: Shell, decision: Decision, way: Way) -> Decision:
    """A person takes a way out."""
    return shell.feed(decision, Resolved(at=shell.at, way=way, actor="a person", reason="seen to"))


def in_domain(shell: Shell) -> Decision:
    """A deploy whose effects of the step `domain` are announced."""
    decision = claimed(shell, shell.request(REQUEST))
    return settled(shell, decision)


def to_the_end(shell: Shell, decision: Decision) -> Decision:
    """Every driver says Done."""
    while decision.outcome is None:
        decision = settled(shell, decision)
    return decision


# Known steps in another list


def test_a_step_removed_before_the_present_one_that_was_never_entered_changes_nothing() -> None:
    shell, old = Shell(cloud()), Traced("old")
    with release(ALLOCATE, PLACE, PREPARE, DOMAIN, old.step):
        decision = in_domain(shell)
    again = claimed(shell, decision)
    assert again.effects == decision.effects
    assert to_the_end(shell, again).outcome is End.SUCCEEDED
    assert old.seen == []


def test_a_step_inserted_before_the_present_one_is_not_taken_but_undone() -> None:
    for answer, seen in ((Done(), []), (NO, ["undo"])):
        shell, new = Shell(cloud()), Traced("new")
        decision = in_domain(shell)
        with release(ALLOCATE, PLACE, new.step, PREPARE, DOMAIN):
            again = claimed(shell, decision)
            assert again.effects == decision.effects
            assert again.operation.steps == ("allocate", "place", "new", "prepare", "domain")
            ended = to_the_end(shell, settled(shell, again, answer))
        assert ended.outcome is (End.FAILED if seen else End.SUCCEEDED)
        assert new.seen == seen
        assert_stable(shell, ended)


def test_a_step_inserted_after_the_present_one_is_taken() -> None:
    shell, new = Shell(cloud()), Traced("new")
    decision = in_domain(shell)
    with release(ALLOCATE, PLACE, PREPARE, DOMAIN, new.step):
        assert to_the_end(shell, claimed(shell, decision)).outcome is End.SUCCEEDED
    assert new.seen == ["do"]


def test_what_is_undone_goes_on_to_be_undone_by_name() -> None:
    shell, new = Shell(cloud()), Traced("new")
    decision = settled(shell, in_domain(shell), NO)
    assert decision.operation.state == "Undoing"
    with release(ALLOCATE, new.step, PLACE, PREPARE, DOMAIN):
        again = claimed(shell, decision)
        assert again.effects == decision.effects
        ended = to_the_end(shell, again)
    assert ended.outcome is End.FAILED
    assert new.seen == ["undo"]
    assert shell.holdings() == {}


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 2), (1, 3), (3, 3)])
def test_a_record_that_names_no_steps_counts_those_of_0_2(before: int, after: int) -> None:
    shell, new = Shell(cloud()), Traced("new")
    decision = in_domain(shell)
    unnamed = msgspec.structs.replace(decision.operation, steps=())
    shell.records[unnamed.id] = unnamed
    steps = [ALLOCATE, PLACE, PREPARE, DOMAIN]
    steps.insert(after, new.step)
    with release(*steps):
        again = claimed(shell, decision)
        assert again.effects == decision.effects
        assert again.operation.steps[again.operation.step] == "domain"


@given(data=st.data())
def test_the_present_step_is_found_by_name_or_not_at_all(data: st.DataObject) -> None:
    names = st.lists(st.sampled_from("abcdef"), unique=True, min_size=1)
    old, new = tuple(data.draw(names)), tuple(data.draw(names))
    step = data.draw(st.integers(-1, len(old) - 1))
    entered = old[: step + 1]
    operation: Any = msgspec.structs.replace(_some_operation(), steps=old, step=step)
    try:
        found = begun._found(operation, new)
    except begun.Unknown as unknown:
        in_order = [name for name in new if name in entered]
        assert tuple(in_order) != entered
        assert any(name in str(unknown) for name in entered)
    else:
        assert tuple(name for name in new[: found + 1] if name in entered) == entered
        assert (new[found] == entered[-1]) if entered else found == -1


def _some_operation() -> Operation:
    return Shell(cloud()).request(REQUEST).operation


def test_no_program_has_two_steps_of_one_name() -> None:
    for program in PROGRAMS.values():
        names = [step.name for step in program.steps]
        assert len(names) == len(set(names))


def test_a_new_operation_names_its_steps() -> None:
    shell = Shell(cloud())
    assert shell.request(REQUEST).operation.steps == ("allocate", "place", "prepare", "domain")
    asleep = Shell(cloud()).request(msgspec.structs.replace(REQUEST, start=False))
    assert asleep.operation.steps == ("allocate",)


# What this release does not know


@pytest.mark.parametrize("way", [Way.RETRY, Way.UNDO])
def test_a_step_that_is_gone_is_stuck_by_its_name_and_only_vouching_is_possible(way: Way) -> None:
    shell, old = Shell(cloud()), Traced("quiesce")
    with release(ALLOCATE, PLACE, old.step, PREPARE, DOMAIN):
        decision = in_domain(shell)
    stuck = claimed(shell, decision)
    assert stuck.outcome is End.STUCK
    error = stuck.operation.error or ""
    assert "step quiesce" in error and "--accept" in error and "--undo" not in error and "--retry" not in error
    with pytest.raises(InvalidRequest, match=r"step quiesce.*--accept"):
        resolved(shell, stuck, way)
    with release(ALLOCATE, PLACE, old.step, PREPARE, DOMAIN):
        ended = to_the_end(shell, resolved(shell, stuck, way))
        assert ended.outcome is (End.SUCCEEDED if way is Way.RETRY else End.FAILED)
    assert old.seen == (["do"] if way is Way.RETRY else ["do", "undo"])


def test_steps_in_another_order_are_not_guessed_at() -> None:
    shell, one, other = Shell(cloud()), Traced("one"), Traced("other")
    with release(ALLOCATE, one.step, other.step, PLACE, PREPARE, DOMAIN):
        decision = in_domain(shell)
    with release(ALLOCATE, other.step, one.step, PLACE, PREPARE, DOMAIN):
        stuck = claimed(shell, decision)
    assert stuck.outcome is End.STUCK
    assert "in another order" in (stuck.operation.error or "")


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_is_not_known_can_be_vouched_for_and_leaves_everything_at_rest(data: st.DataObject) -> None:
    shell = Shell(cloud(hosts=3))
    decision = shell.request(REQUEST)
    if data.draw(st.booleans(), label="of a VM that lives"):
        decision = all_done(shell, decision)
        for _ in range(data.draw(st.integers(0, 2))):
            kinds = [kind for kind in requests_for(vm_of(shell)) if kind not in ("scale", "assign")]
            decision = all_done(shell, shell.request(request_of(data.draw(st.sampled_from(kinds)), vm_of(shell))))
        kinds = requests_for(vm_of(shell))
        if not kinds:
            return
        decision = _asked(shell, data.draw(st.sampled_from(kinds))) or decision
    decision = _somewhere(shell, decision, data)
    if decision.outcome not in (None, End.STUCK):
        return
    foreign = msgspec.structs.replace(decision.operation, kind="teleport")
    shell.records[foreign.id] = foreign
    if decision.outcome is None:
        decision = claimed(shell, decision)
        assert decision.outcome is End.STUCK
        assert "no operation teleport" in (decision.operation.error or "")
    ended = resolved(shell, decision, Way.ACCEPT)
    assert ended.outcome in (End.FAILED, End.CANCELLED)
    assert "a person: seen to" in [entry.cause for entry in ended.journal]
    assert_stable(shell, ended)
    _ends(shell)


def _asked(shell: Shell, kind: str) -> Decision | None:
    try:
        return shell.request(request_of(kind, vm_of(shell)))
    except InvalidRequest:
        return None


def _somewhere(shell: Shell, decision: Decision, data: st.DataObject) -> Decision:
    """Some way into the operation, forward or back."""
    if decision.outcome is not None:
        return decision
    for _ in range(data.draw(st.integers(0, 6), label="boundary")):
        if decision.outcome is not None:
            break
        if not decision.effects:
            decision = claimed(shell, decision)
            if not decision.effects:
                break
            continue
        answers = tuple(data.draw(outcomes) for _ in decision.effects)
        decision = shell.feed(decision, Settled(at=shell.at, outcomes=answers))
    return decision


def _ends(shell: Shell) -> None:
    """The VM can be asked for its end, and then nothing is owned."""
    while (vm := vm_of(shell)).state != "Expunged":
        kind = "expunge" if vm.state in PROGRAMS["expunge"].accepts else "destroy"
        all_done(shell, shell.request(request_of(kind, vm)))
    assert shell.holdings() == {}


def test_a_stop_of_another_release_frees_the_vm_for_every_request() -> None:
    shell = Shell(cloud())
    decision = all_done(shell, shell.request(REQUEST))
    decision = claimed(shell, shell.request(StopVM(decision.operation.vm_id or "")))
    foreign = msgspec.structs.replace(decision.operation, kind="hibernate")
    shell.records[foreign.id] = foreign
    resolved(shell, claimed(shell, decision), Way.ACCEPT)
    assert vm_of(shell).state == "Stopped"
    all_done(shell, shell.request(request_of("start", vm_of(shell))))
    assert vm_of(shell).state == "Running"


@pytest.mark.parametrize(
    ("machine", "table"), [("vm", VM), ("volume", VOLUME), ("nic", NIC_UP), ("nic", NIC_DOWN)], ids=str
)
def test_every_transitional_state_can_be_laid_down(machine: str, table: Mapping[str, Any]) -> None:
    states = MACHINES[machine].states
    transitional = {name for name, state in states.items() if state.stability is Stability.TRANSITIONAL}
    assert transitional <= table.keys()
    for source, rest in table.items():
        moves = rest if isinstance(rest[0], tuple) else (rest,)
        state = source
        for event, _ in moves:
            state = MACHINES[machine].table[state, event]
        assert states[state].stability is not Stability.TRANSITIONAL
