"""The oracle: what must hold after every event, checked on what the event touched, and of everything when all is quiet.

It trusts neither core nor store: the journal is read back by itself (`Rebuild`: transitions, chain, double entry), held
figures are counted anew from the records, and what the hypervisor has is compared with what the records hold. Each
promise is a method with its sentence; the first that is broken is raised as `Violation`.

What never holds for long is not asked: between an announcement and its outcome the world may be as before or as after.
A VM for which a person vouched (`--accept`) while the world was otherwise is not compared any more; nor is a NIC, on a
host that refused to release it where that is borne (`borne.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from interlock.engine.core.decision import Change, Decision
from interlock.engine.core.rebuild import JournalBroken, Rebuild
from interlock.engine.store.memory import Case, MemoryStore
from interlock.schema.commands import Outcome
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.operation import DRIVEN
from interlock.schema.records import MACHINE_OF, Entity, Nic, Operation, Vm, Volume
from interlock.schema.transition import CLOUD, Entry
from interlock.testing.fuzz import whole
from interlock.testing.fuzz.books import Books
from interlock.testing.fuzz.borne import Left, left_by
from interlock.testing.fuzz.hypervisor import Hypervisor
from interlock.testing.fuzz.model import Model
from interlock.testing.fuzz.network import Message
from interlock.testing.fuzz.violation import Violation
from interlock.testing.seen import Seen

NOT_HOME = ("Allocated", "Stopped", "Destroyed", "Error", "Expunged")
"""VM states in which, with no operation under way, nothing of it is on any host."""
WHOLE = 512
"""Events between two looks at everything. Too low: the fuzzer does nothing else; too high: what changed untouched is
noticed late, and the story of it is long."""


class Oracle:
    """Watches one universe."""

    def __init__(self, store: MemoryStore, hypervisor: Hypervisor) -> None:
        self._store, self._hypervisor = store, hypervisor
        self._rebuilt = Rebuild()
        self._model = Model()
        self._vouched: set[str] = set()
        """Ids of VMs and volumes that are not compared with the world."""
        self._astray: dict[str, int] = {}
        """Guests that are not where a command has put them, until they have been followed: the journal's head then."""
        self._asked: dict[str, int] = {}
        """The operations under way that follow guests: the journal's head when they were asked for."""
        self._left: set[Left] = set()
        """NICs that hosts refused to release, which was borne."""
        self._broken: Violation | None = None
        self._read: list[Entry] = []
        """Rows of the store's journal that were looked at."""
        self._books = Books(store.places)
        self._events = 0

    # --- what happened

    def wrote(self, decision: Decision) -> None:
        """A decision was committed.

        Raises:
            Violation: it breaks a promise.
        """
        touched: dict[str, Entity] = {change.after.id: change.after for change in decision.changes}
        self._is_written(decision, touched.values())
        self._left |= left_by(decision)
        self._books.check()
        things = [entity for entity in touched.values() if not isinstance(entity, Operation)]
        for entity in things:
            self._stands_where_it_must(entity)
        for entity in things:
            self._matches(entity.id)
        if decision.operation.kind in ("follow", "evict"):
            self._followed(decision.operation)
        if decision.outcome is not None and decision.outcome != "Stuck":
            self._is_at_rest(decision.operation)
        self._model.wrote(decision, self._store)

    def performed(self, message: Message, outcome: Outcome) -> None:
        """A command was carried out. What is found is raised by `after_event`, not into the driver's face."""
        command = message.effect.command
        try:
            for entity_id in filter(None, (command.vm_id, command.subject.partition(" ")[2])):
                self._matches(entity_id)
        except Violation as violation:
            self._broken = self._broken or violation

    def after_event(self) -> None:
        """Raise what was found meanwhile; from time to time look at everything."""
        if self._broken is not None:
            raise self._broken
        self._events += 1
        if self._events % WHOLE == 0:
            self.whole()

    def whole(self) -> None:
        """Ask of all there is what else is asked of what an event touched.

        Raises:
            Violation: something changed untouched.
        """
        self._has_rows([])
        whole.look(self._store, self._rebuilt, self._read)
        self._books.recount(self._store.records)
        for machine, records in self._store.records.items():
            for entity in records.values() if machine != "operation" else ():
                self._stands_where_it_must(entity)
                self._matches(entity.id)
        self._rests()

    def _rests(self) -> None:
        """What no operation has is in the world just as its record says."""
        active, records = self._store.active, self._store.records
        for vm in records["vm"].values():
            if ("vm", vm.id) not in active and vm.id not in self._vouched:
                self._vm_is_as_recorded(vm)
        for volume in records["volume"].values():
            if ("volume", volume.id) not in active and ("vm", volume.vm_id) not in active:
                self._disk_is_as_recorded(volume) if volume.id not in self._vouched else None

    def vouched(self, case: Case) -> None:
        """A person says that the world is as undoing the operation would leave it, and it may not be."""
        assert case.operation is not None
        subjects = (case.operation.vm_id, case.operation.volume_id)
        nics, volumes = (each.id for each in case.nics), (each.id for each in case.volumes)
        self._vouched |= {*filter(None, subjects), *case.operation.made, *nics, *volumes}

    def astray(self, guest: str) -> None:
        """Something happened to a guest that no command asked for: its record has to catch up."""
        self._astray[guest] = self._store.head

    @property
    def unfollowed(self) -> list[str]:
        """The guests of which that has not been seen yet."""
        return sorted(self._astray)

    def needs_vouching(self, operation: Operation) -> bool:
        """Whether its undo may be refused for ever: what it is about is not as was vouched, or some guest is where no
        command has put it, and fills a host that has room by the books."""
        return bool(self._astray) or not self._vouched.isdisjoint({operation.vm_id, operation.volume_id})

    def _followed(self, operation: Operation) -> None:
        """Once it was looked for, the record says what is: unless nobody answered, or it has moved on since."""
        asked = self._asked.setdefault(operation.id, self._store.head)
        if operation.state not in DRIVEN:
            del self._asked[operation.id]
        vm = self._store.records["vm"].get(operation.vm_id or "")
        guest = operation.vm_id or operation.request.get("guest", "")
        known = operation.state == "Succeeded" and (vm is None or vm.state != "Unknown")
        known = known and (self._is_told(operation) or not self._runs_elsewhere(guest, vm))
        if known and self._astray.get(guest, asked) < asked:
            del self._astray[guest]

    def _is_told(self, operation: Operation) -> bool:
        """It was told where to look: it must find what is there."""
        return operation.request.get("host") is not None

    def _runs_elsewhere(self, guest: str, vm: Vm | None) -> bool:
        """On a host that nobody has named: reports of that host name it, sooner or later."""
        return any(on and (vm is None or host != vm.host_id) for host, on in self._hypervisor.guests(guest))

    # --- promises about records

    def _is_written(self, decision: Decision, touched: Iterable[Entity]) -> None:
        """The journal alone gives the records; each row follows the rows before it. What they move, the books take."""
        self._has_rows(list(decision.journal))
        for change in decision.changes:
            self._is_rebuilt(change)
        for entity in touched:
            name = MACHINE_OF[type(entity)]
            known = self._store.records[name][entity.id]
            if known is not entity and known != self._rebuilt.records[name][entity.id]:
                raise Violation("rebuild", f"{name} {entity.id} is not what the journal makes of it")

    def _has_rows(self, decided: list[Entry]) -> None:
        """The rows that were written since the last look are these, besides those of the cloud."""
        written = self._store.journal[len(self._read) :]
        self._read += written
        rows = [row for row in written if row.machine != CLOUD]
        if len(rows) != len(written):
            self._is_described([row for row in written if row.machine == CLOUD])
        if rows != decided:
            raise Violation("journal", f"{len(decided)} rows were decided, and {len(rows)} are there, or others")

    def _is_rebuilt(self, change: Change) -> None:
        before = self._rebuilt.records[change.machine].get(change.after.id)
        try:
            after = self._rebuilt.add(change.entry)
        except JournalBroken as broken:
            raise Violation("journal", str(broken)) from broken
        if after is None or after != change.after:
            raise Violation(
                "rebuild", f"{change.machine} {change.after.id}: {after} from the journal, {change.after} told"
            )
        self._books.count(before, after)

    def _is_described(self, rows: list[Entry]) -> None:
        """The journal alone gives the places, but for what is counted."""
        for row in rows:
            try:
                self._rebuilt.add(row)
            except JournalBroken as broken:
                raise Violation("journal", str(broken)) from broken
        for name in {name for row in rows for name in msgspec.json.decode(row.changes)}:
            whole.described(self._store, self._rebuilt, name)

    def _stands_where_it_must(self, entity: Entity) -> None:
        """A VM that runs has a host, NICs and disks; one at rest has no host."""
        if isinstance(entity, Vm):
            parts = self._store.parts.get(entity.id, {}).values()
            if entity.state == "Running":
                wrong = [each.id for each in parts if each.state not in _OF_A_RUNNING[type(each)]]
                if entity.host_id is None or wrong:
                    raise Violation(
                        "interlock", f"VM {entity.id} is Running on {entity.host_id}, with {wrong} not ready"
                    )
            elif entity.state in NOT_HOME and (entity.host_id or entity.target_host_id):
                raise Violation("interlock", f"VM {entity.id} is {entity.state} and holds host {entity.host_id}")
        elif isinstance(entity, Nic | Volume):
            self._part_stands(entity)

    def _part_stands(self, part: Nic | Volume) -> None:
        if isinstance(part, Nic):
            wrong = part.state in ("Reserving", "Reserved") and not (part.ip_address and part.mac_address)
            wrong |= part.state == "Deallocated" and bool(part.ip_address or part.mac_address or part.ip6_address)
        else:
            wrong = (part.state in ("Creating", "Ready")) and part.pool_id is None
            wrong |= part.state in ("Allocated", "Expunged") and part.pool_id is not None
        if wrong:
            raise Violation("interlock", f"{part.id} is {part.state} with {part}")

    # --- promises about the world

    def _matches(self, entity_id: str) -> None:
        """What is in the world is held by its record, at every moment."""
        if entity_id in self._vouched or entity_id in self._astray:
            return
        records = self._store.records
        if (vm := records["vm"].get(entity_id)) is not None:
            self._guest_is_held(vm)
        elif (volume := records["volume"].get(entity_id)) is not None:
            self._disk_is_held(volume)
        elif (nic := records["nic"].get(entity_id)) is not None and nic.vm_id not in self._astray:
            self._nic_is_held(nic)

    def _guest_is_held(self, vm: Vm) -> None:
        hosts = [host for host, on in self._hypervisor.guests(vm.id) if on]
        if len(hosts) > 1:
            raise Violation("one guest", f"VM {vm.id} runs on hosts {', '.join(hosts)} at once")
        for host in hosts:
            if host not in (vm.host_id, vm.target_host_id):
                held = vm.host_id or "none"
                raise Violation("world", f"the guest of VM {vm.id} ({vm.state}) runs on {host}; it holds {held}")

    def _disk_is_held(self, volume: Volume) -> None:
        for pool in self._hypervisor.disks(volume.id) or ():
            if pool != volume.pool_id:
                raise Violation("world", f"disk {volume.id} ({volume.state}) is in {pool}; it holds {volume.pool_id}")

    def _nic_is_held(self, nic: Nic) -> None:
        vm = self._store.records["vm"][nic.vm_id]
        held = {vm.host_id, vm.target_host_id} if nic.state in ("Reserving", "Reserved", "Releasing") else set()
        for host in self._hypervisor.nics(nic.id) or ():
            if host not in held and (nic.id, host) not in self._left:
                raise Violation("world", f"NIC {nic.id} ({nic.state}) is ready on {host}; its VM holds {held - {None}}")

    def _is_at_rest(self, operation: Operation) -> None:
        """An operation that has ended leaves nothing half-way, and the world as the records say."""
        case = self._store.subject(operation.vm_id, operation.volume_id)
        if operation.vm_id is None:  # the disk has been attached meanwhile: its VM is another operation's
            case = case._replace(vm=None, nics=())
        entities: list[Entity] = [*([case.vm] if case.vm else []), *case.nics, *case.volumes]
        for entity in entities:
            state = MACHINES[MACHINE_OF[type(entity)]].states[entity.state]
            foreign = isinstance(entity, Volume) and entity.vm_id != operation.vm_id
            if state.stability is Stability.TRANSITIONAL and not foreign:
                raise Violation("half-way", f"{operation.kind} {operation.state}: {entity.id} is left {entity.state}")
        if case.vm is not None and case.vm.id not in self._vouched:
            self._vm_is_as_recorded(case.vm)
        for volume in case.volumes:
            if volume.id not in self._vouched and ("volume", volume.id) not in self._store.active:
                self._disk_is_as_recorded(volume)

    def _vm_is_as_recorded(self, vm: Vm) -> None:
        if vm.state == "Unknown" or vm.id in self._astray:
            return
        running = [host for host, on in self._hypervisor.guests(vm.id) if on]
        expected = [vm.host_id] if vm.state == "Running" else []
        if running != expected:
            raise Violation("world", f"VM {vm.id} is {vm.state}: it runs on {running}, not on {expected}")
        for nic in self._store.parts.get(vm.id, {}).values():
            if isinstance(nic, Nic) and nic.id not in self._vouched:
                hosts = self._hypervisor.nics(nic.id)
                expected = [vm.host_id] if nic.state == "Reserved" else []
                if hosts is not None and [host for host in hosts if self._counts(nic, host, expected)] != expected:
                    raise Violation("world", f"NIC {nic.id} of VM {vm.id} is {nic.state}, and ready on {hosts}")

    def _counts(self, nic: Nic, host: str, expected: list[str | None]) -> bool:
        return host in expected or (nic.id, host) not in self._left

    def _disk_is_as_recorded(self, volume: Volume) -> None:
        found = self._hypervisor.disks(volume.id)
        if found is None:
            return
        pools = list(found)
        if volume.state == "Ready" and pools != [volume.pool_id]:
            raise Violation("world", f"disk {volume.id} is Ready in {volume.pool_id}, and it is in {pools}")
        if volume.state in ("Allocated", "Expunged") and pools:
            raise Violation("leak", f"disk {volume.id} is {volume.state}, and it is in {pools}")

    # --- everything

    def quiet(self) -> None:
        """All operations have ended: every record and the whole world.

        Raises:
            Violation: something is left over.
        """
        for operation in self._store.records["operation"].values():
            if MACHINES["operation"].states[operation.state].stability is Stability.TRANSITIONAL:
                raise Violation("liveness", f"operation {operation.id} ({operation.kind}) is still {operation.state}")
            if operation.state == "Stuck":
                raise Violation(
                    "liveness", f"operation {operation.id} ({operation.kind}) is Stuck, and no undo ends it"
                )
            else:
                self._is_at_rest(operation) if self._is_free(operation) else None
        self.whole()
        self._nothing_unknown()
        self._has_its_size()
        self._model.agrees(self._store)

    def _is_free(self, operation: Operation) -> bool:
        keys = (("vm", operation.vm_id or ""), ("volume", operation.volume_id or ""))
        return not any(key in self._store.active for key in keys)

    def _has_its_size(self) -> None:
        """Guests and disks are as large as their records say."""
        seen, records = self._hypervisor.seen(), self._store.records
        for guest in seen.guests:
            if guest.vm_id not in self._vouched:
                _same_size(guest.vm_id, _GUEST, guest, records["vm"][guest.vm_id])
        for disk in seen.disks or ():
            if disk.id not in self._vouched:
                _same_size(disk.id, _DISK, disk, records["volume"][disk.id])

    def _nothing_unknown(self) -> None:
        """Nothing is in the world that no record knows."""
        known = {entity_id for rows in self._store.records.values() for entity_id in rows}
        for entity_id in _ids(self._hypervisor.seen()):
            if entity_id not in known:
                raise Violation("leak", f"{entity_id} is in the world, and no record knows it")


def _ids(seen: Seen) -> Iterable[str]:
    yield from (guest.vm_id for guest in seen.guests)
    yield from (disk.id for disk in seen.disks or ())
    yield from (nic.id for nic in seen.nics or ())


_GUEST = ("cpu_cores", "memory_mib")
_DISK = ("size_mib",)


def _same_size(entity_id: str, columns: tuple[str, ...], there: object, record: object) -> None:
    for column in columns:
        if getattr(there, column) not in (None, getattr(record, column)):
            said = getattr(record, column)
            raise Violation("world", f"{entity_id} has {column} {getattr(there, column)}; its record says {said}")


_OF_A_RUNNING: dict[type[Entity], tuple[str, ...]] = {
    Nic: ("Reserved", "Reserving", "Releasing", "Allocated"),
    Volume: ("Ready", "Attaching", "Detaching", "Resizing", "Allocated", "Creating", "Reclaiming"),
}
"""A running VM's NICs and disks may come and go, each by an operation of its own."""
