"""What the database refuses, as (condition, message) pairs in SQL that SQLite and PostgreSQL both read.

Conditions speak of OLD and NEW. Messages begin with "interlock:" and a code, by which the store tells a lost race
(stale, capacity, interlock) from a defect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from interlock.schema.cloud import APART, TOGETHER
from interlock.schema.holdings import LIMITS, METERED, Limited, Metered
from interlock.schema.interlocks import INTERLOCKS, Holds, HoldsNo, Interlock, Need
from interlock.schema.machine import CREATED, NOT_YET, Machine, Stability
from interlock.schema.machines import MACHINES
from interlock.schema.tables.derived import MEMBERSHIPS
from interlock.schema.tallies import STAYS, TALLIED_BY
from interlock.schema.transition import CLOUD, CLOUD_STATE


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
    if name == "vm":
        yield Refused(f"NEW.affinity_groups <> '[]' AND {_ON_A_HOST}", _NO_CHANGE_OF_GROUPS)
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
    if name == "vm":
        yield from affinity()


def on_delete(machine: Machine) -> Refused:
    """No row of a machine is ever deleted, unless its entity has ended and is being archived with its journal rows."""
    over = ", ".join(f"'{state}'" for state in machine.names(Stability.TERMINAL))
    return Refused(
        f"OLD.state NOT IN ({over}) OR NOT EXISTS (SELECT 1 FROM archiving WHERE entity_id = OLD.id)",
        f"interlock: append-only: rows of {machine.name} are never deleted, but by `interlock journal archive`",
    )


JOURNAL_DELETE = Refused(
    "NOT EXISTS (SELECT 1 FROM archiving WHERE entity_id = OLD.entity_id) OR OLD.seq = (SELECT max(seq) FROM journal)",
    "interlock: append-only: rows of journal are never deleted, but by `interlock journal archive`, and the last never",
)
"""The last one says which number is next."""


def emptied(table: str) -> Refused:
    """Nobody empties a table as a whole."""
    return Refused("1 = 1", f"interlock: append-only: {table} is never emptied")


ARCHIVE_INSERT = Refused("NEW.count < 1 OR NEW.first > NEW.last", "interlock: illegal: an archive holds journal rows")
ARCHIVE_CHANGE = Refused("1 = 1", "interlock: append-only: what was archived is never changed nor forgotten")
ARCHIVING_INSERT = Refused(
    "NOT EXISTS (SELECT 1 FROM archive WHERE id = NEW.archive_id)",
    "interlock: illegal: what is archived names its archive",
)
JOURNAL_UPDATE = Refused("1 = 1", "interlock: append-only: journal rows are never changed")


OF_CLOUD = f"NEW.machine = '{CLOUD}' OR NEW.entity_id = '{CLOUD}'"
"""Whether a journal row is one of the cloud: the others do not pay for what is asked of it."""
CLOUD_UNCHAINED = Refused(
    f"({OF_CLOUD}) AND NOT (NEW.machine = '{CLOUD}' AND NEW.entity_id = '{CLOUD}' AND"
    f" NEW.destination = '{CLOUD_STATE}' AND ((NEW.version = 1 AND NEW.prev = '') OR EXISTS (SELECT 1 FROM journal"
    f" WHERE entity_id = '{CLOUD}' AND version = NEW.version - 1 AND hash = NEW.prev)))",
    "interlock: stale: this row of the cloud does not follow its last one; read it again",
)
"""The cloud has no table of its own whose guard would look at its rows."""


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
    """When `condition` is true, run `update`; `fits` are the queries that must find a row for it, with messages."""

    condition: str
    update: str
    fits: tuple[tuple[str, str], ...] = ()


def books(holder: str) -> Iterable[Booking]:
    """What follows a change of a holder's row; giving back comes first."""
    for write in (_left, _stayed, _joined):
        for together in _together(holder):
            yield from write(together)


def taken_at_birth(holder: str) -> Iterable[Booking]:
    """What follows a new row; nothing ever follows a deleted one, because there is none."""
    for together in _together(holder):
        yield _booking(together, f"NEW.{together[0].key} IS NOT NULL", "NEW", "+ {NEW}")


Together = tuple[Metered, ...]
"""Rules that change the same row of the same resource: one update does for all of them."""


def _together(holder: str) -> Iterable[Together]:
    rules = [rule for rule in METERED if rule.holder == holder]
    for key, resource in dict.fromkeys((rule.key, rule.resource) for rule in rules):
        yield tuple(rule for rule in rules if (rule.key, rule.resource) == (key, resource))


def _left(rules: Together) -> Iterable[Booking]:
    key = rules[0].key
    gone = f"OLD.{key} IS NOT NULL AND (NEW.{key} IS NULL OR OLD.{key} <> NEW.{key})"
    yield _booking(rules, gone, "OLD", "- {OLD}")


def _stayed(rules: Together) -> Iterable[Booking]:
    key = rules[0].key
    amounts = [rule.amount for rule in rules if rule.amount is not None]
    if amounts:
        changed = " OR ".join(f"OLD.{amount} <> NEW.{amount}" for amount in amounts)
        yield _booking(rules, f"OLD.{key} = NEW.{key} AND ({changed})", "NEW", "+ {NEW} - {OLD}")


def _joined(rules: Together) -> Iterable[Booking]:
    key = rules[0].key
    come = f"NEW.{key} IS NOT NULL AND (OLD.{key} IS NULL OR OLD.{key} <> NEW.{key})"
    yield _booking(rules, come, "NEW", "+ {NEW}")


def _booking(rules: Together, condition: str, side: str, change: str) -> Booking:
    first = rules[0]
    after = {rule: f"{rule.used} {change.format(OLD=_amount(rule, 'OLD'), NEW=_amount(rule, 'NEW'))}" for rule in rules}
    set_to = ", ".join(f"{rule.used} = {value}" for rule, value in after.items())
    where = f"WHERE id = {side}.{first.key}"
    fits = tuple(
        (
            f"SELECT 1 FROM {rule.resource} {where} AND {value} >= 0 AND {value} <= {_most(rule)}",
            f"interlock: capacity: {rule.resource}_{rule.thing}_within_capacity: there is no such room",
        )
        for rule, value in after.items()
        if not isinstance(rule, Limited)
    )
    if isinstance(first, Limited):
        # Whoever is not there has no limit: SQLite's foreign keys hold only for those who ask for them.
        nobody = f"interlock: ledger: what {first.key} names is no {first.resource}"
        fits = ((f"SELECT 1 FROM {first.resource} {where}", nobody),)
    return Booking(f"({condition})", f"UPDATE {first.resource} SET {set_to} {where}", fits)


def _amount(rule: Metered, side: str) -> str:
    return "1" if rule.amount is None else f"{side}.{rule.amount}"


def _most(rule: Metered) -> str:
    return f"{rule.total} * {rule.overcommit}" if rule.overcommit else rule.total


def holders() -> tuple[str, ...]:
    """The tables whose rows hold metered things."""
    return tuple(dict.fromkeys(rule.holder for rule in METERED))


BUDGETS = ("account", "domain")
"""The tables whose rows have limits: what an account uses, the domains above it use as well."""


def over_limit(table: str) -> Iterable[Refused]:
    """What a changed budget must not be. A limit that was lowered below what is used refuses only more."""
    for rule in LIMITS:
        yield Refused(
            f"NEW.{rule.used} > OLD.{rule.used} AND NEW.{rule.used} > NEW.{rule.total}",
            f"interlock: limit: {table}_{rule.thing}_within_limit: the {table} may have no more of these",
        )
        yield Refused(f"NEW.{rule.used} < 0", f"interlock: ledger: {rule.used} of this {table} would fall below zero")


def rolled_up() -> Booking:
    """What follows a changed account: its domain, and all above, have used as much more."""
    changed = " OR ".join(f"NEW.{rule.used} <> OLD.{rule.used}" for rule in LIMITS)
    set_to = ", ".join(f"{rule.used} = {rule.used} + NEW.{rule.used} - OLD.{rule.used}" for rule in LIMITS)
    where = "WHERE id IN (SELECT above_id FROM domain_above WHERE domain_id = NEW.domain_id)"
    return Booking(f"({changed})", f"UPDATE domain SET {set_to} {where}")


_ON_A_HOST = "(NEW.host_id IS NOT NULL OR NEW.target_host_id IS NOT NULL)"
_NO_CHANGE_OF_GROUPS = "interlock: affinity: a VM joins and leaves affinity groups only while it is on no host"


def affinity() -> Iterable[Refused]:
    """What a VM that takes a host must not do to the strict affinity groups it is in."""
    yield Refused(f"NEW.affinity_groups <> OLD.affinity_groups AND {_ON_A_HOST}", _NO_CHANGE_OF_GROUPS)
    for key in ("host_id", "target_host_id"):
        taken = f"NEW.affinity_groups <> '[]' AND NEW.{key} IS NOT NULL AND coalesce(OLD.{key}, '') <> NEW.{key}"
        yield Refused(
            f"{taken} AND {_member(APART, f'(them.host_id = NEW.{key} OR them.target_host_id = NEW.{key})')}",
            "interlock: affinity: another VM of one of its host anti-affinity groups is on that host",
        )
        yield Refused(
            f"{taken} AND {_member(TOGETHER, f'(them.host_id <> NEW.{key} OR them.target_host_id <> NEW.{key})')}",
            "interlock: affinity: the other VMs of one of its host affinity groups are on another host",
        )


def _member(kind: str, stands: str) -> str:
    return (
        "EXISTS (SELECT 1 FROM affinity_member mine"
        f" JOIN affinity_group g ON g.id = mine.group_id AND g.kind = '{kind}'"
        " JOIN affinity_member theirs ON theirs.group_id = mine.group_id AND theirs.vm_id <> NEW.id"
        f" JOIN vm them ON them.id = theirs.vm_id AND {stands}"
        " WHERE mine.vm_id = NEW.id)"
    )


@dataclass(frozen=True, slots=True)
class Membership:
    """An index of the groups that VMs list in a JSON column."""

    table: str
    column: str

    @property
    def changed(self) -> str:
        """Whether an update of a VM changes who is in the index."""
        return f"(NEW.{self.column} <> OLD.{self.column} OR (NEW.state = 'Expunged' AND NEW.{self.column} <> '[]'))"

    @property
    def listed(self) -> str:
        """Whether a VM is in it."""
        return f"(NEW.{self.column} <> '[]' AND NEW.state <> 'Expunged')"

    @property
    def left(self) -> str:
        """Take a VM out."""
        return f"DELETE FROM {self.table} WHERE vm_id = NEW.id"


MEMBERS = tuple(Membership(table, column) for table, column in MEMBERSHIPS.items())


@dataclass(frozen=True, slots=True)
class Tallying:
    """When `condition` is true of a changed row, run `updates`."""

    name: str
    when: str
    condition: str
    updates: tuple[str, ...]


def tallies() -> Iterable[Tallying]:
    """What keeps the counts of VMs by state and place. A row that counts nothing any more is not there."""
    listed = ", ".join(f"'{state}'" for state in STAYS)
    was, is_now = f"OLD.state IN ({listed})", f"NEW.state IN ({listed})"
    moved = " OR ".join(f"OLD.{column} <> NEW.{column}" for column in ("state", *TALLIED_BY.values()))
    left = tuple(each for scope, key in TALLIED_BY.items() for each in _one_less(scope, key))
    came = tuple(_one_more(scope, key) for scope, key in TALLIED_BY.items())
    yield Tallying("ledger_vm_tally_left", "AFTER UPDATE ON vm", f"{was} AND ({moved})", left)
    yield Tallying("ledger_vm_tally_came", "AFTER UPDATE ON vm", f"{is_now} AND ({moved})", came)
    yield Tallying("ledger_vm_tally_insert", "AFTER INSERT ON vm", is_now, came)
    yield Tallying("ledger_vm_tally_delete", "AFTER DELETE ON vm", was, left)


def _one_more(scope: str, key: str) -> str:
    return (
        f"INSERT INTO vm_tally (scope, place_id, state, count) VALUES ('{scope}', NEW.{key}, NEW.state, 1)"
        " ON CONFLICT (scope, place_id, state) DO UPDATE SET count = vm_tally.count + 1"
    )


def _one_less(scope: str, key: str) -> tuple[str, str]:
    where = f"WHERE scope = '{scope}' AND place_id = OLD.{key} AND state = OLD.state"
    return f"DELETE FROM vm_tally {where} AND count = 1", f"UPDATE vm_tally SET count = count - 1 {where}"
