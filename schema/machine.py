"""What a state machine is: named states with a class and a deadline, and a table of (state, event) -> state.

A machine is written as data (`vm.py`, `nic.py`, `volume.py`, `operation.py`), loaded once at import through
`transitions.Machine`, which checks and draws it and is the test oracle, and compiled to a dict for the hot path.

Promises: a table that does not make sense does not load, and the error says which row (`TableError`): unknown or
unreachable state, a transitional state without deadline, a way out of a terminal state, a dead end that is not
terminal. Never holds the state of an entity: records do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from interlock.schema.errors import IllegalTransition, TableError

if TYPE_CHECKING:
    import transitions

NOT_YET = ""
"""The source state of an entity's first transition: it was not there before."""
CREATED = "Created"
"""The event of an entity's first transition, in every machine."""


class Stability(StrEnum):
    """What may be expected of an entity in a state."""

    STABLE = "stable"  # stays until somebody asks
    TRANSITIONAL = "transitional"  # some operation is under way; has a deadline
    TERMINAL = "terminal"  # the end: holds nothing, never moves again


class Overdue(StrEnum):
    """What happens to the operation when a transitional state passes its deadline."""

    UNWIND = "unwind"  # the operation is undone
    STICK = "stick"  # nothing automatic is safe any more: the operation becomes Stuck


@dataclass(frozen=True, slots=True)
class State:
    """One state. `within` is the deadline in seconds, `overdue` what happens when it passes."""

    name: str
    stability: Stability
    within: int | None = None
    overdue: Overdue | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the transition table."""

    source: str
    event: str
    destination: str


def stable(name: str) -> State:
    """A state that lasts until somebody asks for something."""
    return State(name, Stability.STABLE)


def transitional(name: str, *, within: int | None = None, overdue: Overdue | None = None) -> State:
    """A state that an operation passes through; `within` in seconds (see `minutes`)."""
    return State(name, Stability.TRANSITIONAL, within, overdue)


def terminal(name: str) -> State:
    """A state without way out."""
    return State(name, Stability.TERMINAL)


def minutes(count: int) -> int:
    """Minutes in seconds, so that a deadline reads as one."""
    return count * 60


@dataclass(frozen=True)
class Machine:
    """A loaded machine. `table` is the compiled form: (state, event) -> state."""

    name: str
    states: Mapping[str, State]
    moves: tuple[Move, ...]
    initial: str
    table: Mapping[tuple[str, str], str]

    def destination(self, state: str, event: str, entity: str = "") -> str:
        """The state that follows.

        Raises:
            IllegalTransition: the table has no such row.
        """
        try:
            return self.table[state, event]
        except KeyError:
            raise IllegalTransition(self.name, state, event, entity) from None

    def events(self, state: str) -> tuple[str, ...]:
        """What may happen in `state`, in table order."""
        return tuple(move.event for move in self.moves if move.source == state)

    def names(self, stability: Stability) -> tuple[str, ...]:
        """The states of one class, in table order."""
        return tuple(state.name for state in self.states.values() if state.stability is stability)

    def steps(self) -> tuple[tuple[str, str], ...]:
        """All (source, destination) pairs, each once: what the database guard allows."""
        return tuple(dict.fromkeys((move.source, move.destination) for move in self.moves))

    @cached_property
    def oracle(self) -> transitions.Machine:
        """The declaring `transitions.Machine`, without a model."""
        return _declare(self.name, tuple(self.states), self.moves, self.initial)


def machine(name: str, *, initial: str, states: Iterable[State], moves: str, deadlines: bool = True) -> Machine:
    """Load a machine from its table.

    Args:
        name: of the machine, and of the table that keeps its entities.
        initial: the state of a new entity.
        states: each with its class.
        moves: one row a line, `source event destination`; text after `#` is a remark.
        deadlines: whether transitional states must have one; the machines of others, which we only read, have none.

    Raises:
        TableError: the table is wrong; the message says which row and why.
    """
    known = _known_states(name, states, deadlines)
    rows = tuple(_rows(name, moves))
    _check_rows(name, known, rows, initial)
    declared = _declare(name, tuple(known), rows, initial)
    loaded = Machine(name, MappingProxyType(known), rows, initial, MappingProxyType(_compile(declared)))
    _check_reachable(loaded)
    return loaded


def _known_states(name: str, states: Iterable[State], deadlines: bool) -> dict[str, State]:
    known: dict[str, State] = {}
    for state in states:
        if state.name in known:
            raise TableError(f"machine {name}: state {state.name} is listed twice")
        if deadlines and state.stability is Stability.TRANSITIONAL and not (state.within and state.overdue):
            raise TableError(
                f"machine {name}: transitional state {state.name} needs a deadline: give it `within` and `overdue`"
            )
        if state.stability is not Stability.TRANSITIONAL and (state.within or state.overdue):
            raise TableError(f"machine {name}: {state.name} is {state.stability} and cannot be overdue")
        known[state.name] = state
    return known


def _rows(name: str, moves: str) -> Iterable[Move]:
    for line in moves.splitlines():
        words = line.partition("#")[0].split()
        if words and len(words) != 3:
            raise TableError(f"machine {name}: row {line.strip()!r} must be `source event destination`")
        if words:
            yield Move(*words)


def _check_rows(name: str, states: Mapping[str, State], rows: tuple[Move, ...], initial: str) -> None:
    if initial not in states:
        raise TableError(f"machine {name}: initial state {initial} is not listed")
    seen: set[tuple[str, str]] = set()
    for row in rows:
        for state in (row.source, row.destination):
            if state not in states:
                raise TableError(f"machine {name}: row {row} names the unknown state {state}")
        if (row.source, row.event) in seen:
            raise TableError(f"machine {name}: ({row.source}, {row.event}) has two destinations")
        if states[row.source].stability is Stability.TERMINAL:
            raise TableError(f"machine {name}: terminal state {row.source} has a way out by {row.event}")
        seen.add((row.source, row.event))


def _declare(name: str, states: tuple[str, ...], rows: tuple[Move, ...], initial: str) -> transitions.Machine:
    import transitions

    return transitions.Machine(
        model=None,
        name=name,
        states=list(states),
        initial=initial,
        auto_transitions=False,
        transitions=[[row.event, row.source, row.destination] for row in rows],
    )


def _compile(declared: transitions.Machine) -> dict[tuple[str, str], str]:
    return {
        (str(source), str(name)): str(rows[0].dest)
        for name, event in declared.events.items()
        for source, rows in event.transitions.items()
    }


def _check_reachable(loaded: Machine) -> None:
    reached, frontier = {loaded.initial}, [loaded.initial]
    while frontier:
        source = frontier.pop()
        following = {move.destination for move in loaded.moves if move.source == source} - reached
        reached |= following
        frontier.extend(following)
    for name, state in loaded.states.items():
        if name not in reached:
            raise TableError(f"machine {loaded.name}: state {name} cannot be reached from {loaded.initial}")
        if state.stability is not Stability.TERMINAL and not loaded.events(name):
            raise TableError(f"machine {loaded.name}: {name} has no way out and is not terminal")
