"""The guards as SQLite triggers. Written for SQLite 3.40 and newer.

RAISE takes only a literal here, so messages name the machine, not the row; the store adds which.
"""

from __future__ import annotations

from collections.abc import Iterable

from interlock.schema.guards import rules
from interlock.schema.machines import MACHINES


def statements() -> tuple[str, ...]:
    """Drop and create every trigger."""
    return tuple(text for name, body in _triggers() for text in (f"DROP TRIGGER IF EXISTS {name}", body))


def _triggers() -> Iterable[tuple[str, str]]:
    for machine in MACHINES.values():
        table = machine.name
        yield _refusing(f"guard_{table}_insert", f"BEFORE INSERT ON {table}", rules.on_insert(machine))
        yield _refusing(f"guard_{table}_update", f"BEFORE UPDATE ON {table}", rules.on_update(machine))
        yield _refusing(f"guard_{table}_delete", f"BEFORE DELETE ON {table}", [rules.on_delete(table)])
    yield _refusing("guard_journal_update", "BEFORE UPDATE ON journal", [rules.JOURNAL_UPDATE])
    yield _refusing("guard_journal_delete", "BEFORE DELETE ON journal", [rules.on_delete("journal")])
    for holder in rules.holders():
        for number, (condition, update) in enumerate(rules.books(holder)):
            yield _booking(f"ledger_{holder}_update_{number}", f"AFTER UPDATE ON {holder}", condition, update)
        for number, (condition, update) in enumerate(rules.taken_at_birth(holder)):
            yield _booking(f"ledger_{holder}_insert_{number}", f"AFTER INSERT ON {holder}", condition, update)


def _refusing(name: str, when: str, refusals: Iterable[rules.Refused]) -> tuple[str, str]:
    cases = " ".join(f"WHEN {each.condition} THEN RAISE(ABORT, {_literal(each.message)})" for each in refusals)
    return name, f"CREATE TRIGGER {name} {when} BEGIN SELECT CASE {cases} END; END"


def _booking(name: str, when: str, condition: str, update: str) -> tuple[str, str]:
    return name, f"CREATE TRIGGER {name} {when} WHEN {condition} BEGIN {update}; END"


def _literal(message: str) -> str:
    return "'" + message.replace("'", "''") + "'"
