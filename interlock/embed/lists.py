"""What embedders list and count: the part of `Engine` that gives pages of VMs, disks, operations and places.

Promises: what `Engine` promises. A page costs the same however much there is, and so does a count. Pages one after the
other give everything that was there all along once, whatever others write meanwhile. A page that is asked for with
several filters may be short, or empty, though there are more: only `next` says that it is the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from interlock.engine.store import queries, tallies, walks
from interlock.engine.store.lists import PAGE_MOST, Walk, read_page
from interlock.engine.store.store import Store
from interlock.engine.store.walks import Order
from interlock.schema.cloud import PLACES, Place
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import Nic, Operation, Vm, Volume

COLUMNS = {"zone": "zone_id", "cluster": "cluster_id", "domain": "domain_id", "account": "account_id"}
"""By what places are listed, and the column of theirs."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list. `next` is the `after` of the following page; None: this is the last."""

    vms: list[Vm]
    next: str | None


class DiskPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list of disks; `next` as in `Page`."""

    disks: list[Volume]
    next: str | None


class OperationPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list of operations; `next` as in `Page`."""

    operations: list[Operation]
    next: str | None


class PlacePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list of places; `next` as in `Page`."""

    places: list[Place]
    next: str | None


class Lists:
    """Mixed into `Engine`."""

    _store: Store

    async def vms(
        self,
        *,
        state: str | None = None,
        living: bool = False,
        account: str | None = None,
        zone: str | None = None,
        cluster: str | None = None,
        host: str | None = None,
        name: str | None = None,
        prefix: str | None = None,
        network: str | None = None,
        offering: str | None = None,
        group: str | None = None,
        affinity: str | None = None,
        tag: tuple[str, str] | None = None,
        order: Order = "oldest",
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        """VMs, a page at a time.

        Args:
            living: only those that are not Expunged.
            host, cluster: where they hold capacity.
            prefix: how their names begin; such a list is in the order of names.
            network: where they have a NIC.
            group, affinity: a security group (its id, ACCOUNT/NAME), an affinity group that they are in.
            tag: key and value.
            order: oldest or youngest first, or by name.
            after: the `next` of the page before, of the same list.
            limit: 1 to 1000.

        Raises:
            InvalidRequest: there is no such page.
        """
        wanted = walks.Filter(
            state=state,
            living=living or None,
            account=account,
            zone=zone,
            cluster=cluster,
            host=host,
            name=name,
            prefix=prefix,
            network=network,
            offering=offering,
            group=group,
            affinity=affinity,
            tag=tag,
        )
        found, last = await read_page(self._store, self._store.vms, walks.vms(wanted, order), after, limit)
        return Page(vms=found, next=last)

    async def disks(
        self,
        *,
        state: str | None = None,
        living: bool = False,
        account: str | None = None,
        zone: str | None = None,
        pool: str | None = None,
        vm: str | None = None,
        free: bool = False,
        prefix: str | None = None,
        order: Order = "oldest",
        after: str | None = None,
        limit: int = 100,
    ) -> DiskPage:
        """Disks, root disks too, a page at a time.

        Args:
            pool: where they take space.
            vm: the id of the VM that they belong to.
            free: only those that belong to no VM.
            living, prefix, order, after, limit: as of `vms`.

        Raises:
            InvalidRequest: there is no such page.
        """
        wanted = walks.DiskFilter(
            state=state,
            living=living or None,
            account=account,
            zone=zone,
            pool=pool,
            vm=vm,
            free=free or None,
            prefix=prefix,
        )
        found, last = await read_page(self._store, self._store.disks, walks.disks(wanted, order), after, limit)
        return DiskPage(disks=found, next=last)

    async def all_operations(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        vm: str | None = None,
        disk: str | None = None,
        order: Order = "youngest",
        after: str | None = None,
        limit: int = 100,
    ) -> OperationPage:
        """Operations, a page at a time.

        Args:
            vm, disk: the id of what they are about.
            order: youngest or oldest first.
            after, limit: as of `vms`.

        Raises:
            InvalidRequest: there is no such page.
        """
        wanted = walks.OperationFilter(state=state, kind=kind, vm=vm, disk=disk)
        walk = walks.operations(wanted, order)
        found, last = await read_page(self._store, self._store.operations, walk, after, limit)
        return OperationPage(operations=found, next=last)

    async def some_places(
        self, kind: str, *, after: str | None = None, limit: int = 100, **where: str | None
    ) -> PlacePage:
        """Places of a kind (`host`, `account`, `network`, …) by name, with what is held of them, a page at a time.

        Args:
            where: `zone`, `cluster`, `domain` or `account` that they must be in or of, where the kind has one.
            after, limit: as of `vms`.

        Raises:
            InvalidRequest: there is no such page.
        """
        walk = _walk_of(kind, where)
        found, last = await read_page(
            self._store, lambda query: self._store.some_places(kind, query), walk, after, limit
        )
        return PlacePage(places=found, next=last)

    async def counts(
        self, *, zone: str | None = None, account: str | None = None, host: str | None = None
    ) -> dict[str, int]:
        """How many VMs are in each state, of all or of one zone, account or host.

        Raises:
            InvalidRequest: more than one is named; combinations are not counted.
        """
        named = {"zone": zone, "account": account, "host": host}
        scopes = [(scope, place) for scope, place in named.items() if place is not None]
        if len(scopes) > 1:
            raise InvalidRequest(f"VMs are counted by one of {', '.join(named)}, not by {len(scopes)} at once")
        scope, place = scopes[0] if scopes else (None, None)
        return dict(sorted([(row[0], int(row[1])) for row in await self._store.rows(tallies.counted(scope, place))]))

    async def disk_count(self, *, account: str | None = None) -> int:
        """How many disks there are that are not Expunged, of all accounts or of one."""
        rows = await self._store.rows(tallies.disks(account))
        return int(rows[0][0]) if rows else 0

    async def members(self, group: str, *, limit: int = 100) -> list[Vm]:
        """The VMs that are in a security group, by its id: the oldest first, up to `limit`."""
        return (await self.vms(group=group, limit=limit)).vms

    async def vms_of(self, vm_ids: Sequence[str]) -> dict[str, Vm]:
        """Up to 1000 VMs by id, in one read; those that are not there are left out."""
        _must_be_a_page(vm_ids, "VMs")
        return {vm.id: vm for vm in await self._store.vms(queries.vms_of(vm_ids))}

    async def nics_of(self, vm_ids: Sequence[str]) -> dict[str, list[Nic]]:
        """The NICs of up to 1000 VMs, by VM, in one read; those without NICs are left out."""
        _must_be_a_page(vm_ids, "VMs")
        found: dict[str, list[Nic]] = {}
        for nic in await self._store.nics_of(vm_ids):
            found.setdefault(nic.vm_id, []).append(nic)
        return found

    async def disks_of(self, disk_ids: Sequence[str]) -> dict[str, Volume]:
        """Up to 1000 disks by id, in one read; those that are not there are left out."""
        _must_be_a_page(disk_ids, "disks")
        return {disk.id: disk for disk in await self._store.disks(queries.disks_of(disk_ids))}


def _must_be_a_page(ids: Sequence[str], what: str) -> None:
    if len(ids) > PAGE_MOST:
        raise InvalidRequest(f"ask for {PAGE_MOST} {what} at most, not {len(ids)}")


def _walk_of(kind: str, where: dict[str, str | None]) -> Walk:
    if kind not in PLACES:
        raise InvalidRequest(f"there are no places of kind {kind!r}; there are {', '.join(PLACES)}")
    fields = PLACES[kind].__struct_fields__
    for name in where:
        if COLUMNS.get(name) not in fields:
            can = ", ".join(known for known, column in COLUMNS.items() if column in fields)
            raise InvalidRequest(f"a {kind} is not listed by {name}, but by {can or 'name alone'}")
    return walks.places(kind, {COLUMNS[name]: value for name, value in where.items()})
