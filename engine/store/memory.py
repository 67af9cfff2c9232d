"""A store without a database: the tables in memory, with the promises of the database and none of its cost.

For the fuzzer, and for tools that play histories. `take` writes what a database has taken already.

Promises: `commit` takes a decision whole or not at all; what it refuses, the database refuses, for the same reason
(`Why`): a record that has moved on, an address, a name or a VM that somebody else has, more than there is, an interlock
that does not hold, strict affinity. It derives these from the tables that the guards derive from. A full-stack test
holds the two equal (tests/test_fuzz_store.py).

Never loses anything: what is here is what is durable. Whoever crashes loses all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, cast

import msgspec

from interlock.engine.core import chronicle
from interlock.engine.core.chronicle import Chain
from interlock.engine.core.decision import Author, Change, Decision
from interlock.engine.store.verdict import Committed, Lost, Verdict, Why
from interlock.schema.cloud import APART, PLACES, TOGETHER, Account, AffinityGroup, Domain, Place, SecurityGroup
from interlock.schema.errors import NotFound
from interlock.schema.holdings import COUNTERS, FREE, METERED, UNIQUE, Limited, Movement
from interlock.schema.interlocks import BY_ENTRY, Standing, violated
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.operation import ACTIVE, DRIVEN
from interlock.schema.records import MACHINE_OF, RECORDS, Entity, Nic, Operation, Vm, Volume
from interlock.schema.rows import text_of
from interlock.schema.transition import OURS, Entry

TERMINAL = {name: frozenset(machine.names(Stability.TERMINAL)) for name, machine in MACHINES.items()}
NAMELESS = ("Error", "Expunging", "Expunged")
"""VM states in which its name is free; of the index vm_name_once."""
STUCK = ("Stuck",)
_FIGURES = {name: attrgetter("id", *columns) for name, columns in COUNTERS.items()}
_METERED = {row.thing: row for row in METERED}
_OF = {(row.resource, row.used): row for row in METERED}
_OF |= {("domain", row.used): row for row in METERED if isinstance(row, Limited)}
_UNIQUE = {row.thing: row for row in UNIQUE}
_LOST_FOR = {"mac": Why.MAC, "name": Why.NAME}
_NAME = {kind: name for name, kind in PLACES.items()}
Parts = dict[str, Nic | Volume]
Figure = tuple[str, str, str]
"""Table, row and column of a counter."""


class Case(NamedTuple):
    """An operation with what it is about, as the tables have it."""

    operation: Operation | None
    vm: Vm | None
    nics: tuple[Nic, ...]
    volumes: tuple[Volume, ...]


class Refused(Exception):
    """The commit loses."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.lost = Lost(why, message)


class MemoryStore:
    """The tables of one cloud.

    Args:
        places: what there is; counters at zero.
        wrote: told each decision that was written, the moment it is durable, whether or not its worker ever hears.
    """

    def __init__(self, places: Iterable[Place], wrote: Callable[[Decision], None]) -> None:
        self._wrote = wrote
        self.places: dict[str, dict[str, Any]] = {name: {} for name in PLACES}
        self._cloud = Chain()
        self.records: dict[str, dict[str, Any]] = {name: {} for name in RECORDS}
        self.journal: list[Entry] = []
        self.parts: dict[str, Parts] = {}
        """NICs and volumes that live, by VM."""
        self.active: dict[tuple[str, str], str] = {}
        """The operation that owns a VM or a volume."""
        self.driven: dict[str, None] = {}
        """The operations that a worker is to drive, in the order of their writing."""
        self.stuck: dict[str, None] = {}
        """Those that wait for a person."""
        self.names: dict[tuple[str, str], str] = {}
        self.owned: dict[tuple[str, ...], str] = {}
        """The owner of each indivisible thing."""
        self._describe(places, Author(at=0, operation_id=None, actor=OURS))
        self._above = {each.id: tuple(self._path(each)) for each in self.places["account"].values()}

    def _path(self, account: Account) -> Iterable[str]:
        domain_id: str | None = account.domain_id
        while domain_id is not None:
            yield domain_id
            domain_id = cast(Domain, self.places["domain"][domain_id]).parent_id

    @property
    def head(self) -> int:
        """The number of the journal's last row."""
        return len(self.journal)

    # --- reading

    def case(self, operation_id: str) -> Case:
        """An operation with what it is about."""
        operation = self.records["operation"][operation_id]
        return self.subject(operation.vm_id, operation.volume_id)._replace(operation=operation)

    def subject(self, vm_id: str | None, volume_id: str | None) -> Case:
        """A VM with what of it lives, and a volume wherever that is.

        Raises:
            NotFound: one of them is not there.
        """
        volume = self._one("volume", volume_id) if volume_id else None
        vm_id = vm_id or (volume.vm_id if volume else None)
        vm = self._one("vm", vm_id) if vm_id else None
        parts = self.parts.get(vm_id or "", {}).values()
        volumes = sorted((each for each in parts if isinstance(each, Volume)), key=_device)
        if volume is not None and volume not in volumes:
            volumes.append(volume)
        nics = sorted((each for each in parts if isinstance(each, Nic)), key=_device)
        return Case(None, vm, tuple(nics), tuple(volumes))

    def _one(self, machine: str, entity_id: str) -> Any:
        if entity_id not in self.records[machine]:
            raise NotFound(f"there is no {machine} {entity_id}")
        return self.records[machine][entity_id]

    def usage(self) -> list[tuple[Any, ...]]:
        """What is held of each place, as the inventory reads it."""
        return [(name, *figures(place)) for name, figures in _FIGURES.items() for place in self.places[name].values()]

    def tenants(self) -> list[tuple[Any, ...]]:
        """The VMs that hold hosts, as the inventory reads them."""
        return [
            (held, vm.account_id, vm.planner, text_of(vm.affinity_groups), 1)
            for vm in self.records["vm"].values()
            for held in (vm.host_id, vm.target_host_id)
            if held
        ]

    def addresses(self, network_id: str) -> list[str]:
        """Those that are owned in a network."""
        return [key[-1] for key in self.owned if key[0] in ("ip", "ip6") and key[1] == network_id]

    # --- writing

    def commit(self, decision: Decision) -> Verdict:
        """Write a decision, whole or not at all."""
        try:
            figures = self._checked(decision)
        except Refused as refused:
            return refused.lost
        for (name, place_id, column), value in figures.items():
            known = self.places[name]
            known[place_id] = msgspec.structs.replace(known[place_id], **{column: value})
        if made := [group for group in decision.groups if group.id not in self.places["security_group"]]:
            author = Author(
                at=decision.journal[0].at, operation_id=decision.operation.id, actor=decision.operation.actor
            )
            self._describe(made, author)
        first = self.head + 1
        for change in decision.changes:
            self._write(change)
        self._wrote(decision)
        return Committed(first)

    def take(self, changes: Iterable[Change]) -> None:
        """Write what was written elsewhere: nothing is refused, and the journal is not kept."""
        for change in changes:
            for figure, amount in self._moved(change.ledger).items():
                self._count(figure, amount)
            self._keep(change)

    def _count(self, figure: Figure, amount: int) -> None:
        name, place_id, column = figure
        if (place := self.places[name].get(place_id)) is not None:
            more = {column: getattr(place, column) + amount}
            self.places[name][place_id] = msgspec.structs.replace(place, **more)

    def describe(self, places: Iterable[Place]) -> None:
        """Have these be all the places there are; what is held of those that were there stays held."""
        said: dict[str, dict[str, Any]] = {name: {} for name in PLACES}
        for place in places:
            name = _NAME[type(place)]
            known = self.places[name].get(place.id)
            held = {column: getattr(known, column) if known else 0 for column in COUNTERS.get(name, ())}
            said[name][place.id] = msgspec.structs.replace(place, **held)
        self.places = said
        self._above = {each.id: tuple(self._path(each)) for each in said["account"].values()}

    def put(self, group: SecurityGroup) -> None:
        """Write a security group: what `rules` does."""
        self._describe([group], Author(at=0, operation_id=None, actor=OURS))

    def _describe(self, places: Iterable[Place], author: Author) -> None:
        """Write places, and the journal rows of those that differ."""
        said: dict[str, list[Place]] = {}
        for place in places:
            said.setdefault(_NAME[type(place)], []).append(place)
        fresh = chronicle.differing(said, self.places)
        for entry in chronicle.written(self._cloud, fresh, author):
            self.journal.append(entry)
            self._cloud = chronicle.end_of(entry)
        for name, written in fresh.items():
            self.places[name] |= {place.id: place for place in written}

    def _checked(self, decision: Decision) -> dict[Figure, int]:
        """The counters as they will be.

        Raises:
            Refused: the database would refuse.
        """
        # What breaks several rules is refused by the one that the database meets first: new rows, then changed ones.
        self._not_stale(decision.changes)
        ledger = decision.ledger
        self._names_free(change for change in decision.changes if change.before is None)
        self._things_free(ledger)
        self._one_owner(decision)
        self._names_free(decision.changes)
        self._interlocked(decision)
        if decision.vm is not None:
            self._affine(decision.vm)
        return self._within(ledger)

    def _not_stale(self, changes: Sequence[Change]) -> None:
        newest: dict[str, Entity] = {}
        for change in changes:
            entity_id = change.after.id
            known = newest.get(entity_id) or self.records[change.machine].get(entity_id)
            before = change.before
            if (known is None) is not (before is None) or (known and before and known.hash != before.hash):
                raise Refused(Why.STALE, f"{change.machine} {entity_id} has moved on")
            newest[entity_id] = change.after

    def _one_owner(self, decision: Decision) -> None:
        operation = decision.operation
        for key in _subjects(operation):
            if operation.state in ACTIVE and self.active.get(key, operation.id) != operation.id:
                raise Refused(Why.BUSY, f"{' '.join(key)} has operation {self.active[key]}")

    def _names_free(self, changes: Iterable[Change]) -> None:
        for change in changes:
            vm = change.after
            if not isinstance(vm, Vm) or vm.state in NAMELESS:
                continue
            if self.names.get((vm.name_scope, vm.name), vm.id) != vm.id:
                raise Refused(Why.NAME, f"the name {vm.name} is taken in {vm.name_scope}")

    def _things_free(self, ledger: Iterable[Movement]) -> None:
        owners: dict[tuple[str, ...], str] = {}
        for movement in ledger:
            if movement.thing in _UNIQUE:
                key = (movement.thing, *movement.where.split("/", 1))
                owner = owners.get(key, self.owned.get(key, FREE))
                if movement.giver == FREE and owner != FREE:
                    raise Refused(_LOST_FOR.get(movement.thing, Why.ROOM), f"{key} is {owner}'s")
                owners[key] = movement.taker

    def _interlocked(self, decision: Decision) -> None:
        for change in decision.changes:
            entity = change.after
            entered = change.before is None or change.before.state != entity.state
            if entered and (change.machine, entity.state) in BY_ENTRY:
                parts: Sequence[Nic | Volume] = (*decision.nics, *decision.volumes)
                related = self._related(entity, {each.id: each for each in parts})
                if reasons := violated(MACHINES[change.machine], entity.state, entity, related):
                    raise Refused(Why.STALE, f"{change.machine} {entity.id}: {'; '.join(reasons)}")

    def _related(self, entity: Entity, after: Parts) -> Iterable[Standing]:
        """A VM's children as they will be; a child's VM as it was."""
        if isinstance(entity, Vm):
            children = {**self.parts.get(entity.id, {}), **after}
            return [
                Standing(MACHINE_OF[type(each)], each.id, each.state)
                for each in children.values()
                if each.vm_id == entity.id
            ]
        vm = self.records["vm"].get(entity.vm_id or "")
        return [Standing("vm", vm.id, vm.state)] if vm else []

    def _affine(self, vm: Vm) -> None:
        known: Vm | None = self.records["vm"].get(vm.id)
        before = (known.host_id, known.target_host_id) if known else (None, None)
        taken = {vm.host_id, vm.target_host_id} - {None, *before}
        groups = [self.places["affinity_group"][each] for each in vm.affinity_groups] if taken else []
        for group in groups:
            for other in self.records["vm"].values():
                if other.id != vm.id and group.id in other.affinity_groups and other.state != "Expunged":
                    _must_suit(group, {other.host_id, other.target_host_id} - {None}, taken)

    def _within(self, ledger: Iterable[Movement]) -> dict[Figure, int]:
        return {figure: self._figure(figure, amount) for figure, amount in self._moved(ledger).items() if amount}

    def _moved(self, ledger: Iterable[Movement]) -> dict[Figure, int]:
        moved: dict[Figure, int] = {}
        for movement in ledger:
            row = _METERED.get(movement.thing)
            if row is not None:
                amount = movement.amount if movement.giver == FREE else -movement.amount
                figures = [(row.resource, movement.where, row.used)]
                if isinstance(row, Limited):
                    figures += [("domain", domain_id, row.used) for domain_id in self._above.get(movement.where, ())]
                for figure in figures:
                    moved[figure] = moved.get(figure, 0) + amount
        return moved

    def _figure(self, figure: Figure, amount: int) -> int:
        name, place_id, column = figure
        place = self.places[name][place_id]
        value = getattr(place, column) + amount
        most = _most(name, column, place)
        if value < 0 or (amount > 0 and most is not None and value > most):
            raise Refused(Why.ROOM, f"{name} {place_id}: {column} would be {value} of {most}")
        return int(value)

    def _write(self, change: Change) -> None:
        self.journal.append(change.entry)
        self._keep(change)

    def _keep(self, change: Change) -> None:
        after = change.after
        self.records[change.machine][after.id] = after
        for movement in change.ledger:
            if movement.thing in _UNIQUE:
                key = (movement.thing, *movement.where.split("/", 1))
                self.owned.pop(key, None)
                if movement.taker != FREE:
                    self.owned[key] = movement.taker
        if isinstance(after, Operation):
            self._own(after)
        elif isinstance(after, Vm):
            self._name(change.before, after)
        else:
            self._belong(change.before, after)

    def _own(self, operation: Operation) -> None:
        for key in _subjects(operation):
            if operation.state in ACTIVE:
                self.active[key] = operation.id
            elif self.active.get(key) == operation.id:
                del self.active[key]
        for states, ids in ((DRIVEN, self.driven), (STUCK, self.stuck)):
            if operation.state in states:
                ids[operation.id] = None
            else:
                ids.pop(operation.id, None)

    def _name(self, before: Entity | None, vm: Vm) -> None:
        if isinstance(before, Vm) and self.names.get((before.name_scope, before.name)) == vm.id:
            del self.names[before.name_scope, before.name]
        if vm.state not in NAMELESS:
            self.names[vm.name_scope, vm.name] = vm.id

    def _belong(self, before: Entity | None, after: Nic | Volume) -> None:
        old = before.vm_id if isinstance(before, Nic | Volume) else None
        if old is not None:
            self.parts[old].pop(after.id, None)
        if after.vm_id is not None and after.state not in TERMINAL[MACHINE_OF[type(after)]]:
            self.parts.setdefault(after.vm_id, {})[after.id] = after


def _device(part: Nic | Volume) -> tuple[int, str]:
    return (-1 if part.device is None else part.device, part.id)


def _subjects(operation: Operation) -> list[tuple[str, str]]:
    found = [("vm", operation.vm_id), ("volume", operation.volume_id)]
    return [(kind, each) for kind, each in found if each is not None]


def _must_suit(group: AffinityGroup, theirs: set[str | None], taken: set[str | None]) -> None:
    if group.kind == APART and theirs & taken:
        raise Refused(Why.STALE, f"affinity group {group.id}: another VM is on {theirs & taken}")
    if group.kind == TOGETHER and theirs and (theirs | taken) != theirs & taken:
        raise Refused(Why.STALE, f"affinity group {group.id}: the others are on {theirs}")


def _most(name: str, column: str, place: Any) -> int | None:
    """How much of it there is; None: any amount."""
    row = _OF[name, column]
    total = getattr(place, row.total)
    if total is None:
        return None
    return int(total * getattr(place, row.overcommit)) if row.overcommit else cast(int, total)
