"""The guards as PostgreSQL trigger functions, one per table and occasion.

They raise SQLSTATE 23000 (integrity constraint violation), so that a driver shows them as integrity errors. TRUNCATE
is refused as well: it fires no row trigger.
"""

from __future__ import annotations

from collections.abc import Iterable

from interlock.schema.guards import rules
from interlock.schema.machines import MACHINES

EARLIER = (
    "SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger"
    " WHERE NOT tgisinternal AND tgname ~ '^(guard|ledger)_'"
)


def statements() -> tuple[str, ...]:
    """Create every function and trigger."""
    return tuple(_all())


def _all() -> Iterable[str]:
    for machine in MACHINES.values():
        table = machine.name
        yield from _refusing(f"guard_{table}_insert", f"BEFORE INSERT ON {table}", rules.on_insert(machine))
        yield from _refusing(f"guard_{table}_update", f"BEFORE UPDATE ON {table}", rules.on_update(machine))
        yield from _kept(table, rules.on_delete(machine))
    of_cloud = f"ROW WHEN ({rules.OF_CLOUD})"
    yield from _refusing("guard_journal_insert", "BEFORE INSERT ON journal", [rules.CLOUD_UNCHAINED], of_cloud)
    yield from _refusing("guard_journal_update", "BEFORE UPDATE ON journal", [rules.JOURNAL_UPDATE])
    yield from _kept("journal", rules.JOURNAL_DELETE)
    yield from _refusing("guard_archive_insert", "BEFORE INSERT ON archive", [rules.ARCHIVE_INSERT])
    yield from _refusing("guard_archive_update", "BEFORE UPDATE ON archive", [rules.ARCHIVE_CHANGE])
    yield from _kept("archive", rules.ARCHIVE_CHANGE)
    yield from _refusing("guard_archiving_insert", "BEFORE INSERT ON archiving", [rules.ARCHIVING_INSERT])
    for holder in rules.holders():
        yield from _booking(f"ledger_{holder}_update", f"AFTER UPDATE ON {holder}", rules.books(holder))
        yield from _booking(f"ledger_{holder}_insert", f"AFTER INSERT ON {holder}", rules.taken_at_birth(holder))
    for table in rules.BUDGETS:
        yield from _refusing(f"guard_{table}_update", f"BEFORE UPDATE ON {table}", rules.over_limit(table))
    yield from _booking("ledger_account_update", "AFTER UPDATE ON account", [rules.rolled_up()])
    for each in rules.MEMBERS:
        yield from _indexing(each)
    for counted in rules.tallies():
        steps = "".join(f"{update}; " for update in counted.updates)
        yield from _trigger(counted.name, counted.when, f"{steps}RETURN NULL;", f"ROW WHEN ({counted.condition})")


def _kept(table: str, refused: rules.Refused) -> Iterable[str]:
    yield from _refusing(f"guard_{table}_delete", f"BEFORE DELETE ON {table}", [refused], row="OLD")
    emptied = [rules.emptied(table)]
    yield from _refusing(f"guard_{table}_truncate", f"BEFORE TRUNCATE ON {table}", emptied, "STATEMENT")


def _refusing(
    name: str, when: str, refusals: Iterable[rules.Refused], each: str = "ROW", *, row: str = "NEW"
) -> Iterable[str]:
    """`row`: the one that is handed on; without one, the statement would skip it."""
    checks = " ".join(
        f"IF {one.condition} THEN RAISE EXCEPTION USING ERRCODE = '23000', MESSAGE = {_literal(one.message)}; END IF;"
        for one in refusals
    )
    return _trigger(name, when, f"{checks} RETURN {row};", each)


def _booking(name: str, when: str, books: Iterable[rules.Booking]) -> Iterable[str]:
    # The CHECK on the resource refuses what does not fit.
    steps = " ".join(f"IF {each.condition} THEN {each.update}; END IF;" for each in books)
    return _trigger(name, when, f"{steps} RETURN NULL;", "ROW")


def _indexing(each: rules.Membership) -> Iterable[str]:
    joined = (
        f"INSERT INTO {each.table} SELECT value, NEW.id FROM json_array_elements_text(NEW.{each.column}::json)"
        " ON CONFLICT DO NOTHING"
    )
    body = f"IF {each.listed} THEN {joined}; END IF; RETURN NULL;"
    yield from _trigger(f"ledger_{each.table}_insert", "AFTER INSERT ON vm", body, "ROW")
    body = f"IF {each.changed} THEN {each.left}; {body.removesuffix(' RETURN NULL;')} END IF; RETURN NULL;"
    yield from _trigger(f"ledger_{each.table}_update", "AFTER UPDATE ON vm", body, "ROW")


def _trigger(name: str, when: str, body: str, each: str) -> Iterable[str]:
    yield f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $guard$ BEGIN {body} END $guard$"
    yield f"CREATE TRIGGER {name} {when} FOR EACH {each} EXECUTE FUNCTION {name}()"


def _literal(message: str) -> str:
    return "'" + message.replace("'", "''") + "'"
