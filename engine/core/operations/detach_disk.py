"""detach-disk: take a data disk from its VM; it keeps its data and its space, and lives on without the VM.

Legal flow: one step. From a VM that does not run it is taken on paper; from a running guest it is unplugged, Ready →
Detaching → Ready. From a Destroyed VM, too: that is how its data are saved before it is expunged.
Owns `vm_id` and `device`, which are given up with the result, so that until then the disk is the VM's.
Unwinding plugs it in again: the guest has it whether or not it was unplugged.
Races: the operation owns the VM and the disk, so the VM can neither start nor be expunged with half a disk.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.disk import (
    disk_of,
    found,
    is_plugged_in,
    looked_at_again,
    must_be_at_rest,
    must_be_attached,
    must_be_data,
    must_be_still,
    must_plug,
    plug,
    unplug,
)
from interlock.schema.commands import AnyCommand
from interlock.schema.records import Volume
from interlock.schema.requests import DetachDisk

NOBODYS = {"vm_id": None, "device": None}
"""What a disk is that belongs to no VM."""


def _admit(draft: Draft, request: DetachDisk, caller_id: str | None, ids: Iterator[str]) -> None:
    _may_detach(draft, found(draft, request.volume))


def _may_detach(draft: Draft, volume: Volume) -> None:
    must_be_attached(draft, volume)
    must_be_data(draft, volume)
    must_be_at_rest(draft, volume)
    must_plug(draft, volume)


def _announce(draft: Draft) -> None:
    volume = disk_of(draft)
    must_be_still(draft, volume)
    with looked_at_again():
        _may_detach(draft, volume)
    # One that does not exist yet is taken by this one transition.
    draft.move(volume, "DetachRequested", **(NOBODYS if volume.state == "Allocated" else {}))


def _unplug(draft: Draft) -> tuple[AnyCommand, ...]:
    return unplug(draft) if is_plugged_in(draft) else ()


def _taken(draft: Draft) -> None:
    volume = disk_of(draft)
    if volume.state == "Detaching":
        draft.move(volume, "OperationSucceeded", **NOBODYS)


def _plug(draft: Draft) -> tuple[AnyCommand, ...]:
    return plug(draft) if disk_of(draft).state == "Detaching" and is_plugged_in(draft) else ()


def _kept(draft: Draft) -> None:
    volume = disk_of(draft)
    if volume.state == "Detaching":
        draft.move(volume, "OperationFailed")


DETACH_DISK = Program(
    "detach-disk",
    accepts=("Allocated", "Stopped", "Running", "Destroyed"),
    steps=(
        Step(
            "detach",
            Act(announce=_announce, effects=_unplug, settle=_taken),
            undo=Act(effects=_plug, settle=_kept),
        ),
    ),
    admit=_admit,
)
