"""CloudStack's machines, loaded as ours are, so that its logs are checked against the machine that wrote them.

The tables are in `cloudstack.toml`. Where entities begin in several states, or in none (`null`), the machine begins in
`null`, and `CreatedAs…` leads from there to where they begin: those rows are ours, all others CloudStack's. A state
without way out is terminal. Deadlines are not known.

`Eras` are what a table did not have at some time: a transition can be legal today and impossible in the line's time.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from interlock.replay.foreign.names import NAMES, OURS
from interlock.schema.machine import CREATED, Machine, State, machine, stable, terminal, transitional
from interlock.schema.machines import MACHINES

NOTHING = "null"
"""CloudStack's name for the state of what is not there yet."""


@dataclass(frozen=True)
class Era:
    """Events, or one row, that a machine has only since a release or a day (microseconds since 1970 UTC)."""

    machine: str
    events: tuple[str, ...]
    adds: tuple[str, ...]
    since: tuple[int, ...] | None
    from_day: int | None
    why: str

    def concerns(self, step: tuple[str, str, str]) -> bool:
        """Whether a transition (source, event, destination) is of this era."""
        return step == self.adds or step[1] in self.events

    def not_yet(self, newest: str | None, at: int | None) -> bool:
        """Whether a line cannot be of this era.

        Args:
            newest: the last release that prints such lines; None: today's do.
            at: when it was written, in microseconds since 1970; None: it does not say.
        """
        if self.since and newest and release(newest) < self.since:
            return True
        return self.from_day is not None and at is not None and at < self.from_day


def release(name: str) -> tuple[int, ...]:
    """`4.15` as (4, 15), which sorts."""
    return tuple(int(part) for part in name.split("."))


@cache
def machines() -> Mapping[str, Machine]:
    """All machines of CloudStack by our names for them, in the order of `NAMES`.

    Raises:
        TableError: the file is wrong; the message says which row.
    """
    return MappingProxyType({table["name"]: _machine(table) for table in _file()["machines"]})


@cache
def eras() -> Mapping[str, tuple[Era, ...]]:
    """By machine, what it has only since some time."""
    found: dict[str, tuple[Era, ...]] = dict.fromkeys(NAMES, ())
    for table in _file()["eras"]:
        found[table["machine"]] += (_era(table),)
    return MappingProxyType(found)


@cache
def declared_in() -> Mapping[str, tuple[str, str]]:
    """By machine, the Java enum that declares it, and its file."""
    return MappingProxyType({table["name"]: tuple(table["declared_in"]) for table in _file()["machines"]})


def differences(name: str) -> list[tuple[str, str, str, str]]:
    """What the machine of ours does otherwise: source, event, CloudStack's destination, ours (empty: it refuses)."""
    ours = MACHINES[OURS[name]].table
    moves = [move for move in machines()[name].moves if move.source != NOTHING]
    rows = [(move.source, move.event, move.destination) for move in moves]
    return [(*row, ours.get(row[:2], "")) for row in rows if ours.get(row[:2]) != row[2]]


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "cloudstack.toml").read_text(encoding="utf-8"))


def _machine(table: dict[str, Any]) -> Machine:
    begins: list[str] = table["begins"]
    several = len(begins) > 1
    created = [f"{NOTHING} {CREATED}As{state} {state}" for state in begins if several and state != NOTHING]
    moves = "\n".join([*created, table["moves"]])
    rows = [words for line in moves.splitlines() if (words := line.partition("#")[0].split())]
    sources = {row[0] for row in rows}
    names = dict.fromkeys([NOTHING] if several else begins) | dict.fromkeys(row[0] for row in rows)
    names |= dict.fromkeys(row[-1] for row in rows)
    states = [_state(name, name in sources, name in table["transitional"]) for name in names]
    return machine(table["name"], initial=next(iter(names)), states=states, moves=moves, deadlines=False)


def _state(name: str, moves_on: bool, passing: bool) -> State:
    if not moves_on:
        return terminal(name)
    return transitional(name) if passing else stable(name)


def _era(table: dict[str, Any]) -> Era:
    day = table.get("from_day")
    return Era(
        table["machine"],
        tuple(table.get("events", ())),
        tuple(table.get("adds", "").split()),
        release(table["since"]) if "since" in table else None,
        int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000 if day else None,
        table["why"],
    )
