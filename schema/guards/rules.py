"""What the database refuses, as (condition, message) pairs in SQL that SQLite and PostgreSQL both read.

Conditions speak of OLD and NEW. Messages begin with "interlock:" and a code, by which the store tells a lost race
(stale, capacity, interlock) from a defect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from interlock.schema.holdings import METERED, Metered
from interlock.schema.interlocks import INTERLOCKS, Holds, HoldsNo, Interlock, Need
from interlock.schema.machine import CREATED, NOT_YET, Machine, Stability
from interlock.schema.machines import MACHINES


@dataclass(frozen=True, slots=True)
class Refused:
    """Refuse with `message` when `condition` is true."""

    condition: str
    message: str


def on_insert(machine: Machine) -> Iterable[Refused]:
    """What a new row must not be."""
    name = machine.name
    yield Refused(
        f"NEW.state <> '{machine.initial}' OR NEW.version <> 1",
        f"interlock: illegal: a new {name} begins in {machine.initial} with version 1",
    )
    yield _unjournaled(name, f"source = '{NOT_YET}' AND event = '{CREATED}' AND destination = NEW.state")


def on_update(machine: Machine) -> Iterable[Refused]:
    """What a changed row must not be."""
    name = machine.name
    yield Refused(
        f"(OLD.state || '>' || NEW.state) NOT IN ({_pairs(machine)})",
        f"interlock: illegal: the {name} machine has no such transition; see `interlock machines {name}`",
    )
    yield Refused(
        "NEW.id <> OLD.id OR NEW.version <> OLD.version + 1",
        f"interlock: stale: this {name} has moved on, or was changed without its version; read it again",
    )
    yield _unjournaled(name, "source = OLD.state AND destination = NEW.state")
    for row in INTERLOCKS:
        if row.machine == name:
            for need in row.needs:
                yield Refused(
                    f"NEW.state = '{row.state}' AND OLD.state <> NEW.state AND {_unmet(need)}",
                    _said(row, need),
                )


def on_delete(table: str) -> Refused:
    """No row of a machine or of the journal is ever deleted."""
    return Refused("1 = 1", f"interlock: append-only: rows of {table} are never deleted")


JOURNAL_UPDATE = Refused("1 = 1", "interlock: append-only: journal rows are never changed")


def _pairs(machine: Machine) -> str:
    return ", ".join(f"'{source}>{destination}'" for source, destination in machine.steps())


def _unjournaled(name: str, same: str) -> Refused:
    return Refused(
        "NOT EXISTS (SELECT 1 FROM journal WHERE entity_id = NEW.id AND version = NEW.version"
        f" AND hash = NEW.hash AND machine = '{name}' AND {same})",
        f"interlock: unjournaled: no change of a {name} without its journal row in the same transaction",
    )


def _unmet(need: Need) -> str:
    if isinstance(need, Holds):
        return f"NEW.{need.column} IS NULL"
    if isinstance(need, HoldsNo):
        return f"NEW.{need.column} IS NOT NULL"
    allowed = (*need.states, *MACHINES[need.machine].names(Stability.TERMINAL))
    listed = ", ".join(f"'{state}'" for state in allowed)
    mine = "id = NEW.vm_id" if need.machine == "vm" else "vm_id = NEW.id"
    return f"EXISTS (SELECT 1 FROM {need.machine} WHERE {mine} AND state NOT IN ({listed}))"


def _said(row: Interlock, need: Need) -> str:
    if isinstance(need, Holds):
        what = f"it holds no {need.column}"
    elif isinstance(need, HoldsNo):
        what = f"it still holds its {need.column}"
    else:
        what = f"a {need.machine} is not {' or '.join(need.states) or 'gone'}"
    return f"interlock: interlocked: no {row.machine} enters {row.state} while {what}"


@dataclass(frozen=True, slots=True)
class Booking:
    """When `condition` is true, run `update`, which `fits` if that query finds a row."""

    condition: str
    update: str
    fits: str
    message: str


def books(holder: str) -> Iterable[Booking]:
    """What follows a change of a holder's row; giving back comes first."""
    for side, other in (("OLD", "NEW"), ("NEW", "OLD")):
        for rule in METERED:
            if rule.holder == holder:
                yield _booking(rule, side, _moved(rule, side, other))


def taken_at_birth(holder: str) -> Iterable[Booking]:
    """What follows a new row; nothing ever follows a deleted one, because there is none."""
    for rule in METERED:
        if rule.holder == holder:
            yield _booking(rule, "NEW", f"NEW.{rule.key} IS NOT NULL")


def _moved(rule: Metered, side: str, other: str) -> str:
    return (
        f"{side}.{rule.key} IS NOT NULL AND ({other}.{rule.key} IS NULL OR OLD.{rule.key} <> NEW.{rule.key}"
        f" OR OLD.{rule.amount} <> NEW.{rule.amount})"
    )


def _booking(rule: Metered, side: str, condition: str) -> Booking:
    """OLD gives back, NEW takes."""
    after = f"{rule.used} {'+' if side == 'NEW' else '-'} {side}.{rule.amount}"
    return Booking(
        condition,
        f"UPDATE {rule.resource} SET {rule.used} = {after} WHERE id = {side}.{rule.key}",
        f"SELECT 1 FROM {rule.resource} WHERE id = {side}.{rule.key}"
        f" AND {after} >= 0 AND {after} <= {rule.total} * {rule.overcommit}",
        f"interlock: capacity: {rule.resource}_{rule.thing}_within_capacity: there is no such room",
    )


def holders() -> tuple[str, ...]:
    """The tables whose rows hold metered things."""
    return tuple(dict.fromkeys(rule.holder for rule in METERED))
