"""The machines: a table that makes no sense does not load, and one that loads does what its declaration says.

The declaration is the `transitions.Machine` each table was loaded through: the oracle for the compiled table.
"""

from __future__ import annotations

from typing import Any

import pytest
import transitions
from hypothesis import event, given
from hypothesis import strategies as st

from interlock.schema.errors import IllegalTransition, TableError
from interlock.schema.machine import (
    Machine,
    Overdue,
    Stability,
    State,
    machine,
    minutes,
    stable,
    terminal,
    transitional,
)
from interlock.schema.machines import MACHINES

every_machine = pytest.mark.parametrize("each", MACHINES.values(), ids=MACHINES)

STATES = (stable("Idle"), transitional("Busy", within=minutes(1), overdue=Overdue.UNWIND), terminal("Gone"))
MOVES = """
    Idle  Start   Busy
    Busy  Finish  Idle
    Idle  Remove  Gone
"""


def load(states: tuple[State, ...] = STATES, moves: str = MOVES, more: str = "", initial: str = "Idle") -> Machine:
    """A machine that loads, but for what a test changes."""
    return machine("toy", initial=initial, states=states, moves=moves + more)


def test_the_toy_machine_loads() -> None:
    assert load(more="# a remark on a line of its own").destination("Idle", "Start") == "Busy"


def test_remarks_are_no_part_of_the_table() -> None:
    loaded = load(more="Busy  Abort  Idle  # why: it was asked for")
    assert loaded.destination("Busy", "Abort") == "Idle"
    assert loaded.events("Busy") == ("Finish", "Abort")


WRONG = {
    "unreachable state": ({"states": (*STATES, stable("Island")), "more": "Island Leave Idle"}, ["Island"]),
    "transitional without deadline": (
        {"states": (STATES[0], transitional("Busy"), STATES[2])},
        ["Busy", "deadline"],
    ),
    "deadline without what follows": (
        {"states": (STATES[0], transitional("Busy", within=60), STATES[2])},
        ["Busy", "overdue"],
    ),
    "what follows without deadline": (
        {"states": (STATES[0], transitional("Busy", overdue=Overdue.STICK), STATES[2])},
        ["Busy", "within"],
    ),
    "unknown source": ({"more": "Nowhere Start Idle"}, ["Nowhere"]),
    "unknown destination": ({"more": "Idle Vanish Nowhere"}, ["Nowhere", "Vanish"]),
    "row twice": ({"more": "Idle Start Busy"}, ["Idle", "Start", "two"]),
    "two destinations": ({"more": "Idle Start Gone"}, ["Idle", "Start", "two"]),
    "way out of a terminal state": ({"more": "Gone Revive Idle"}, ["Gone", "Revive", "terminal"]),
    "staying in a terminal state": ({"more": "Gone Remove Gone"}, ["Gone", "Remove", "terminal"]),
    "dead end": ({"states": (*STATES, stable("Trap")), "more": "Idle Fall Trap"}, ["Trap", "no way out"]),
    "too few words": ({"more": "Idle Start"}, ["Idle Start", "source event destination"]),
    "too many words": ({"more": "Idle Hop Busy Gone"}, ["Idle Hop Busy Gone", "source event destination"]),
    "unknown initial state": ({"initial": "Nowhere"}, ["Nowhere", "initial"]),
    "state listed twice": ({"states": (*STATES, stable("Idle"))}, ["Idle", "twice"]),
}


@pytest.mark.parametrize(("change", "culprits"), WRONG.values(), ids=WRONG)
def test_a_wrong_table_does_not_load(change: dict[str, Any], culprits: list[str]) -> None:
    with pytest.raises(TableError) as refusal:
        load(**change)
    for culprit in ("toy", *culprits):
        assert culprit in str(refusal.value)


@every_machine
def test_what_is_not_in_the_table_is_illegal(each: Machine) -> None:
    events = {move.event for move in each.moves}
    illegal = [(state, name) for state in each.states for name in events if (state, name) not in each.table]
    assert illegal
    for state, name in illegal:
        with pytest.raises(IllegalTransition) as refusal:
            each.destination(state, name, "entity-7")
        for word in (each.name, state, name, "entity-7"):
            assert word in str(refusal.value)


@every_machine
def test_the_table_has_every_row_and_no_other(each: Machine) -> None:
    assert dict(each.table) == {(move.source, move.event): move.destination for move in each.moves}
    assert each.steps() == tuple(dict.fromkeys((move.source, move.destination) for move in each.moves))


@every_machine
def test_every_state_has_one_class(each: Machine) -> None:
    assert sorted(name for stability in Stability for name in each.names(stability)) == sorted(each.states)


@every_machine
def test_every_state_can_come_to_rest(each: Machine) -> None:
    """No entity can be left where only transitional states follow."""
    resting = {*each.names(Stability.STABLE), *each.names(Stability.TERMINAL)}
    for _ in each.states:
        resting |= {source for source, destination in each.steps() if destination in resting}
    assert resting == set(each.states)


class Follower:
    """A model for the oracle, which keeps its state on it."""

    state: str

    def __init__(self, oracle: transitions.Machine, state: str) -> None:
        oracle.add_model(self, initial=state)
        self._oracle = oracle

    def take(self, name: str) -> str | None:
        """The state that follows; None when the oracle refuses."""
        try:
            self._oracle.events[name].trigger(self)
        except transitions.MachineError:
            return None
        return self.state


def test_the_follower_notices_both() -> None:
    follower = Follower(load().oracle, "Idle")
    assert follower.take("Finish") is None
    assert follower.take("Start") == follower.state == "Busy"


def taken(each: Machine, state: str, name: str) -> str | None:
    """The state that follows by the compiled table; None when it refuses."""
    try:
        return each.destination(state, name)
    except IllegalTransition:
        return None


@given(st.data())
@every_machine
def test_the_table_walks_like_its_declaration(each: Machine, data: st.DataObject) -> None:
    names = st.sampled_from(sorted({move.event for move in each.moves}))
    state = data.draw(st.sampled_from(list(each.states)), "first state")
    follower = Follower(each.oracle, state)
    try:
        for name in data.draw(st.lists(names, max_size=40), "events"):
            following = taken(each, state, name)
            assert follower.take(name) == following
            state = following or state
            assert follower.state == state
    finally:
        each.oracle.remove_model(follower)


@every_machine
def test_the_table_equals_its_declaration_everywhere(each: Machine) -> None:
    for state in each.states:
        for name in each.oracle.events:
            follower = Follower(each.oracle, state)
            assert follower.take(name) == taken(each, state, name)
            each.oracle.remove_model(follower)


NAMES = ("A", "B", "C", "D")
ROWS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["go", "come", "fail"]), st.sampled_from(NAMES)),
    max_size=9,
)
Rows = list[tuple[str, str, str]]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[State], Rows]:
    """Any table over a few states, right or wrong; half of them tidied up, else hardly one would load."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    tidy = draw(st.booleans())
    states = [draw(state(name, tidy=tidy)) for name in names]
    rows = draw(ROWS)
    if tidy:
        onwards: Rows = [(a, "next", b) for a, b in zip(names, (*names[1:], names[0]), strict=True)]
        ends = {each.name for each in states if each.stability is Stability.TERMINAL}
        first_of_each = {row[:2]: row for row in onwards + rows if set(row[::2]) <= set(names)}
        rows = [row for row in first_of_each.values() if row[0] not in ends]
    return states, rows


@st.composite
def state(draw: st.DrawFn, name: str, *, tidy: bool) -> State:
    """A state of any class; a tidy one has a deadline where it needs one."""
    stability = draw(st.sampled_from(Stability))
    if stability is not Stability.TRANSITIONAL:
        return State(name, stability)
    within = 60 if tidy else draw(st.sampled_from([None, 60]))
    overdue = draw(st.sampled_from(Overdue) if tidy else st.sampled_from([None, *Overdue]))
    return State(name, stability, within, overdue)


def makes_sense(states: list[State], rows: Rows) -> bool:
    """The rules of a table, told once more and in another way."""
    known = {state.name for state in states}
    ends = {state.name for state in states if state.stability is Stability.TERMINAL}
    sources = {source for source, _, _ in rows}
    reached = {NAMES[0]}
    for _ in rows:
        reached |= {destination for source, _, destination in rows if source in reached}
    return (
        all(source in known and destination in known for source, _, destination in rows)
        and len({(source, name) for source, name, _ in rows}) == len(rows)
        and reached == known
        and sources == known - ends
        and all(state.within and state.overdue for state in states if state.stability is Stability.TRANSITIONAL)
    )


@given(tables())
def test_a_table_loads_exactly_when_it_makes_sense(
    table: tuple[list[State], Rows],
) -> None:
    states, rows = table
    sensible = makes_sense(states, rows)
    event("loads" if sensible else "refused")
    moves = "\n".join(" ".join(row) for row in rows)
    if sensible:
        loaded = machine("random", initial=NAMES[0], states=states, moves=moves)
        assert dict(loaded.table) == {(source, name): destination for source, name, destination in rows}
    else:
        with pytest.raises(TableError, match="machine random"):
            machine("random", initial=NAMES[0], states=states, moves=moves)
