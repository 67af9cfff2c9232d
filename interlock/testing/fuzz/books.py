"""The oracle's books: what is held where, who owns what, and which operation has what, moved along by each change.

They are kept from the records that the journal gives, and held against the counters of the tables: of each place and
thing that a change moves. So a look costs the same however much there is. `recount` counts everything anew from all
records, and must come to the same: that shows both that nothing happened to what no change moved, and that moving along
is counting.

Shares nothing with what it judges but the table of what is counted (`schema/holdings.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

from interlock.schema.cloud import Account
from interlock.schema.holdings import METERED, UNIQUE, Limited, Metered
from interlock.schema.operation import ACTIVE
from interlock.schema.records import MACHINE_OF, RECORDS, Entity, Operation
from interlock.testing.fuzz.violation import Violation

Places = Mapping[str, Mapping[str, Any]]
"""By table and id."""
Records = Mapping[str, Mapping[str, Any]]
"""By machine and id."""
Holding = tuple[str, int] | None
"""Where, and how much."""
Thing = tuple[str, ...]
"""What only one may have: a kind of thing, within what it is distinct, and which."""


Figure = tuple[str, str, str]
"""A counter: table and id of the place, and the column."""

_METERED = {name: tuple(row for row in METERED if row.holder == name) for name in RECORDS}
_UNIQUE = {name: tuple(row for row in UNIQUE if row.holder == name) for name in RECORDS}
_LIMITED = {row.used: row for row in METERED if isinstance(row, Limited)}
_RULE: dict[tuple[str, str], Metered] = {
    **{("domain", used): row for used, row in _LIMITED.items()},
    **{(row.resource, row.used): row for row in METERED},
}
"""How much there may be of each figure; a domain's limits are called as its accounts' are."""
_ACTIVE = frozenset(ACTIVE)
_COLUMNS = {
    name: {
        *(column for row in _METERED[name] for column in (row.key, row.amount) if column is not None),
        *(column for row in _UNIQUE[name] for column in (row.key, *row.scope)),
        *(("state",) if name == "operation" else ()),
    }
    for name in RECORDS
}
_moving = {name: attrgetter(*sorted(columns)) for name, columns in _COLUMNS.items()}
"""The columns that holdings follow from: a change of no such column moves nothing."""


class Books:
    """What is held, owned and under way.

    Args:
        places: the tables of places, whose counters are looked at. Which domain is above which never changes.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._above = {each.id: tuple(_above(places, each)) for each in places["account"].values()}
        self._held: dict[Figure, int] = {}
        self._holders: dict[Thing, set[str]] = {}
        """Who has a thing; more than one only between the changes of one decision."""
        # In order, so that a run breaks the same promise first wherever it is played.
        self._touched: dict[Figure, None] = {}
        self._taken: dict[Thing, None] = {}

    # --- moving along

    def count(self, before: Entity | None, after: Entity) -> None:
        """Take in a change; what it moves is looked at by `check`."""
        machine = MACHINE_OF[type(after)]
        if before is not None and _moving[machine](before) == _moving[machine](after):
            return
        for row in _METERED[machine]:
            old, new = _holding(row, before), _holding(row, after)
            if old != new:
                self._move(row, old, -1)
                self._move(row, new, 1)
        for thing in _things(before, machine):
            self._holders[thing].discard(after.id)
        for thing in _things(after, machine):
            self._holders.setdefault(thing, set()).add(after.id)
            self._taken[thing] = None

    def _move(self, row: Metered, holding: Holding, sign: int) -> None:
        if holding is None:
            return
        place_id, amount = holding
        self._add((row.resource, place_id, row.used), sign * amount)
        if row.resource == "account":
            for domain_id in self._above[place_id]:
                self._add(("domain", domain_id, row.used), sign * amount)

    def _add(self, figure: Figure, amount: int) -> None:
        self._held[figure] = self._held.get(figure, 0) + amount
        self._touched[figure] = None

    def check(self) -> None:
        """Hold what the changes since the last look concern against the tables.

        Raises:
            Violation: a counter is wrong, or more than there is; or a thing has two owners.
        """
        for figure in self._touched:
            self._is_counted(figure)
        for thing in self._taken:
            _is_alone(thing, self._holders[thing])
        self._touched.clear()
        self._taken.clear()

    def _is_counted(self, figure: Figure) -> None:
        resource, place_id, column = figure
        place, rule, held = self._places[resource][place_id], _RULE[resource, column], self._held.get(figure, 0)
        if (used := getattr(place, column)) != held:
            raise Violation("ledger", f"{resource} {place_id}: {column} is {used}, its holders hold {held}")
        total = getattr(place, rule.total)
        most = total * getattr(place, rule.overcommit) if rule.overcommit else total
        if most is not None and held > most:
            kind = "limits" if isinstance(rule, Limited) else "capacity"
            raise Violation(kind, f"{resource} {place_id}: {held} of {column} are held, there are {most}")

    # --- everything

    def recount(self, records: Records) -> None:
        """Count all anew, and look at every counter, thing and operation.

        Args:
            records: all that there are.

        Raises:
            Violation: as by `check`; or the books are not what the records come to.
        """
        fresh = Books(self._places)
        for known in records.values():
            for record in known.values():
                fresh.count(None, record)
        fresh._touched |= {(name, each, used): None for name, used in _RULE for each in self._places[name]}
        fresh.check()
        if _without_nothing(fresh._held) != _without_nothing(self._held) or (
            _without_nothing(fresh._holders) != _without_nothing(self._holders)
        ):
            raise Violation("ledger", "the oracle's own books are not what the records come to")


def _above(places: Places, account: Account) -> Iterable[str]:
    domain_id: str | None = account.domain_id
    while domain_id is not None:
        yield domain_id
        domain_id = places["domain"][domain_id].parent_id


def _without_nothing(book: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in book.items() if value}


def _holding(row: Metered, record: Entity | None) -> Holding:
    if record is None or (place_id := getattr(record, row.key)) is None:
        return None
    return place_id, 1 if row.amount is None else getattr(record, row.amount)


def _things(record: Entity | None, machine: str) -> tuple[Thing, ...]:
    """What the record has, and no other may."""
    if record is None:
        return ()
    if isinstance(record, Operation):
        return _subjects(record) if record.state in _ACTIVE else ()
    return tuple(
        (row.thing, *(getattr(record, column) for column in row.scope), value)
        for row in _UNIQUE[machine]
        if (value := getattr(record, row.key)) is not None
    )


OPERATION_OF = "operation of"


def _subjects(operation: Operation) -> tuple[Thing, ...]:
    subjects = (("vm", operation.vm_id), ("volume", operation.volume_id))
    return tuple((OPERATION_OF, kind, each) for kind, each in subjects if each is not None)


def _is_alone(thing: Thing, holders: set[str]) -> None:
    if len(holders) > 1:
        both = " and ".join(sorted(holders))
        if thing[0] == OPERATION_OF:
            raise Violation("one operation", f"{both} both have {' '.join(thing[1:])}")
        raise Violation("unique", f"{thing[0]} {' '.join(thing[1:])} is both {both}'s")
