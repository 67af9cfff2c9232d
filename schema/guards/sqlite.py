"""The guards as SQLite triggers. Written for SQLite 3.40 and newer.

RAISE takes only a literal here, so messages name the machine, not the row; the store adds which.

A statement may carry a conflict clause, and SQLite then deletes rows without asking a DELETE trigger (OR REPLACE),
skips what a trigger does (OR IGNORE), or keeps half of it (OR FAIL). A RAISE(ABORT) it cannot change. So what a unique
index or a CHECK would refuse is refused by a trigger first, in the index's own words.

Of a list of values after IN, SQLite makes a table, in a trigger anew for each row: that took half of what the guards
cost. So what is asked of OLD and NEW is spelled out, case by case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Index, Table, UniqueConstraint

from interlock.schema.guards import rules
from interlock.schema.machines import MACHINES
from interlock.schema.tables import metadata

EARLIER = (
    "SELECT 'DROP TRIGGER ' || name FROM sqlite_master"
    " WHERE type = 'trigger' AND (name GLOB 'guard_*' OR name GLOB 'ledger_*')"
)


def statements() -> tuple[str, ...]:
    """Create every trigger."""
    return tuple(_LISTED.sub(_spelled_out, sql) for sql in _all())


_LISTED = re.compile(r"(NEW\.\w+|OLD\.\w+|\(OLD\.\w+ \|\| '>' \|\| NEW\.\w+\)) (NOT )?IN \(('[^)]*')\)")
"""What is asked of the row that changes, and the list; what is asked of other rows may be answered by an index, whose
condition is the same list."""


def _spelled_out(asked: re.Match[str]) -> str:
    what, no, values = asked.groups("")
    cases = " ".join(f"WHEN {value} THEN 1" for value in values.split(", "))
    return f"{no}CASE {what} {cases} ELSE 0 END"


def _all() -> Iterable[str]:
    for machine in MACHINES.values():
        table = machine.name
        keys = list(_keys(metadata.tables[table]))
        new = [key.taken() for key in keys]
        changed = [key.taken(unless=key.kept) for key in keys]
        yield _refusing(f"guard_{table}_insert", f"BEFORE INSERT ON {table}", [*new, *rules.on_insert(machine)])
        yield _refusing(f"guard_{table}_update", f"BEFORE UPDATE ON {table}", [*rules.on_update(machine), *changed])
        yield _refusing(f"guard_{table}_delete", f"BEFORE DELETE ON {table}", [rules.on_delete(machine)])
    new = [key.taken() for key in _keys(metadata.tables["journal"])]
    yield _refusing("guard_journal_insert", "BEFORE INSERT ON journal", [*new, rules.CLOUD_UNCHAINED])
    yield _refusing("guard_journal_update", "BEFORE UPDATE ON journal", [rules.JOURNAL_UPDATE])
    yield _refusing("guard_journal_delete", "BEFORE DELETE ON journal", [rules.JOURNAL_DELETE])
    new = [key.taken() for key in _keys(metadata.tables["archive"])]
    yield _refusing("guard_archive_insert", "BEFORE INSERT ON archive", [*new, rules.ARCHIVE_INSERT])
    yield _refusing("guard_archive_update", "BEFORE UPDATE ON archive", [rules.ARCHIVE_CHANGE])
    yield _refusing("guard_archive_delete", "BEFORE DELETE ON archive", [rules.ARCHIVE_CHANGE])
    yield _refusing("guard_archiving_insert", "BEFORE INSERT ON archiving", [rules.ARCHIVING_INSERT])
    for holder in rules.holders():
        yield _booking(f"ledger_{holder}_update", f"AFTER UPDATE ON {holder}", list(rules.books(holder)))
        yield _booking(f"ledger_{holder}_insert", f"AFTER INSERT ON {holder}", list(rules.taken_at_birth(holder)))
    for table in rules.BUDGETS:
        yield _refusing(f"guard_{table}_update", f"BEFORE UPDATE ON {table}", rules.over_limit(table))
    yield _booking("ledger_account_update", "AFTER UPDATE ON account", [rules.rolled_up()])
    for each in rules.MEMBERS:
        yield from _indexing(each)
    for counted in rules.tallies():
        steps = "".join(f"{update}; " for update in counted.updates)
        yield f"CREATE TRIGGER {counted.name} {counted.when} WHEN {counted.condition} BEGIN {steps}END"


@dataclass(frozen=True, slots=True)
class _Key:
    """A unique key of a table; `where`: the rows it is about, empty: all."""

    table: str
    columns: Sequence[str]
    where: str

    def taken(self, unless: str = "0") -> rules.Refused:
        """Refuses a row whose key another one has; `unless` the row has it already."""
        same = " AND ".join(f"{column} = NEW.{column}" for column in self.columns)
        also = f" AND {self.where} AND NEW.{self.where}" if self.where else ""
        return rules.Refused(
            f"NOT ({unless}) AND EXISTS (SELECT 1 FROM {self.table} WHERE {same}{also})",
            "UNIQUE constraint failed: " + ", ".join(f"{self.table}.{column}" for column in self.columns),
        )

    @property
    def kept(self) -> str:
        """Whether a changed row had the key before."""
        same = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in self.columns)
        return f"{same} AND OLD.{self.where}" if self.where else same


def _keys(table: Table) -> Iterable[_Key]:
    yield _Key(table.name, table.primary_key.columns.keys(), "")
    for each in table.constraints:
        if isinstance(each, UniqueConstraint):
            yield _Key(table.name, each.columns.keys(), "")
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        if index.unique:
            yield _Key(table.name, index.columns.keys(), _where(index))


def _where(index: Index) -> str:
    where = index.dialect_options["sqlite"]["where"]
    return "" if where is None else str(where)


def _refusing(name: str, when: str, refusals: Iterable[rules.Refused]) -> str:
    cases = " ".join(f"WHEN {each.condition} THEN {_abort(each.message)}" for each in refusals)
    return f"CREATE TRIGGER {name} {when} BEGIN SELECT CASE {cases} END; END"


def _booking(name: str, when: str, books: Sequence[rules.Booking]) -> str:
    steps = " ".join(f"{_room(each)}{each.update} AND {each.condition};" for each in books)
    return f"CREATE TRIGGER {name} {when} WHEN {' OR '.join(each.condition for each in books)} BEGIN {steps} END"


def _room(book: rules.Booking) -> str:
    return "".join(
        f"SELECT {_abort(message)} WHERE {book.condition} AND NOT EXISTS ({query}); " for query, message in book.fits
    )


def _indexing(each: rules.Membership) -> Iterable[str]:
    joined = f"INSERT OR IGNORE INTO {each.table} SELECT DISTINCT value, NEW.id FROM json_each(NEW.{each.column})"
    yield f"CREATE TRIGGER ledger_{each.table}_insert AFTER INSERT ON vm WHEN {each.listed} BEGIN {joined}; END"
    yield (
        f"CREATE TRIGGER ledger_{each.table}_update AFTER UPDATE ON vm WHEN {each.changed}"
        f" BEGIN {each.left}; {joined} WHERE {each.listed}; END"
    )


def _abort(message: str) -> str:
    return f"RAISE(ABORT, {_literal(message)})"


def _literal(message: str) -> str:
    return "'" + message.replace("'", "''") + "'"
