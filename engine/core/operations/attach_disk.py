"""attach-disk: give a disk that belongs to no VM to one that is Allocated, Stopped or Running.

Legal flow: place → create → attach. To a VM that does not run the disk is given on paper: an Allocated one is made
when the VM starts, a Ready one ties it to hosts that reach its pool. For a running guest, `place` finds out whether
its host reaches the disk's pool, or chooses one for a disk that does not exist yet; `create` makes it there; `attach`
plugs it in: Ready → Attaching → Ready.
Owns `pool_id` and `clone` of a disk that it creates; `vm_id` and `device`, written with the announcement of the plug.
Unwinding leaves the disk as it was: unplugged, belonging to no VM, and Allocated if this operation created it. When a
pool refuses, another is chosen, as in a deploy; a host that refuses is the only one there is, and ends it.
Races: the operation owns the VM and the disk; the device number is chosen among disks that nobody else can change.
Two that want the last room of a pool are told apart by the guards; the loser chooses again.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Refusal, Step
from interlock.engine.core.steps.demand import demand_of
from interlock.engine.core.steps.disk import (
    disk_of,
    found,
    is_plugged_in,
    looked_at_again,
    must_be_at_rest,
    must_be_data,
    must_be_free,
    must_plug,
    plug,
    unplug,
)
from interlock.engine.core.steps.prepare import create, created, reclaim, reclaimed
from interlock.engine.core.steps.specs import create_volumes, delete_volumes, host_of
from interlock.planners.protocol import Plan
from interlock.planners.storage import Storage
from interlock.schema.commands import AnyCommand
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import Volume
from interlock.schema.requests import AttachDisk

DATA_DISKS = 64
"""Data disks of one VM. Too low: large databases do not fit; too high: more than hypervisors number."""


def _admit(draft: Draft, request: AttachDisk, caller_id: str | None, ids: Iterator[str]) -> None:
    _may_attach(draft, found(draft, request.volume))


def _may_attach(draft: Draft, volume: Volume) -> None:
    must_be_data(draft, volume)
    must_be_free(draft, volume)
    must_be_at_rest(draft, volume)
    _must_be_of_the_same(draft, volume)
    _must_have_a_device(draft)
    must_plug(draft, volume)


def _must_be_of_the_same(draft: Draft, volume: Volume) -> None:
    """The disk is in the VM's zone, and the VM's owner's."""
    vm = draft.vm
    if volume.zone_id != vm.zone_id:
        raise InvalidRequest(f"disk {volume.name} is in zone {volume.zone_id}, VM {vm.name} in {vm.zone_id}")
    if volume.account_id != vm.account_id:
        raise InvalidRequest(
            f"disk {volume.name} belongs to account {volume.account_id}, VM {vm.name} to {vm.account_id}"
        )


def _devices(draft: Draft) -> set[int | None]:
    return {each.device for each in draft.volumes if each.vm_id == draft.vm.id and each.kind == "DATA"}


def _must_have_a_device(draft: Draft) -> None:
    """The VM has not as many disks as it may."""
    if len(_devices(draft)) >= DATA_DISKS:
        raise InvalidRequest(f"VM {draft.vm.name} has {DATA_DISKS} data disks, which is the most; detach one first")


def _place(draft: Draft) -> None:
    volume = disk_of(draft)
    with looked_at_again():
        _may_attach(draft, volume)
    if not is_plugged_in(draft):
        return
    host = host_of(draft)
    demand = demand_of(draft)
    if cause := demand.avoid_hosts.get(host.id):
        raise Refusal(f"disk {volume.name} cannot be attached: host {host.id} refused it: {cause}")
    own = tuple(each for each in demand.volumes if each.id == volume.id)
    pools = Storage(msgspec.structs.replace(demand, volumes=own), draft.cloud).place(host)
    if isinstance(pools, str):
        raise Refusal(
            f"disk {volume.name} cannot be attached on host {host.id}, where VM {draft.vm.name} runs: {pools}"
        )
    draft.plan = Plan(host_id=host.id, pools=pools, rejected=())


def _create(draft: Draft) -> None:
    volume = disk_of(draft)
    if draft.plan is not None and volume.state == "Allocated":
        create(draft, volume, draft.plan.pools[volume.id])
        draft.noted["made"] = (volume.id,)


def _delete(draft: Draft) -> tuple[AnyCommand, ...]:
    return delete_volumes(draft, "Reclaiming")


def _deleted(draft: Draft) -> None:
    reclaimed(draft)
    draft.noted["made"] = ()


def _give(draft: Draft) -> None:
    taken = _devices(draft)
    device = next(number for number in range(1, DATA_DISKS + 1) if number not in taken)
    draft.move(disk_of(draft), "AttachRequested", vm_id=draft.vm.id, device=device)


def _plug(draft: Draft) -> tuple[AnyCommand, ...]:
    return plug(draft) if is_plugged_in(draft) else ()


def _given(draft: Draft) -> None:
    volume = disk_of(draft)
    if volume.state == "Attaching":
        draft.move(volume, "OperationSucceeded")


def _unplug(draft: Draft) -> tuple[AnyCommand, ...]:
    return unplug(draft) if disk_of(draft).state == "Attaching" and is_plugged_in(draft) else ()


def _taken_back(draft: Draft) -> None:
    volume = disk_of(draft)
    if volume.state == "Attaching":
        draft.move(volume, "OperationFailed", vm_id=None, device=None)


ATTACH_DISK = Program(
    "attach-disk",
    accepts=("Allocated", "Stopped", "Running"),
    steps=(
        Step("place", Act(announce=_place)),
        Step(
            "create",
            Act(announce=_create, effects=create_volumes, settle=created),
            undo=Act(announce=reclaim, effects=_delete, settle=_deleted),
        ),
        Step(
            "attach",
            Act(announce=_give, effects=_plug, settle=_given),
            undo=Act(effects=_unplug, settle=_taken_back),
        ),
    ),
    admit=_admit,
)
