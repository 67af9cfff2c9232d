"""What must hold when all is over: each promise is one function that yields what does not hold, in words.

Read past the engine: from the tables by bare SQL, from the journal alone, and from the simulator's file. What the
processes were told while they lived is held against that.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from interlock.drivers.simulator import Simulator, World
from interlock.engine.core.rebuild import JournalBroken, Rebuild
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import RECORDS, Entity, Nic, Operation, Vm, Volume
from interlock.schema.rows import reader
from interlock.schema.tables import metadata
from interlock.schema.transition import Transition
from tests import ledger, oracle
from tests.bare import Bare, bare
from tests.killing.diary import Kind, Mark
from tests.killing.grounds import Place
from tests.world import assert_disks

Marks = Sequence[Sequence[Mark]]
"""What each process of the round told."""


class Aftermath(msgspec.Struct):
    """What there is when all is over."""

    journal: list[Transition]
    tables: dict[str, dict[str, Entity]]
    groups: list[dict[str, Any]]
    truth: World
    broken: list[str]
    """What the oracles say of the tables."""

    @property
    def vms(self) -> list[Vm]:
        """All there ever were; so the others."""
        return [each for each in self.tables["vm"].values() if isinstance(each, Vm)]

    @property
    def nics(self) -> list[Nic]:
        return [each for each in self.tables["nic"].values() if isinstance(each, Nic)]

    @property
    def disks(self) -> list[Volume]:
        return [each for each in self.tables["volume"].values() if isinstance(each, Volume)]

    @property
    def operations(self) -> list[Operation]:
        return [each for each in self.tables["operation"].values() if isinstance(each, Operation)]


async def aftermath(place: Place) -> Aftermath:
    """Read all of it."""
    async with bare(place.url) as database:
        rows = {name: await _rows(database, name) for name in metadata.tables}
        broken = [*_oracle(rows), *await _sound(database)]
    truth = await world_of(place)
    return Aftermath(
        journal=_in_order(rows["journal"]),
        tables={name: _records(name, rows[name]) for name in MACHINES},
        groups=rows["security_group"],
        truth=truth,
        broken=broken,
    )


async def world_of(place: Place) -> World:
    """The world, with all that was still to come."""
    async with await Simulator.at(place.world) as simulator:
        return await simulator.world()


async def journal_of(database: Bare) -> list[Transition]:
    """The whole journal."""
    return _in_order(await _rows(database, "journal"))


def _in_order(rows: list[dict[str, Any]]) -> list[Transition]:
    return sorted((Transition(**row) for row in rows), key=lambda row: row.seq)


async def _rows(database: Bare, name: str) -> list[dict[str, Any]]:
    columns = metadata.tables[name].c.keys()
    found = await database.rows(f"SELECT {', '.join(ledger.columns_quoted(columns))} FROM {name}")
    return [dict(zip(columns, row, strict=True)) for row in found]


def _records(machine: str, rows: Iterable[dict[str, Any]]) -> dict[str, Entity]:
    read = reader(RECORDS[machine])
    return {row["id"]: read(tuple(row.values())) for row in rows}


async def _sound(database: Bare) -> list[str]:
    try:
        await ledger.assert_sound(database)
    except AssertionError as error:
        return [f"the books do not balance: {str(error) or _where(error)}"]
    return []


def _where(error: AssertionError) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_name}, line {frame.tb_lineno}" if frame else "somewhere"


def _oracle(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The oracle reads SQLite: it is given the rows of either database in one in memory."""
    copy = sqlite3.connect(":memory:")
    try:
        for name, found in rows.items():
            columns = ledger.columns_quoted(metadata.tables[name].c.keys())
            copy.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            marks = ", ".join("?" for _ in columns)
            copy.executemany(f"INSERT INTO {name} VALUES ({marks})", [tuple(row.values()) for row in found])
        return oracle.broken(copy)
    finally:
        copy.close()


def wrongs(after: Aftermath, told: Marks) -> list[str]:
    """Each promise that does not hold."""
    promises = (_journal(after), _stable(after), _truth(after), _rules(after), _kept(after, told), _said(told))
    return [*after.broken, *(wrong for promise in promises for wrong in promise)]


def _journal(after: Aftermath) -> Iterator[str]:
    """The journal verifies, and the records follow from it alone."""
    rebuilt = Rebuild()
    try:
        for row in after.journal:
            rebuilt.add(row)
    except JournalBroken as error:
        yield f"the journal is broken: {error}"
        return
    for machine, records in rebuilt.records.items():
        if records != after.tables[machine]:
            yield f"the table {machine} is not what the journal tells"


def _stable(after: Aftermath) -> Iterator[str]:
    for machine, records in after.tables.items():
        for record in records.values():
            if MACHINES[machine].states[record.state].stability is Stability.TRANSITIONAL:
                yield f"{machine} {record.id} is {record.state} in the end"
    for operation in after.operations:
        if operation.state == "Stuck":
            yield f"operation {operation.id} ({operation.kind}) is Stuck in the end: {operation.error}"


def _truth(after: Aftermath) -> Iterator[str]:
    """The hypervisor has just what the records say."""
    truth = after.truth
    yield from _other(
        "guests",
        {(each.vm_id, each.host_id, each.power.value, each.cpu_cores, each.memory_mib) for each in truth.domains},
        {(vm.id, vm.host_id, "On", vm.cpu_cores, vm.memory_mib) for vm in after.vms if vm.state == "Running"},
    )
    hosts = {vm.id: vm.host_id for vm in after.vms}
    reserved = [nic for nic in after.nics if nic.state == "Reserved"]
    yield from _other(
        "NICs",
        {(each.id, each.host_id, each.ip_address, each.mac_address) for each in truth.nics},
        {(nic.id, hosts[nic.vm_id], nic.ip_address, nic.mac_address) for nic in reserved},
    )
    yield from _other(
        "plugged NICs",
        {(each.id, domain.vm_id) for domain in truth.domains for each in domain.nics},
        {(nic.id, nic.vm_id) for nic in reserved},
    )
    try:
        assert_disks(after.disks, truth)
    except AssertionError as error:
        yield f"disks: {str(error) or _where(error)}"


def _other(what: str, there: set[Any], recorded: set[Any]) -> Iterator[str]:
    if there - recorded:
        yield f"{what} that no record knows: {sorted(there - recorded, key=str)}"
    if recorded - there:
        yield f"{what} that are not there: {sorted(recorded - there, key=str)}"


def _rules(after: Aftermath) -> Iterator[str]:
    """Each guest is filtered by the rules in force."""
    versions = {group["id"]: group["version"] for group in after.groups}
    for vm in after.vms:
        if vm.state == "Running" and vm.rules_told < max((versions[each] for each in vm.security_groups), default=0):
            yield f"the host of VM {vm.name} was not told the rules in force"


def _kept(after: Aftermath, told: Marks) -> Iterator[str]:
    """What was acknowledged is there; what was refused left nothing; nothing is there twice."""
    made = Counter(_what(after, operation) for operation in after.operations)
    names = after.tables["operation"].keys()
    for name, marks in enumerate(told):
        for mark in marks:
            if mark.kind is Kind.ACKED and mark.about not in names:
                yield f"process {name} was told that {mark.text} is durable; it is not there"
    every = [mark for marks in told for mark in marks]
    asked = Counter(mark.about for mark in every if mark.kind is Kind.ASKED)
    refused = Counter(mark.about for mark in every if mark.kind is Kind.REFUSED)
    for what, count in made.items():
        if what is not None and count > asked[what] - refused[what]:
            yield f"{what}: {count} operations of {asked[what]} requests, {refused[what]} of which were refused"


def _what(after: Aftermath, operation: Operation) -> str | None:
    """How a process names the request; None: no process of the round asked for it."""
    if operation.actor == "interlock" or operation.actor == "embedder":
        return None
    if operation.kind == "deploy":
        return f"deploy {operation.request['name']}"
    if operation.kind == "create-disk":
        return f"create-disk {operation.request['name']}"
    return f"{operation.kind} {operation.request.get('vm') or operation.request.get('volume')}"


def _said(told: Marks) -> Iterator[str]:
    """No process broke, nothing was found at the end, and nothing was Stuck but for a refusal on order."""
    for mark in (mark for marks in told for mark in marks):
        if mark.kind in (Kind.FINDING, Kind.BROKEN):
            yield f"{mark.kind}: {mark.about} {mark.text}"
        if mark.kind is Kind.STUCK and "on order" not in mark.text:
            yield f"operation {mark.about} was Stuck, and no fault on order explains it: {mark.text}"


def trespasses(after: Aftermath, told: Marks) -> list[str]:
    """Decisions about an operation that were written by a process which had lost it: after another one's claim."""
    claims: dict[str, dict[int, str | None]] = {}
    worker: dict[str, str | None] = {}
    for row in after.journal:
        if row.machine == "operation":
            worker[row.entity_id] = row.changed.get("worker_id", worker.get(row.entity_id))
            if row.event in ("Claimed", "OperationStuck"):  # what is Stuck is nobody's
                claims.setdefault(row.entity_id, {})[row.seq] = worker[row.entity_id]
    return [
        f"rows {first} to {last} of operation {row.operation_id} ({row.event}): their writer had lost it"
        for writer, first, last in _decisions(told)
        if _at(claims.get((row := after.journal[last - 1]).operation_id or "", {}), last) not in (None, writer)
    ]


def _decisions(told: Marks) -> Iterator[tuple[str, int, int]]:
    """The worker of each decision that is known to have been written, with its first and last row."""
    for marks in told:
        worker = next((mark.about for mark in marks if mark.kind is Kind.WORKER), None)
        for mark in marks:
            for first, last in mark.rows if worker else ():
                yield worker or "", first, last


def _at(claims: dict[int, str | None], seq: int) -> str | None:
    """Who drives by then; None: nobody has claimed it."""
    return next((worker for number, worker in reversed(claims.items()) if number <= seq), None)


def taken_over(after: Aftermath) -> int:
    """How many operations were driven by more than one worker."""
    workers: dict[str, set[str]] = {}
    for row in after.journal:
        if row.machine == "operation" and (worker := row.changed.get("worker_id")):
            workers.setdefault(row.entity_id, set()).add(worker)
    return sum(len(each) > 1 for each in workers.values())
