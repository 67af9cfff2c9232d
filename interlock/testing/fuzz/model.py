"""The reference model: what the lifecycle is, told once more in the plainest way, without states in between.

It knows VMs and disks as somebody outside sees them: where a VM stands, whose it is, which disks and networks it has.
An operation that succeeds does what it says, one that does not leaves all as it was (a deploy leaves an Error, an
expunge may). It shares nothing with the core but the names of kinds and stable states, and must agree with the records
whenever an operation ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.engine.core.decision import Decision
from interlock.schema.cloud import Offering
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.testing.fuzz.violation import Violation

if TYPE_CHECKING:
    from interlock.engine.store.memory import MemoryStore


@dataclass(slots=True)
class Machine:
    """A VM, as its owner sees it."""

    state: str
    account: str
    offering: str
    networks: set[str]
    default: str | None
    disks: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Disk:
    """A disk, as its owner sees it."""

    vm: str | None
    size_mib: int
    gone: bool = False
    holds_data: bool = False
    """It has been seen at rest in a pool: from then on somebody's data are on it."""


LEADS_TO = {
    "deploy": "Running",
    "start": "Running",
    "stop": "Stopped",
    "destroy": "Destroyed",
    "recover": "Stopped",
    "expunge": "Expunged",
}
"""Where a VM stands when an operation of that kind has succeeded; others leave it where it is."""
FAILS_TO = {"deploy": {"Error"}, "expunge": {"Error"}, "start": {"Stopped"}}
"""Where it stands when it has not; others leave it where it was."""
BY_ITSELF = ("Running", "Stopped", "Unknown")
"""Where a VM may turn out to be that was followed; whether it is, the oracle sees from the world."""
ENDED = ("Succeeded", "Failed", "Cancelled")


class Model:
    """What there should be."""

    def __init__(self) -> None:
        self.vms: dict[str, Machine] = {}
        self.disks: dict[str, Disk] = {}
        self._cancelled: set[str] = set()

    def wrote(self, decision: Decision, store: MemoryStore) -> None:
        """A decision was committed: take in what a request made, and what an operation's end means.

        Raises:
            Violation: the records say otherwise.
        """
        operation = decision.operation
        if operation.version == 1 or decision.changes[-1].before is None:
            self._asked(operation, decision, store)
        if any(change.entry.event == "CancelRequested" for change in decision.changes):
            self._cancelled.add(operation.id)
        if operation.state == "Succeeded" and operation.id in self._cancelled:
            raise Violation("cancel", f"{operation.kind} {operation.id} was cancelled, and Succeeded")
        if operation.state in ENDED:
            self._ended(operation)
            self._agree(operation, store)

    def _asked(self, operation: Operation, decision: Decision, store: MemoryStore) -> None:
        """What is done with the request itself."""
        if operation.kind == "deploy" and decision.vm is not None:
            self._deployed(decision.vm, decision.nics, decision.volumes)
        elif operation.kind == "create-disk":
            for volume in decision.volumes:
                self.disks[volume.id] = Disk(None, volume.size_mib)
        elif operation.kind == "assign" and decision.vm is not None:
            vm, request = self.vms[decision.vm.id], operation.request
            vm.account = request["account"]
            nics = [nic for nic in decision.nics if nic.state != "Deallocated"]
            if request["networks"] and {nic.network_id for nic in nics} != set(request["networks"]):
                raise Violation("model", f"VM {decision.vm.id} was assigned to other networks than were asked for")
            vm.networks, vm.default = {nic.network_id for nic in nics}, _default(nics)

    def _deployed(self, vm: Vm, nics: tuple[Nic, ...], volumes: tuple[Volume, ...]) -> None:
        disks = {volume.id for volume in volumes}
        networks = {nic.network_id for nic in nics}
        self.vms[vm.id] = Machine("Allocated", vm.account_id, vm.offering_id, networks, _default(nics), disks)
        for volume in volumes:
            self.disks[volume.id] = Disk(vm.id, volume.size_mib)

    def _ended(self, operation: Operation) -> None:
        vm = self.vms.get(operation.vm_id or "")
        if operation.state != "Succeeded":
            if operation.kind == "deploy" and vm is not None:
                vm.networks, vm.default = set(), None
                self._lose(vm)
            elif operation.kind == "create-disk":
                self.disks[operation.volume_id or ""].gone = True
            return
        if vm is not None:
            self._changed(operation, vm)
        if (disk := self.disks.get(operation.volume_id or "")) is not None:
            self._moved(operation, disk)

    def _changed(self, operation: Operation, vm: Machine) -> None:
        request = operation.request
        if operation.kind == "expunge":
            vm.networks, vm.default = set(), None
            self._lose(vm)
        elif operation.kind == "scale":
            vm.offering = request["offering"]
        elif operation.kind == "add-nic":
            vm.networks = {*vm.networks, request["nic"]["network"]}
        elif operation.kind == "remove-nic":
            vm.networks = vm.networks - {request["network"]}
        elif operation.kind == "set-default-nic":
            vm.default = request["network"]

    def _moved(self, operation: Operation, disk: Disk) -> None:
        volume_id = operation.volume_id or ""
        if operation.kind == "attach-disk":
            disk.vm = operation.vm_id
            self.vms[operation.vm_id or ""].disks.add(volume_id)
        elif operation.kind == "detach-disk":
            disk.vm = None
            self.vms[operation.vm_id or ""].disks.discard(volume_id)
        elif operation.kind == "resize-disk":
            disk.size_mib = operation.request["size_mib"]
        elif operation.kind == "delete-disk":
            disk.gone = True

    def _lose(self, vm: Machine) -> None:
        for disk_id in vm.disks:
            self.disks[disk_id].gone = True
        vm.disks = set()

    # --- comparing

    def _agree(self, operation: Operation, store: MemoryStore) -> None:
        record: Vm | None = store.records["vm"].get(operation.vm_id or "")
        if record is not None:
            self._state(operation, record)
            self._same(record, store)
        if operation.volume_id is not None:
            self._same_disk(store.records["volume"][operation.volume_id])

    def _state(self, operation: Operation, record: Vm) -> None:
        vm = self.vms[record.id]
        started = operation.kind != "deploy" or operation.request.get("start", True)
        if operation.state == "Succeeded":
            expected = {LEADS_TO.get(operation.kind, vm.state) if started else "Allocated"}
        else:
            # An operation that never began, or was refused before it did anything, leaves the VM where it was.
            expected = {vm.state, *FAILS_TO.get(operation.kind, ())} - ({"Allocated"} if not started else set())
            if vm.state == "Unknown" and operation.kind in ("stop", "destroy"):
                expected.add("Running")  # its undo has made sure that it runs
        if operation.kind == "follow" and vm.state in BY_ITSELF:
            expected |= set(BY_ITSELF)
        if operation.kind == "deploy" and operation.state != "Succeeded":
            expected = {"Error"}
        if record.state not in expected:
            ended = f"{operation.kind} {operation.state} from {vm.state}"
            raise Violation("model", f"VM {record.id}: after {ended} it is {record.state}, not {' or '.join(expected)}")
        vm.state = record.state

    def _same(self, record: Vm, store: MemoryStore) -> None:
        vm = self.vms[record.id]
        nics: list[Nic] = [nic for nic in store.parts.get(record.id, {}).values() if isinstance(nic, Nic)]
        told: tuple[Any, ...] = (
            record.account_id,
            record.offering_id,
            {nic.network_id for nic in nics},
            _default(nics),
        )
        expected: tuple[Any, ...] = (vm.account, vm.offering, vm.networks, vm.default)
        if told != expected:
            raise Violation("model", f"VM {record.id} ({record.state}): it is {told}, and should be {expected}")
        offering: Offering = store.places["offering"][vm.offering]
        for name in ("cpu_cores", "memory_mib"):
            if getattr(offering, name) not in (None, getattr(record, name)):
                size = f"{name} {getattr(record, name)}, its offering {offering.id} {getattr(offering, name)}"
                raise Violation("model", f"VM {record.id} ({record.state}) has {size}")
        roots = [each for each in store.parts.get(record.id, {}).values() if isinstance(each, Volume)]
        data = {each.id for each in roots if each.kind == "DATA"}
        wanted = {each for each in vm.disks if store.records["volume"][each].kind == "DATA"}
        if data != wanted:
            raise Violation("model", f"VM {record.id} has data disks {data}, and should have {wanted}")
        for volume in roots:
            if volume.id in self.disks:
                self._same_disk(volume)

    def _same_disk(self, record: Volume) -> None:
        disk = self.disks.get(record.id)
        if disk is None:
            return
        gone = record.state == "Expunged"
        doomed = record.state == "Destroy"
        if (disk.gone and not gone) or (gone and not disk.gone and record.kind == "DATA"):
            raise Violation(
                "model", f"disk {record.id} is {record.state}, and should {'' if disk.gone else 'not '}be gone"
            )
        if disk.holds_data and record.state == "Allocated":
            raise Violation("data", f"disk {record.id} had data, and is Allocated: they were deleted, and nobody asked")
        disk.holds_data |= record.state == "Ready"
        if not gone and not doomed and (record.vm_id, record.size_mib) != (disk.vm, disk.size_mib):
            raise Violation("model", f"disk {record.id} is {record.size_mib} MiB of VM {record.vm_id}, model: {disk}")

    def agrees(self, store: MemoryStore) -> None:
        """Everything, when all is quiet.

        Raises:
            Violation: a record says otherwise.
        """
        for vm_id, vm in self.vms.items():
            record = store.records["vm"][vm_id]
            if ("vm", vm_id) not in store.active and record.state != vm.state:
                raise Violation("model", f"VM {vm_id} is {record.state}, and should be {vm.state}")
        for volume in store.records["volume"].values():
            if ("volume", volume.id) not in store.active and ("vm", volume.vm_id) not in store.active:
                self._same_disk(volume)


def _default(nics: Any) -> str | None:
    return next((nic.network_id for nic in nics if nic.is_default), None)
