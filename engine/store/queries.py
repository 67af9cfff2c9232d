"""The reads: what SQL the store asks, built once as SQLAlchemy statements. Every one of them is served by an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, and_, func, or_, select, union_all

from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.operation import DRIVEN
from interlock.schema.tables import (
    driver,
    host,
    journal,
    metadata,
    nic,
    operation,
    storage_pool,
    vm,
    volume,
    worker,
)

PAGE_MOST = 1000
"""Rows of one page at most. Too low: many round trips; too high: one caller holds the reader and much memory."""


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which VMs to list; None: any."""

    state: str | None = None
    account: str | None = None
    zone: str | None = None
    host: str | None = None
    name: str | None = None


def page_of_vms(wanted: Filter, after: str | None, limit: int) -> Select[Any]:
    """VMs by id, which is by age, beginning after an id: cost does not depend on how many came before."""
    columns = {
        vm.c.state: wanted.state,
        vm.c.account_id: wanted.account,
        vm.c.zone_id: wanted.zone,
        vm.c.host_id: wanted.host,
        vm.c.name: wanted.name,
    }
    met = [column == value for column, value in columns.items() if value is not None]
    later = [] if after is None else [vm.c.id > after]
    return select(vm).where(*met, *later).order_by(vm.c.id).limit(limit)


def count_by_state() -> Select[Any]:
    """How many VMs are in each state."""
    return select(vm.c.state, func.count()).group_by(vm.c.state).order_by(vm.c.state)


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
    """The NICs, volumes or operations of a VM; those that are gone last, each group in order."""
    table = metadata.tables[machine]
    order = table.c.id if machine == "operation" else table.c.device
    return select(table).where(table.c.vm_id == vm_id).order_by(order)


def vms_of(vm_ids: Sequence[str]) -> Select[Any]:
    """Several VMs (a page of them) by id."""
    return select(vm).where(vm.c.id.in_(vm_ids))


def nics_of(vm_ids: Sequence[str]) -> Select[Any]:
    """The NICs of several VMs (a page of them), in order."""
    return select(nic).where(nic.c.vm_id.in_(vm_ids)).order_by(nic.c.vm_id, nic.c.device)


def living(machine: str, vm_id: str) -> Select[Any]:
    """The NICs or volumes of a VM that are not in a terminal state: those an operation may still move."""
    table = metadata.tables[machine]
    over = MACHINES[machine].names(Stability.TERMINAL)
    return select(table).where(table.c.vm_id == vm_id, table.c.state.not_in(over)).order_by(table.c.device)


def driven() -> Select[Any]:
    """Operations that a worker should be driving, with that worker's lease, oldest first."""
    return (
        select(operation.c.id, worker)
        .select_from(operation.outerjoin(worker, operation.c.worker_id == worker.c.id))
        .where(operation.c.state.in_(DRIVEN))
        .order_by(operation.c.id)
    )


def active_on(vm_id: str) -> Select[Any]:
    """The operation that owns the VM, if one does."""
    over = MACHINES["operation"].names(Stability.TERMINAL)
    return select(operation).where(operation.c.vm_id == vm_id, operation.c.state.not_in(over))


def journal_after(seq: int, limit: int) -> Select[Any]:
    """Journal rows in order, beginning after a number."""
    return select(journal).where(journal.c.seq > seq).order_by(journal.c.seq).limit(limit)


def journal_of(vm_id: str) -> Select[Any]:
    """All journal rows of a VM, its NICs, volumes and operations."""
    return select(journal).where(journal.c.vm_id == vm_id).order_by(journal.c.seq)


def journal_head() -> Select[Any]:
    """The number of the last journal row; 0 before the first."""
    return select(func.coalesce(func.max(journal.c.seq), 0))


def all_of(name: str) -> Select[Any]:
    """A whole table of places, by id."""
    table = metadata.tables[name]
    return select(table).order_by(table.c.id)


def drivers() -> Select[Any]:
    """The drivers that the cloud description names."""
    return select(driver.c.id, driver.c.options)


def usage() -> Select[Any]:
    """What is held of every host and pool: kind, id, first amount, second amount."""
    hosts = select(_word("host"), host.c.id, host.c.cpu_used_mhz, host.c.memory_used_mib)
    pools = select(_word("pool"), storage_pool.c.id, storage_pool.c.used_mib, storage_pool.c.used_mib)
    return select(union_all(hosts, pools).subquery())


def vms_on_hosts() -> Select[Any]:
    """How many VMs of each account hold capacity on each host."""
    return (
        select(vm.c.host_id, vm.c.account_id, func.count())
        .where(vm.c.host_id.is_not(None))
        .group_by(vm.c.host_id, vm.c.account_id)
    )


def addresses_of(network_id: str) -> Select[Any]:
    """The addresses that are owned in a network."""
    return select(nic.c.ip_address).where(nic.c.network_id == network_id, nic.c.ip_address.is_not(None))


def recount() -> dict[str, Select[Any]]:
    """For `doctor`: each counter beside the sum of what is held, where the two differ."""
    cpu = func.coalesce(func.sum(vm.c.cpu_mhz), 0)
    memory = func.coalesce(func.sum(vm.c.memory_mib), 0)
    space = func.coalesce(func.sum(volume.c.size_mib), 0)
    return {
        "host": select(host.c.id, host.c.cpu_used_mhz, cpu, host.c.memory_used_mib, memory)
        .select_from(host.outerjoin(vm, vm.c.host_id == host.c.id))
        .group_by(host.c.id)
        .having(or_(host.c.cpu_used_mhz != cpu, host.c.memory_used_mib != memory)),
        "storage_pool": select(storage_pool.c.id, storage_pool.c.used_mib, space)
        .select_from(storage_pool.outerjoin(volume, volume.c.pool_id == storage_pool.c.id))
        .group_by(storage_pool.c.id)
        .having(storage_pool.c.used_mib != space),
    }


def unowned() -> Select[Any]:
    """VMs in a transitional state that no active operation drives: there must be none."""
    passing = MACHINES["vm"].names(Stability.TRANSITIONAL)
    owned = select(operation.c.id).where(operation.c.vm_id == vm.c.id, operation.c.state.in_((*DRIVEN, "Stuck")))
    return select(vm.c.id, vm.c.name, vm.c.state).where(and_(vm.c.state.in_(passing), ~owned.exists()))


def stuck() -> Select[Any]:
    """Operations that wait for a person."""
    return select(operation).where(operation.c.state == "Stuck").order_by(operation.c.id)


def _word(value: str) -> Any:
    from sqlalchemy import literal

    return literal(value).label("kind")
