"""The ledger as data: which column of which record owns how much of which scarce thing.

A unit is owned by exactly one record, or free: ownership *is* the column, there is no second book that could drift.
From this table derive: the movements written to the journal (`movements`), the triggers that keep the `used`
columns and refuse overdraft, the unique indexes that refuse an address twice, and the recount of `doctor`.

Limits are holdings like any other: `charged_to` names the account, and what an account has used its domain and all
domains above it have used as well.

Promises: `movements` is pure and total; the sum of all movements of a unit equals what its holders hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Metered:
    """A divisible thing: while `holder.key` names a row of `resource`, `holder.amount` of its `used` is taken.

    `amount` None: one. `overcommit` None: `total` is all there is.
    """

    thing: str
    holder: str
    key: str
    amount: str | None
    resource: str
    used: str
    total: str
    overcommit: str | None = None


@dataclass(frozen=True, slots=True)
class Limited(Metered):
    """A metered thing that an account may have `total` of (empty: any amount), and its domains, too."""


@dataclass(frozen=True, slots=True)
class Unique:
    """An indivisible thing: while `holder.key` has a value, no other holder in the same `scope` may have it."""

    thing: str
    holder: str
    key: str
    scope: tuple[str, ...]


METERED = (
    Metered("cpu", "vm", "host_id", "cpu_held_mhz", "host", "cpu_used_mhz", "cpu_mhz"),
    Metered("memory", "vm", "host_id", "memory_held_mib", "host", "memory_used_mib", "memory_mib"),
    Metered("cpu", "vm", "target_host_id", "cpu_held_mhz", "host", "cpu_used_mhz", "cpu_mhz"),
    Metered("memory", "vm", "target_host_id", "memory_held_mib", "host", "memory_used_mib", "memory_mib"),
    Metered("space", "volume", "pool_id", "size_mib", "storage_pool", "used_mib", "size_mib", "overcommit"),
    Limited("vms", "vm", "charged_to", None, "account", "vms_used", "vms_limit"),
    Limited("cores", "vm", "charged_to", "cpu_cores", "account", "cores_used", "cores_limit"),
    Limited("ram", "vm", "charged_to", "memory_mib", "account", "memory_used_mib", "memory_limit_mib"),
    Limited("volumes", "volume", "charged_to", None, "account", "volumes_used", "volumes_limit"),
    Limited("storage", "volume", "charged_to", "size_mib", "account", "storage_used_mib", "storage_limit_mib"),
    Limited("ips", "nic", "charged_to", None, "account", "ips_used", "ips_limit"),
)
UNIQUE = (
    Unique("ip", "nic", "ip_address", ("network_id",)),
    Unique("ip6", "nic", "ip6_address", ("network_id",)),
    Unique("mac", "nic", "mac_address", ()),
    Unique("name", "nic", "host_name", ("network_id",)),
)
COUNTERS: dict[str, tuple[str, ...]] = {
    resource: tuple(dict.fromkeys(row.used for row in METERED if row.resource == counted))
    for resource, counted in (
        ("host", "host"),
        ("storage_pool", "storage_pool"),
        ("account", "account"),
        ("domain", "account"),
    )
}
"""The tables with counters that triggers keep, and which; a domain's are the sums of its accounts'."""
LIMITS = tuple(row for row in METERED if isinstance(row, Limited))
"""What accounts and domains may have, each once."""


class Movement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`amount` of `thing` at `where` goes from `giver` to `taker`; one of the two is always "free"."""

    thing: str
    where: str
    giver: str
    taker: str
    amount: int


FREE = "free"


def movements(machine: str, holder: str, before: msgspec.Struct | None, after: msgspec.Struct) -> tuple[Movement, ...]:
    """The double entries that a change of one record makes.

    Args:
        machine: which table the record is of.
        holder: the record's id.
        before: the record as it was; None when it is new.
        after: the record as it will be.
    """
    if before is not None and (held := _held[machine])(before) == held(after):
        return ()
    # Giving back comes first, as in the database: a VM that has migrated holds of its new host only once.
    given, taken = [], []
    for thing, holding in _HOLDINGS[machine]:
        old, new = None if before is None else holding(before), holding(after)
        if old != new:
            if old:
                given.append(Movement(thing, old[0], holder, FREE, old[1]))
            if new:
                taken.append(Movement(thing, new[0], FREE, holder, new[1]))
    return (*given, *taken)


_HOLDERS = ("vm", "nic", "volume", "operation")
_METERED_BY = {name: tuple(row for row in METERED if row.holder == name) for name in _HOLDERS}
_UNIQUE_BY = {name: tuple(row for row in UNIQUE if row.holder == name) for name in _HOLDERS}

MOVERS: dict[str, frozenset[str]] = {
    name: frozenset(
        column
        for columns in (
            *((row.key, row.amount) for row in _METERED_BY[name]),
            *((row.key, *row.scope) for row in _UNIQUE_BY[name]),
        )
        for column in columns
        if column is not None
    )
    for name in _HOLDERS
}
"""The columns of each holder that movements follow from: a change of no such column moves nothing."""

_held: dict[str, Callable[[msgspec.Struct], Any]] = {
    name: attrgetter(*sorted(columns)) if columns else lambda _: None for name, columns in MOVERS.items()
}
"""What holds, as one value: most transitions move nothing."""

Holding = tuple[str, int] | None
"""Where, and how much; None holds nothing."""


def _metered(rule: Metered) -> Callable[[msgspec.Struct], Holding]:
    key, amount = attrgetter(rule.key), attrgetter(rule.amount) if rule.amount else lambda _: 1
    return lambda record: (where, amount(record)) if (where := key(record)) else None


def _unique(rule: Unique) -> Callable[[msgspec.Struct], Holding]:
    key, scope = attrgetter(rule.key), [attrgetter(column) for column in rule.scope]
    return lambda record: ("/".join([*(get(record) for get in scope), value]), 1) if (value := key(record)) else None


_HOLDINGS: dict[str, list[tuple[str, Callable[[msgspec.Struct], Holding]]]] = {
    name: [
        *((rule.thing, _metered(rule)) for rule in _METERED_BY[name]),
        *((rule.thing, _unique(rule)) for rule in _UNIQUE_BY[name]),
    ]
    for name in _HOLDERS
}
"""By holder, what it may hold, and what tells where and how much of it a record holds."""
