"""Taking over and deadlines as pure functions: for every standing, every state, what follows and when to look again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.core import recovery
from interlock.engine.core.backoff import SECOND, doubled
from interlock.engine.core.deadlines import deadline
from interlock.engine.core.decision import Decision, End
from interlock.engine.core.events import Claimed, Overdue
from interlock.engine.core.recovery import Standing, Takeover, rest_after, take_over
from interlock.schema.machine import Overdue as Rule
from interlock.schema.machine import Stability, State
from interlock.schema.machines import MACHINES
from interlock.schema.records import Entity, Nic, Operation, Vm, Volume
from tests.test_core import REQUEST, Shell
from tests.world import cloud

# Who is taken over

WORKERS = st.sampled_from(["w1", "w2", "w3", "ours"])
TIMES = st.integers(0, 200)
STANDING = st.lists(
    st.builds(
        Standing,
        operation_id=st.uuids().map(str),
        worker_id=st.one_of(st.none(), WORKERS),
        lease_until=TIMES,
    ),
    max_size=8,
)


@given(standing=STANDING, at=TIMES, dead=st.sets(WORKERS), data=st.data())
def test_each_operation_is_driven_taken_or_looked_at_again_in_time(
    standing: list[Standing], at: int, dead: set[str], data: st.DataObject
) -> None:
    ids = [each.operation_id for each in standing]
    driven = data.draw(st.sets(st.sampled_from(ids)) if ids else st.just(set()))
    resting = data.draw(st.dictionaries(st.sampled_from(ids), TIMES) if ids else st.just({}))
    answer = take_over(standing, at, driven=driven, dead=dead, resting=resting)
    left = []
    for each in standing:
        lives = each.worker_id is not None and each.worker_id not in dead and each.lease_until > at
        rests = resting.get(each.operation_id, 0) > at
        taken = each.operation_id in answer.take
        assert taken == (each.operation_id not in driven and not lives and not rests)
        if not taken and each.operation_id not in driven:
            left.append(max(resting.get(each.operation_id, 0), each.lease_until if lives else 0))
    assert answer.look_at == (min(left) if left else None)
    assert answer.look_at is None or answer.look_at > at


@given(standing=STANDING, at=TIMES)
def test_whoever_looks_whenever_told_to_finds_everything_in_the_end(standing: list[Standing], at: int) -> None:
    taken: set[str] = set()
    for _ in range(len(standing) + 1):
        answer = take_over(standing, at, driven=taken, dead=(), resting={})
        taken.update(answer.take)
        if answer.look_at is None:
            break
        at = answer.look_at
    assert taken == {each.operation_id for each in standing}


def test_nothing_to_take_over_is_nothing_to_look_for() -> None:
    assert take_over((), 5, driven=(), dead=(), resting={}) == Takeover(take=(), look_at=None)


@given(operation_id=st.text(max_size=40), times=st.integers(1, 5000))
def test_what_breaks_off_again_rests_longer_up_to_a_bound(operation_id: str, times: int) -> None:
    rest = rest_after(operation_id, times)
    longest = min(recovery.STRANDED * 2 ** min(times - 1, 30), recovery.STRANDED_MOST) * SECOND
    assert longest / 2 <= rest <= longest
    assert rest == doubled(recovery.STRANDED, recovery.STRANDED_MOST, operation_id, times)
    assert rest_after(operation_id, times + 2) >= rest or longest == recovery.STRANDED_MOST * SECOND


# What is overdue

TRANSITIONAL = [
    pytest.param(name, state, id=f"{name}-{state.name}")
    for name, machine in MACHINES.items()
    for state in machine.states.values()
    if state.stability is Stability.TRANSITIONAL
]


def under_way() -> tuple[Shell, Decision]:
    """A deploy whose effects are announced."""
    shell = Shell(cloud())
    return shell, shell.feed(shell.request(REQUEST), Claimed(at=shell.at, worker_id="w"))


def standing_in(machine: str, state: str, since: int) -> tuple[Operation, Vm | None, list[Nic], list[Volume]]:
    """An operation whose entities are at rest, but for one that is in that state since then."""
    _, decision = under_way()
    assert decision.vm is not None
    operation = msgspec.structs.replace(decision.operation, state="Running", since=0)
    vm = msgspec.structs.replace(decision.vm, state="Running", since=0)
    parts: dict[str, Entity] = {
        "nic": msgspec.structs.replace(decision.nics[0], state="Reserved"),
        "volume": msgspec.structs.replace(decision.volumes[0], state="Ready"),
        "operation": operation,
        "vm": vm,
    }
    parts[machine] = msgspec.structs.replace(parts[machine], state=state, since=since)
    found: Any = parts
    return found["operation"], found["vm"], [found["nic"]], [found["volume"]]


@pytest.mark.parametrize(("machine", "state"), TRANSITIONAL)
@pytest.mark.parametrize("since", [0, 17_000_000])
def test_every_transitional_state_has_its_own_deadline_and_rule(machine: str, state: State, since: int) -> None:
    operation, vm, nics, volumes = standing_in(machine, state.name, since)
    # Longer than any other, so that the operation's own state is never the first.
    operation = operation if machine == "operation" else msgspec.structs.replace(operation, since=0)
    found = deadline(operation, vm, nics, volumes)
    assert found is not None and state.within is not None
    assert found.at == since + state.within * SECOND
    assert found.rule is (Rule.STICK if operation.state == "Undoing" else state.overdue)
    assert found.what.startswith(f"{machine} ") and state.name in found.what


@pytest.mark.parametrize(("machine", "state"), TRANSITIONAL)
def test_an_undo_that_is_overdue_sticks_whatever_the_state_says(machine: str, state: State) -> None:
    operation, vm, nics, volumes = standing_in(machine, state.name, 0)
    undoing = msgspec.structs.replace(operation, state="Undoing")
    found = deadline(undoing, vm, nics, volumes)
    assert found is not None and found.rule is Rule.STICK


def test_an_operation_that_began_anew_has_the_whole_time_again() -> None:
    operation, vm, nics, volumes = standing_in("nic", "Releasing", 0)
    within = MACHINES["nic"].states["Releasing"].within
    assert within is not None
    resumed = deadline(msgspec.structs.replace(operation, since=10**12), vm, nics, volumes)
    assert resumed is not None and resumed.at == 10**12 + within * SECOND


def test_what_is_at_rest_is_never_overdue() -> None:
    operation, vm, nics, volumes = standing_in("vm", "Running", 0)
    assert deadline(msgspec.structs.replace(operation, state="Stuck"), vm, nics, volumes) is None


@given(data=st.data())
def test_the_earliest_is_taken_and_of_two_at_once_the_careful_one(data: st.DataObject) -> None:
    operation, vm, nics, volumes = standing_in("nic", "Reserving", 0)
    assert vm is not None
    state = st.sampled_from(
        [name for name, each in MACHINES["vm"].states.items() if each.stability is Stability.TRANSITIONAL]
    )
    vm = msgspec.structs.replace(vm, state=data.draw(state), since=data.draw(st.integers(0, 10**10)))
    nics = [msgspec.structs.replace(nics[0], state=name, id=name) for name in ("Reserving", "Releasing")]
    found = deadline(operation, vm, nics, volumes)
    alone = [
        deadline(operation, None, [nics[0]], []),
        deadline(operation, None, [nics[1]], []),
        deadline(operation, vm, [], []),
    ]
    first = min(each.at for each in alone if each)
    assert found is not None and found.at == first
    sticks = any(each and each.at == first and each.rule is Rule.STICK for each in alone)
    assert found.rule is (Rule.STICK if sticks else Rule.UNWIND)


@pytest.mark.parametrize("rule", Rule)
def test_the_rule_says_whether_it_is_undone_or_left_to_a_person(rule: Rule) -> None:
    shell, decision = under_way()
    after = shell.feed(decision, Overdue(at=shell.at, what="nic n has been Releasing", rule=rule))
    if rule is Rule.STICK:
        assert after.outcome is End.STUCK
        assert all(way in (after.operation.error or "") for way in ("--retry", "--undo", "--accept"))
    else:
        assert (after.operation.state, after.operation.then) == ("Undoing", "failed")
        again = shell.feed(after, Overdue(at=shell.at, what="vm v has been Starting", rule=rule))
        assert again.outcome is End.STUCK
        assert "--retry" not in (again.operation.error or "")
