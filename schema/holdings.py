"""The ledger as data: which column of which record owns how much of which scarce thing.

A unit is owned by exactly one record, or free: ownership *is* the column, there is no second book that could drift.
From this table derive: the movements written to the journal (`movements`), the triggers that keep the `used`
columns and refuse overdraft, the unique indexes that refuse an address twice, and the recount of `doctor`.

Promises: `movements` is pure and total; the sum of all movements of a unit equals what its holders hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Metered:
    """A divisible thing: while `holder.key` names a row of `resource`, `holder.amount` of its `used` is taken."""

    thing: str
    holder: str
    key: str
    amount: str
    resource: str
    used: str
    total: str
    overcommit: str


@dataclass(frozen=True, slots=True)
class Unique:
    """An indivisible thing: while `holder.key` has a value, no other holder in the same `scope` may have it."""

    thing: str
    holder: str
    key: str
    scope: tuple[str, ...]


METERED = (
    Metered("cpu", "vm", "host_id", "cpu_mhz", "host", "cpu_used_mhz", "cpu_mhz", "cpu_overcommit"),
    Metered("memory", "vm", "host_id", "memory_mib", "host", "memory_used_mib", "memory_mib", "memory_overcommit"),
    Metered("space", "volume", "pool_id", "size_mib", "storage_pool", "used_mib", "size_mib", "overcommit"),
)
UNIQUE = (
    Unique("ip", "nic", "ip_address", ("network_id",)),
    Unique("mac", "nic", "mac_address", ()),
)


class Movement(msgspec.Struct, frozen=True, array_like=True):
    """`amount` of `thing` at `where` goes from `giver` to `taker`; one of the two is always "free"."""

    thing: str
    where: str
    giver: str
    taker: str
    amount: int


FREE = "free"


def movements(machine: str, holder: str, before: msgspec.Struct | None, after: msgspec.Struct) -> Iterator[Movement]:
    """The double entries that a change of one record makes.

    Args:
        machine: which table the record is of.
        holder: the record's id.
        before: the record as it was; None when it is new.
        after: the record as it will be.
    """
    for metered in METERED:
        if metered.holder == machine:
            yield from _between(metered.thing, holder, _metered(metered, before), _metered(metered, after))
    for unique in UNIQUE:
        if unique.holder == machine:
            yield from _between(unique.thing, holder, _unique(unique, before), _unique(unique, after))


Holding = tuple[str, int] | None
"""Where, and how much; None holds nothing."""


def _metered(rule: Metered, record: msgspec.Struct | None) -> Holding:
    where = getattr(record, rule.key, None)
    return (where, getattr(record, rule.amount)) if where else None


def _unique(rule: Unique, record: msgspec.Struct | None) -> Holding:
    value = getattr(record, rule.key, None)
    if not value:
        return None
    return ("/".join([*(getattr(record, column) for column in rule.scope), value]), 1)


def _between(thing: str, holder: str, old: Holding, new: Holding) -> Iterator[Movement]:
    if old == new:
        return
    if old:
        yield Movement(thing, old[0], holder, FREE, old[1])
    if new:
        yield Movement(thing, new[0], FREE, holder, new[1])
