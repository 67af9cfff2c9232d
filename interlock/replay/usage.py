"""How full places are, followed from the journal: what each movement of a scarce thing gives to and takes from a place.

The one place that counts: it follows from `METERED` (schema/holdings.py), the table that the movements in the journal
and the triggers that keep the `used` columns are made from, too.

Promises: after any row the figures are those of the tables after that row was written; a row costs what it moves,
however large the fleet. What a domain has used is the sum of its accounts', counted when it is asked for.
Never refuses: whether a movement may be is the guards' matter; `Rebuild` has checked that it is the change's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from interlock.schema.cloud import Account, Domain, Place
from interlock.schema.holdings import COUNTERS, FREE, METERED, Metered, Movement

P = TypeVar("P", bound=Place)
_METERED = {rule.thing: rule for rule in METERED}
MEASURES: dict[str, dict[str, Metered]] = {
    kind: {rule.thing: rule for rule in METERED if rule.resource == counted}
    for kind, counted in (
        ("host", "host"),
        ("storage_pool", "storage_pool"),
        ("account", "account"),
        ("domain", "account"),
    )
}
"""What is measured of each kind of place, by the thing's name."""


class Usage:
    """What is held of every place, after the movements that were added."""

    def __init__(self) -> None:
        self._held: Counter[tuple[str, str, str]] = Counter()

    def add(self, movements: Iterable[Movement]) -> None:
        """Count them."""
        for moved in movements:
            if (rule := _METERED.get(moved.thing)) is not None:
                amount = moved.amount if moved.giver == FREE else -moved.amount
                self._held[rule.resource, moved.where, rule.used] += amount

    def copy(self) -> Usage:
        """The same, on its own from now on."""
        other = Usage()
        other._held = self._held.copy()
        return other

    def of(self, kind: str, place: P, places: Mapping[str, Mapping[str, Place]]) -> P:
        """A place with its `used` columns as they stand.

        Args:
            kind: its table.
            places: all places by table and id: a domain's figures follow from its accounts.
        """
        columns = COUNTERS.get(kind, ())
        ids = _accounts_in(place.id, places) if kind == "domain" else [place.id]
        counted = "account" if kind == "domain" else kind
        used = {column: sum(self._held[counted, each, column] for each in ids) for column in columns}
        return msgspec.structs.replace(place, **used) if used else place


def _accounts_in(domain_id: str, places: Mapping[str, Mapping[str, Place]]) -> list[str]:
    """The accounts of a domain and of all below it."""
    accounts = [each for each in places["account"].values() if isinstance(each, Account)]
    return [each.id for each in accounts if domain_id in _above(each.domain_id, places["domain"])]


def _above(domain_id: str | None, domains: Mapping[str, Place]) -> list[str]:
    """A domain, and those above it."""
    found: list[str] = []
    while domain_id is not None:
        found.append(domain_id)
        above = domains[domain_id]
        assert isinstance(above, Domain)
        domain_id = above.parent_id
    return found


def used(rule: Metered, place: Place) -> int:
    """How much of a thing is held of a place."""
    return int(getattr(place, rule.used))


def total(rule: Metered, place: Place) -> int | None:
    """How much of it may be held there; None: any amount."""
    most = getattr(place, rule.total)
    if most is None:
        return None
    return int(most * getattr(place, rule.overcommit)) if rule.overcommit else int(most)


def share(rule: Metered, place: Place) -> float | None:
    """How full it is of it, 1.0 for full; None if any amount may be held."""
    most = total(rule, place)
    return None if most is None else used(rule, place) / most if most else 0.0
