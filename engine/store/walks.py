"""The lists there are: VMs, disks, operations and places, with their filters, and along which index each is walked.

Of several filters the first that stands in a list's `_ways` is walked along: those that leave fewest come first. What
leaves few by its nature (a host's VMs, a name's) is not looked at in portions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Column, Table, func, select

from interlock.engine.store.lists import Condition, Members, Walk
from interlock.engine.store.queries import one_of
from interlock.schema.errors import InvalidRequest
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.operation import DRIVEN
from interlock.schema.rows import text_of
from interlock.schema.tables import metadata
from interlock.schema.tables.cloud import host
from interlock.schema.tables.derived import affinity_member, security_member
from interlock.schema.tables.records import UNHAPPY, nic, operation, vm, volume

Order = Literal["oldest", "youngest", "name"]
LAST = "\U0010ffff"
"""Behind every name that begins with what stands before it."""


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which VMs to list; None: any."""

    state: str | None = None
    living: Literal[True] | None = None
    """Only those that are not Expunged."""
    account: str | None = None
    zone: str | None = None
    cluster: str | None = None
    host: str | None = None
    """Where they hold capacity."""
    name: str | None = None
    prefix: str | None = None
    """How their names begin; such a list is in the order of names."""
    network: str | None = None
    """Where they have a NIC."""
    offering: str | None = None
    group: str | None = None
    """A security group that they are in, by its id."""
    affinity: str | None = None
    """An affinity group that they are in."""
    tag: tuple[str, str] | None = None
    """Key and value."""


class DiskFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which disks to list; None: any."""

    state: str | None = None
    living: Literal[True] | None = None
    """Only those that are not Expunged."""
    account: str | None = None
    zone: str | None = None
    pool: str | None = None
    vm: str | None = None
    free: Literal[True] | None = None
    """Only those that belong to no VM."""
    prefix: str | None = None
    """How their names begin; such a list is in the order of names."""


class OperationFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which operations to list; None: any."""

    state: str | None = None
    kind: str | None = None
    vm: str | None = None
    disk: str | None = None


class Ask(msgspec.Struct, frozen=True):
    """One filter."""

    plain: Condition
    """What is asked of each row, so that no index answers it: a database must not take another way than the one that
    is looked at in portions."""
    column: Column[Any] | None = None
    """Which an index begins with, where the filter is what this column must be."""
    value: str | None = None


Asked = dict[str, Ask]


def vms(wanted: Filter, order: Order = "oldest") -> Walk:
    """The list of VMs.

    Raises:
        InvalidRequest: a list by the beginning of names is in another order.
    """
    equal = {"state": "state", "account": "account_id", "zone": "zone_id", "offering": "offering_id"}
    asked = _equal(wanted, vm, **equal, host="host_id", name="name") | _cluster(wanted) | _tag(wanted)
    asked |= _living(wanted, vm)
    members = _members(wanted)
    if wanted.prefix is not None or order == "name":
        return _by_name(vm, wanted.prefix, order, [*_plain(asked), *map(_is_member, members.values())])
    if few := next((name for name in ("name", "host", "cluster") if name in asked), None):
        return _all_along(vm, order, [_way(asked.pop(few)), *_plain(asked), *map(_is_member, members.values())])
    if members:
        first, *others = members.values()
        rest = [*_plain(asked), *map(_is_member, others), *([_is_member(first)] if wanted.network is not None else [])]
        return Walk(table=vm, key=(vm.c.id,), rest=tuple(rest), backwards=order == "youngest", members=first)
    return _along_best(vm, order, asked, ("account", "state"))


def disks(wanted: DiskFilter, order: Order = "oldest") -> Walk:
    """The list of disks.

    Raises:
        InvalidRequest: a list by the beginning of names is in another order.
    """
    asked = _equal(wanted, volume, state="state", account="account_id", zone="zone_id", pool="pool_id", vm="vm_id")
    asked |= _living(wanted, volume)
    if wanted.free:
        asked["free"] = Ask(func.coalesce(volume.c.vm_id, "") == "", volume.c.vm_id, None)
    if wanted.prefix is not None or order == "name":
        return _by_name(volume, wanted.prefix, order, _plain(asked))
    return _along_best(volume, order, asked, ("vm", "free", "pool", "account"))


def operations(wanted: OperationFilter, order: Order = "youngest") -> Walk:
    """The list of operations.

    Raises:
        InvalidRequest: they have no names to be ordered by.
    """
    if order == "name":
        raise InvalidRequest("operations have no names; list them oldest or youngest first")
    asked = _equal(wanted, operation, state="state", kind="kind", vm="vm_id", disk="volume_id")
    if "disk" in asked:
        return _all_along(operation, order, [_way(asked.pop("disk")), *_plain(asked)])
    if "vm" in asked:
        return _along_best(operation, order, asked, ("vm",))
    if wanted.state in DRIVEN:
        return _all_along(operation, order, [one_of(operation.c.state, DRIVEN), *_plain(asked)])
    if wanted.state in UNHAPPY:
        unhappy = one_of(operation.c.state, UNHAPPY)
        return _along_best(operation, order, asked, ("state",), unhappy)
    return _along_best(operation, order, asked, ())


def places(kind: str, equal: Mapping[str, str | None]) -> Walk:
    """The list of places of a kind, by name.

    Args:
        kind: the name of a table.
        equal: columns and what they must be; None: anything.
    """
    table = metadata.tables[kind]
    asked = {name: _is(table.c[name], value) for name, value in equal.items() if value is not None}
    return _along_best(table, "oldest", asked, ("cluster_id",) if kind == "host" else ())


# --- which filter is walked along


def _along_best(table: Table, order: Order, asked: Asked, ways: Sequence[str], *also: Condition) -> Walk:
    """Along the first of `ways` that is asked; if none is, along the whole table."""
    way = next((name for name in ways if name in asked), None)
    best = asked.pop(way) if way is not None else None
    return Walk(
        table=table,
        key=(table.c.id,),
        lead=None if best is None else best.column,
        value=None if best is None else best.value,
        along=also,
        rest=tuple(_plain(asked)),
        backwards=order == "youngest",
    )


def _all_along(table: Table, order: Order, conditions: Iterable[Condition]) -> Walk:
    """Of what is few, all is looked at."""
    return Walk(table=table, key=(table.c.id,), along=tuple(conditions), backwards=order == "youngest")


def _by_name(table: Table, prefix: str | None, order: Order, rest: Sequence[Condition]) -> Walk:
    if prefix is not None and order == "youngest":
        raise InvalidRequest("a list by how names begin is in the order of names; list the youngest without it")
    name = table.c.name
    span = () if prefix is None else (name >= prefix, name < prefix + LAST)
    return Walk(table=table, key=(name, table.c.id), along=span, rest=tuple(rest))


def _way(ask: Ask) -> Condition:
    """So that an index answers it."""
    way: Condition = ask.plain if ask.column is None else ask.column == ask.value
    return way


def _plain(asked: Asked) -> list[Condition]:
    return [ask.plain for ask in asked.values()]


def _equal(wanted: msgspec.Struct, table: Table, **filters: str) -> Asked:
    given = {name: getattr(wanted, name) for name in filters}
    return {name: _is(table.c[filters[name]], value) for name, value in given.items() if value is not None}


def _is(column: Column[Any], value: str) -> Ask:
    return Ask(func.coalesce(column, "") == value, column, value)


def _living(wanted: Filter | DiskFilter, table: Table) -> Asked:
    lives = func.coalesce(table.c.state, "") != "Expunged"
    return {"living": Ask(lives)} if wanted.living else {}


def _cluster(wanted: Filter) -> Asked:
    if wanted.cluster is None:
        return {}
    there = vm.c.host_id.in_(select(host.c.id).where(host.c.cluster_id == wanted.cluster))
    return {"cluster": Ask(there)}


def _tag(wanted: Filter) -> Asked:
    if wanted.tag is None:
        return {}
    key, value = wanted.tag
    # Tags are canonical JSON: where key and value stand side by side in it, unescaped, that is one of them.
    pair = text_of({key: value})[1:-1]
    has = func.replace(vm.c.tags, pair, "") != vm.c.tags
    return {"tag": Ask(has)}


def _members(wanted: Filter) -> dict[str, Members]:
    """The tables that name VMs, those first that name fewest."""
    there = {
        "affinity": (affinity_member.c.vm_id, affinity_member.c.group_id, wanted.affinity),
        "group": (security_member.c.vm_id, security_member.c.group_id, wanted.group),
        "network": (nic.c.vm_id, nic.c.network_id, wanted.network),
    }
    return {
        name: Members(column=column, lead=place, value=value)
        for name, (column, place, value) in there.items()
        if value is not None
    }


def _is_member(members: Members) -> Condition:
    """Of a NIC that is gone nobody is; groups list nobody who is gone."""
    alive = []
    if members.column.table is nic:
        alive = [nic.c.state.not_in(MACHINES["nic"].names(Stability.TERMINAL))]
    found: Condition = (
        select(members.column).where(members.column == vm.c.id, members.lead == members.value, *alive).exists()
    )
    return found
