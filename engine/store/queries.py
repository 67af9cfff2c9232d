"""The reads: what SQL the store asks, built once as SQLAlchemy statements. Every one of them is served by an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    Table,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    union_all,
)

from interlock.schema.holdings import COUNTERS, METERED, Metered
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.operation import ACTIVE, DRIVEN
from interlock.schema.tables import metadata
from interlock.schema.tables.cloud import account, domain_above, driver, security_group
from interlock.schema.tables.derived import security_member
from interlock.schema.tables.history import journal
from interlock.schema.tables.records import OVER, nic, operation, vm, volume
from interlock.schema.tables.workers import claim, worker
from interlock.schema.transition import CLOUD


def one_of(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """The condition of a partial index, word for word: a database uses one only where it can prove that it may."""
    found: ColumnElement[bool] = column.in_(
        bindparam(None, list(values), unique=True, expanding=True, literal_execute=True)
    )
    return found


def disks_named(name_or_id: str) -> Select[Any]:
    """The disks with that id or name, the living ones first, the youngest first."""
    gone = volume.c.state == "Expunged"
    named = or_(volume.c.id == name_or_id, volume.c.name == name_or_id)
    return select(volume).where(named).order_by(gone, volume.c.id.desc()).limit(20)


def disks_of(disk_ids: Sequence[str]) -> Select[Any]:
    """Several disks (a page of them) by id."""
    return select(volume).where(volume.c.id.in_(disk_ids))


def vms_named(name_or_id: str) -> Select[Any]:
    """The VMs with that id or name, the living ones first, the youngest first."""
    gone = vm.c.state.in_(("Expunged", "Expunging", "Error"))
    return (
        select(vm).where(or_(vm.c.id == name_or_id, vm.c.name == name_or_id)).order_by(gone, vm.c.id.desc()).limit(20)
    )


def entity(machine: str, entity_id: str) -> Select[Any]:
    """One entity."""
    table = metadata.tables[machine]
    return select(table).where(table.c.id == entity_id)


def belonging(machine: str, vm_id: str) -> Select[Any]:
    """The NICs, volumes or operations of a VM, also those that are gone, by device and age."""
    table = metadata.tables[machine]
    order = [table.c.id] if machine == "operation" else [table.c.device, table.c.id]
    return select(table).where(table.c.vm_id == vm_id).order_by(*order)


def vms_of(vm_ids: Sequence[str]) -> Select[Any]:
    """Several VMs (a page of them) by id."""
    return select(vm).where(vm.c.id.in_(vm_ids))


def nics_of(vm_ids: Sequence[str]) -> Select[Any]:
    """The NICs of several VMs (a page of them), in order."""
    return select(nic).where(nic.c.vm_id.in_(vm_ids)).order_by(nic.c.vm_id, nic.c.device, nic.c.id)


def living(machine: str, vm_ids: Sequence[str]) -> Select[Any]:
    """The NICs or volumes of some VMs that are not in a terminal state: those an operation may still move."""
    table = metadata.tables[machine]
    over = MACHINES[machine].names(Stability.TERMINAL)
    return select(table).where(table.c.vm_id.in_(vm_ids), table.c.state.not_in(over)).order_by(table.c.device)


def padded(ids: Iterable[str]) -> list[str]:
    """The ids, each once, and the last one again up to a power of two: so that there are few different statements to
    prepare, whatever the number of ids."""
    known = list(dict.fromkeys(ids))
    return known + known[-1:] * ((1 << (len(known) - 1).bit_length()) - len(known)) if known else []


def driven() -> Select[Any]:
    """Operations that a worker should be driving, oldest first, with the lease of that one, or of who was given it."""
    whose = func.coalesce(operation.c.worker_id, claim.c.worker_id)
    given = operation.outerjoin(claim, operation.c.id == claim.c.operation_id)
    return (
        select(operation.c.id, worker)
        .select_from(given.outerjoin(worker, whose == worker.c.id))
        .where(one_of(operation.c.state, DRIVEN))
        .order_by(operation.c.id)
    )


def ended(after: int) -> Select[Any]:
    """The operations that ended or got stuck after a number of the journal, each with the number of that, in order.
    Both bounds are given: a planner that knows nothing of the table might not take the index for one alone."""
    over = (*MACHINES["operation"].names(Stability.TERMINAL), *MACHINES["operation"].names(Stability.STABLE))
    rows = (journal.c.seq > after, journal.c.seq <= select(func.max(journal.c.seq)).scalar_subquery())
    about = (journal.c.machine == "operation", journal.c.destination.in_(over))
    return select(journal.c.seq, journal.c.entity_id).where(*rows, *about).order_by(journal.c.seq)


def active_on(column: str, ids: Sequence[str]) -> Select[Any]:
    """The operations that own some VMs or volumes.

    Args:
        column: vm_id or volume_id, whatever the ids are.
    """
    return select(operation).where(operation.c[column].in_(ids), one_of(operation.c.state, ACTIVE))


def entities(machine: str, ids: Sequence[str]) -> Select[Any]:
    """Several entities (a page of them) by id."""
    table = metadata.tables[machine]
    return select(table).where(table.c.id.in_(ids))


def ids_after(machine: str, entity_id: str, limit: int) -> Select[Any]:
    """Ids of entities in order, beginning after one."""
    table = metadata.tables[machine]
    return select(table.c.id).where(table.c.id > entity_id).order_by(table.c.id).limit(limit)


def in_journal(ids: Sequence[str]) -> Select[Any]:
    """Those of several entities (a page of them) of which the journal has rows."""
    return select(journal.c.entity_id).where(journal.c.entity_id.in_(ids)).distinct()


def journal_after(seq: int, limit: int) -> Select[Any]:
    """Journal rows in order, beginning after a number."""
    return select(journal).where(journal.c.seq > seq).order_by(journal.c.seq).limit(limit)


def journal_of(vm_id: str) -> Select[Any]:
    """All journal rows of a VM, its NICs, volumes and operations."""
    return select(journal).where(journal.c.vm_id == vm_id).order_by(journal.c.seq)


def journal_about(entity_ids: Sequence[str]) -> Select[Any]:
    """All journal rows of some entities (of one history), in order."""
    return select(journal).where(journal.c.entity_id.in_(entity_ids)).order_by(journal.c.seq)


def journal_head() -> Select[Any]:
    """The number of the last journal row; 0 before the first."""
    return select(func.coalesce(func.max(journal.c.seq), 0))


def cloud_end() -> Select[Any]:
    """Version and hash of the last journal row of the cloud."""
    return (
        select(journal.c.version, journal.c.hash)
        .where(journal.c.entity_id == CLOUD)
        .order_by(journal.c.version.desc())
        .limit(1)
    )


def journal_of_cloud(after: int, limit: int) -> Select[Any]:
    """Journal rows of the cloud in order, beginning after a version."""
    mine = journal.c.entity_id == CLOUD
    return select(journal).where(mine, journal.c.version > after).order_by(journal.c.version).limit(limit)


def all_of(name: str) -> Select[Any]:
    """A whole table of places, by id."""
    table = metadata.tables[name]
    return select(table).order_by(table.c.id)


def drivers() -> Select[Any]:
    """The drivers that the cloud description names."""
    return select(driver.c.id, driver.c.options)


def usage() -> Select[Any]:
    """What is held of every place that is metered: its table, id, and its counters in the order of `COUNTERS`."""
    widest = max(map(len, COUNTERS.values()))
    each = [
        select(
            literal(name).label("place"),
            _table(name).c.id,
            *(_table(name).c[used] for used in columns),
            *(literal(0).label(f"none_{number}") for number in range(widest - len(columns))),
        )
        for name, columns in COUNTERS.items()
    ]
    return select(union_all(*each).subquery())


def vms_on_hosts() -> Select[Any]:
    """The VMs that hold capacity, counted: host, account, planner, affinity groups, how many. From an index alone."""
    return select(union_all(*map(_held_there, (vm.c.host_id, vm.c.target_host_id))).subquery())


def _held_there(host_id: ColumnElement[Any]) -> Select[Any]:
    alike = (host_id, vm.c.account_id, vm.c.planner, vm.c.affinity_groups)
    return select(*alike, func.count()).where(host_id.is_not(None)).group_by(*alike)


def vms_holding(host_ids: Sequence[str]) -> Select[Any]:
    """The VMs that are recorded on some hosts: id, state, host."""
    return select(vm.c.id, vm.c.state, vm.c.host_id).where(vm.c.host_id.in_(host_ids))


def addresses_of(network_id: str) -> Select[Any]:
    """The addresses that are owned in a network: IPv4, IPv6."""
    owned = or_(nic.c.ip_address.is_not(None), nic.c.ip6_address.is_not(None))
    return select(nic.c.ip_address, nic.c.ip6_address).where(nic.c.network_id == network_id, owned)


def groups(group_ids: Sequence[str]) -> Select[Any]:
    """Several security groups by id."""
    return select(security_group).where(security_group.c.id.in_(group_ids))


def groups_above(version: int) -> Select[Any]:
    """The security groups that have changed since that version was the highest."""
    return select(security_group).where(security_group.c.version > version)


def behind(version: int) -> Select[Any]:
    """The VMs whose host was not told the rules of a group that has changed since that version was the highest."""
    return (
        select(vm.c.id)
        .distinct()
        .select_from(
            security_group.join(security_member, security_member.c.group_id == security_group.c.id).join(
                vm, vm.c.id == security_member.c.vm_id
            )
        )
        .where(
            security_group.c.version > version,
            vm.c.host_id.is_not(None),
            vm.c.rules_told < security_group.c.version,
        )
        .order_by(vm.c.id)
    )


def _table(name: str) -> Table:
    return metadata.tables[name]


def recount(resource: str, used: str) -> Select[Any]:
    """For `doctor`: a counter beside the sum of what is held, where the two differ: id, counted, held.

    Args:
        resource: a table of `COUNTERS`.
        used: one of its counters.
    """
    if resource == "domain":
        return _differing(resource, used, _in_domain(used))
    held = [_held(rule) for rule in METERED if (rule.resource, rule.used) == (resource, used)]
    return _differing(resource, used, union_all(*held).subquery())


def _differing(resource: str, used: str, held: Subquery) -> Select[Any]:
    place = _table(resource)
    total = func.coalesce(func.sum(held.c.amount), 0)
    return (
        select(place.c.id, place.c[used], total)
        .select_from(place.outerjoin(held, held.c.place == place.c.id))
        .group_by(place.c.id, place.c[used])
        .having(place.c[used] != total)
    )


def _held(rule: Metered) -> Select[Any]:
    holder = _table(rule.holder)
    amount = literal(1) if rule.amount is None else holder.c[rule.amount]
    return select(holder.c[rule.key].label("place"), amount.label("amount")).where(holder.c[rule.key].is_not(None))


def _in_domain(used: str) -> Subquery:
    return (
        select(domain_above.c.above_id.label("place"), account.c[used].label("amount"))
        .select_from(account.join(domain_above, domain_above.c.domain_id == account.c.domain_id))
        .subquery()
    )


def destroyed(accounts: Sequence[str], others_than: Sequence[str], limit: int) -> Select[Any]:
    """Destroyed VMs that no operation owns, those first that have been longest: their ids and since when.

    Args:
        accounts: only theirs; none: everybody's but those of `others_than`.
    """
    owned = select(operation.c.id).where(operation.c.vm_id == vm.c.id, operation.c.state.in_(ACTIVE))
    # Not by the index of accounts: the VMs that matter are few of theirs.
    whose = func.coalesce(vm.c.account_id, "")
    theirs = whose.in_(accounts) if accounts else whose.not_in(others_than)
    met = (one_of(vm.c.state, OVER), vm.c.state == "Destroyed", theirs, ~owned.exists())
    return select(vm.c.id, vm.c.since).where(*met).order_by(vm.c.since).limit(limit)


def unowned() -> Select[Any]:
    """VMs in a transitional state that no active operation drives: there must be none."""
    passing = MACHINES["vm"].names(Stability.TRANSITIONAL)
    owned = select(operation.c.id).where(operation.c.vm_id == vm.c.id, operation.c.state.in_((*DRIVEN, "Stuck")))
    return select(vm.c.id, vm.c.name, vm.c.state).where(and_(vm.c.state.in_(passing), ~owned.exists()))


def stuck() -> Select[Any]:
    """Operations that wait for a person, by VM."""
    waiting = (operation.c.state == "Stuck", one_of(operation.c.state, ACTIVE))
    return select(operation).where(*waiting).order_by(operation.c.vm_id)
