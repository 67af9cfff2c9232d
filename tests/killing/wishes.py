"""What is asked next: a request that suits what a VM or a disk is now. Every kind of request that there is comes up.

Pure but for the dice it is handed. What suits may be refused all the same (somebody else was faster, a rule says no):
that is an answer, not a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from interlock import DeployVM, NicRequest
from interlock.schema.records import Vm, Volume
from interlock.schema.requests import (
    AddNic,
    AssignVM,
    AttachDisk,
    CreateDisk,
    DeleteDisk,
    DestroyVM,
    DetachDisk,
    ExpungeVM,
    MigrateVM,
    RebootVM,
    RecoverVM,
    RemoveNic,
    Request,
    ResizeDisk,
    RestoreVM,
    ScaleVM,
    SecureVM,
    SetDefaultNic,
    StartVM,
    StopVM,
)
from tests.killing.fleet import GROUP, NICS

Sight = Mapping[str, Volume]
"""The disks that are known, by id."""
Wish = Callable[[Random, Vm, Sight], Request | None]


def _attach(draw: Random, vm: Vm, disks: Sight) -> Request | None:
    free = [disk for disk in disks.values() if disk.vm_id is None and disk.state in ("Allocated", "Ready")]
    return AttachDisk(vm.id, draw.choice(free).id) if free else None


def _detach(draw: Random, vm: Vm, disks: Sight) -> Request | None:
    own = [disk for disk in disks.values() if disk.vm_id == vm.id and disk.kind == "DATA"]
    return DetachDisk(draw.choice(own).id) if own else None


def _resize(draw: Random, vm: Vm, disks: Sight) -> Request | None:
    own = [disk for disk in disks.values() if disk.vm_id == vm.id]
    return _grown(draw, draw.choice(own)) if own else None


def _grown(draw: Random, disk: Volume) -> Request:
    if disk.kind == "DATA" and draw.random() < 0.2:
        return ResizeDisk(disk.id, max(1024, disk.size_mib // 2), shrink=True)
    return ResizeDisk(disk.id, disk.size_mib + draw.randint(1, 64))


def _scale(draw: Random, vm: Vm, disks: Sight) -> Request:
    return ScaleVM(vm.id, "medium" if vm.offering_id == "small" else "small")


def _other_account(draw: Random, vm: Vm, disks: Sight) -> Request:
    return AssignVM(vm.id, "eve" if vm.account_id == "system" else "system")


ANY_NET = ("net", "back")
STAYS: Mapping[Wish, int] = {
    _attach: 3,
    _detach: 2,
    _resize: 2,
    _scale: 3,
    lambda draw, vm, disks: AddNic(vm.id, NicRequest(draw.choice(ANY_NET))): 2,
    lambda draw, vm, disks: RemoveNic(vm.id, draw.choice(ANY_NET)): 2,
    lambda draw, vm, disks: SetDefaultNic(vm.id, draw.choice(ANY_NET)): 1,
}
"""What can be asked of a VM whether it runs or not, and how often it is."""
ENDS: Mapping[Wish, int] = {lambda draw, vm, disks: ExpungeVM(vm.id): 2}
BY_STATE: Mapping[str, Mapping[Wish, int]] = {
    "Running": {
        **STAYS,
        lambda draw, vm, disks: StopVM(vm.id, forced=draw.random() < 0.3): 4,
        lambda draw, vm, disks: RebootVM(vm.id): 2,
        lambda draw, vm, disks: MigrateVM(vm.id): 5,
        lambda draw, vm, disks: DestroyVM(vm.id, forced=draw.random() < 0.3): 2,
        lambda draw, vm, disks: SecureVM(vm.id): 1,
    },
    "Stopped": {
        **STAYS,
        **ENDS,
        lambda draw, vm, disks: StartVM(vm.id): 8,
        lambda draw, vm, disks: RestoreVM(vm.id): 4,
        lambda draw, vm, disks: DestroyVM(vm.id): 1,
        _other_account: 2,
    },
    "Allocated": {**STAYS, **ENDS, lambda draw, vm, disks: StartVM(vm.id): 6, _other_account: 1},
    "Destroyed": {**ENDS, lambda draw, vm, disks: RecoverVM(vm.id): 2},
    "Error": ENDS,
}


def of_vm(draw: Random, vm: Vm, disks: Sight) -> Request | None:
    """Something to ask of a VM; None if nothing comes to mind."""
    known = BY_STATE.get(vm.state, {})
    return draw.choices(list(known), list(known.values()))[0](draw, vm, disks) if known else None


def of_disk(draw: Random, disk: Volume) -> Request | None:
    """Something to ask of a disk that is in no VM."""
    if disk.vm_id is not None or disk.state not in ("Allocated", "Ready", "Destroy"):
        return None
    return DeleteDisk(disk.id) if draw.random() < 0.4 or disk.state == "Destroy" else _grown(draw, disk)


def of_nobody(draw: Random, name: str) -> Request:
    """Something new. Its name is its own, so that it can be told whether it was made once."""
    if draw.random() < 0.25:
        return CreateDisk(name=name, offering="any", size_mib=draw.randint(1024, 2048), zone="z")
    return DeployVM(
        name=name,
        offering=draw.choice(("small", "medium")),
        template="t",
        nics=NICS if draw.random() < 0.4 else (),
        data_disks_mib=(256,) if draw.random() < 0.3 else (),
        security_groups=(GROUP,) if draw.random() < 0.5 else (),
        start=draw.random() < 0.85,
    )
