"""delete-disk: end a disk that belongs to no VM, for good.

Legal flow: one step. A disk that does not exist yet is gone at once; a Ready one becomes Destroy → Expunging, is
deleted from its pool, and is Expunged: its space and its place in its account's limits are free. A deleted disk cannot
come back, so the undo does not pretend: one that is not known to be gone stands in Destroy and still holds its space,
and may be asked to be deleted again until it is.
Owns the whole record of the disk. Races: the operation owns the disk, so nobody can attach it meanwhile; one that was
attached before that is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.disk import disk_of, found, looked_at_again, must_be_free, must_be_still
from interlock.engine.core.steps.expire import bury_volumes, doom_volumes
from interlock.engine.core.steps.specs import delete_volumes
from interlock.schema.commands import AnyCommand
from interlock.schema.errors import InvalidRequest
from interlock.schema.machines import MACHINES
from interlock.schema.records import Volume
from interlock.schema.requests import DeleteDisk


def _admit(draft: Draft, request: DeleteDisk, caller_id: str | None, ids: Iterator[str]) -> None:
    _may_delete(draft, found(draft, request.volume))


def _may_delete(draft: Draft, volume: Volume) -> None:
    must_be_free(draft, volume)
    if volume.state not in ("Allocated", "Ready", "Destroy"):
        raise InvalidRequest(f"disk {volume.name} is {volume.state}, not Allocated, Ready or Destroy")


def _announce(draft: Draft) -> None:
    volume = disk_of(draft)
    must_be_still(draft, volume)
    with looked_at_again():
        _may_delete(draft, volume)
    doom_volumes(draft)


def _delete(draft: Draft) -> tuple[AnyCommand, ...]:
    return delete_volumes(draft, "Expunging")


def _keep(draft: Draft) -> None:
    volume = disk_of(draft)
    # One that was attached before is its VM's, who may be expunging it just now.
    if volume.state == "Expunging" and volume.vm_id is None:
        draft.move(volume, "OperationFailed")


DELETE_DISK = Program(
    "delete-disk",
    # Whatever its VM is: that it has one is refused, in words.
    accepts=tuple(MACHINES["vm"].states),
    steps=(Step("delete", Act(announce=_announce, effects=_delete, settle=bury_volumes), undo=Act(settle=_keep)),),
    admit=_admit,
)
