"""resize-disk: give a disk another size, a root disk or a data disk, whether or not it belongs to a VM.

Legal flow: one step. A disk that does not exist yet changes on paper; else its pool resizes it, Ready → Resizing →
Ready, and the guest that has it, if it runs, is told.
Owns `size_mib`, which is what the disk takes of its pool and of its account's limits. While Resizing that is the
greater of the two sizes: more is taken before the world grows, and given back after it has shrunk. The former size is
kept in the operation's `kept`. Unwinding asks the pool for the former size, whether or not it had the new one; what
shrinking has cut off does not come back.
Races: two that want the last room of a pool or of a limit are told apart by the guards; the loser is refused on fresh
figures. The operation owns the disk and the VM that has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core import limits
from interlock.engine.core.admission.resizing import new_size_allowed
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.disk import (
    disk_of,
    found,
    is_plugged_in,
    looked_at_again,
    must_be_at_rest,
    must_be_still,
)
from interlock.engine.core.steps.specs import to_pool
from interlock.schema.cloud import StoragePool
from interlock.schema.commands import AnyCommand, ResizeVolume
from interlock.schema.errors import NoRoom, OverLimit
from interlock.schema.records import Volume
from interlock.schema.requests import ResizeDisk


def _admit(draft: Draft, request: ResizeDisk, caller_id: str | None, ids: Iterator[str]) -> None:
    _may_resize(draft, found(draft, request.volume), request.size_mib, shrink=request.shrink)


def _may_resize(draft: Draft, volume: Volume, size_mib: int, *, shrink: bool) -> None:
    must_be_at_rest(draft, volume)
    new_size_allowed(draft, volume, size_mib, shrink=shrink)
    _limits_allow(draft, volume, size_mib - volume.size_mib)
    _pool_has_room(draft, volume, size_mib - volume.size_mib)


def _limits_allow(draft: Draft, volume: Volume, more_mib: int) -> None:
    """The account, and every domain above it, may have so much more."""
    if reason := limits.exceeded(draft.cloud, volume.account_id, {"storage": more_mib}):
        raise OverLimit(reason)


def _pool_has_room(draft: Draft, volume: Volume, more_mib: int) -> None:
    """The disk's pool has room for so much more, below its threshold."""
    pool = draft.cloud.find(StoragePool, volume.pool_id or "")
    if pool is None or more_mib <= 0:
        return
    free = max(0, min(pool.free_mib, draft.cloud.pool_most_mib(pool) - pool.used_mib))
    if more_mib > free:
        raise NoRoom(
            f"disk {volume.name} lies in pool {pool.id}, which has {free} MiB free below its threshold; "
            f"{more_mib} more wanted"
        )


def _wanted_mib(draft: Draft) -> int:
    return int(draft.operation.request["size_mib"])


def _announce(draft: Draft) -> None:
    volume, size_mib = disk_of(draft), _wanted_mib(draft)
    must_be_still(draft, volume)
    with looked_at_again():
        _may_resize(draft, volume, size_mib, shrink=bool(draft.operation.request["shrink"]))
    draft.noted["kept"] = {"size_mib": volume.size_mib}
    on_paper = volume.state == "Allocated"
    draft.move(volume, "ResizeRequested", size_mib=size_mib if on_paper else max(size_mib, volume.size_mib))


def _resize(draft: Draft, size_mib: int) -> tuple[AnyCommand, ...]:
    volume = disk_of(draft)
    if volume.state != "Resizing" or volume.pool_id is None:
        return ()
    return (
        ResizeVolume(
            **to_pool(draft, volume, volume.pool_id),
            volume_id=volume.id,
            size_mib=size_mib,
            host_id=draft.vm.host_id if is_plugged_in(draft) else None,
        ),
    )


def _do(draft: Draft) -> tuple[AnyCommand, ...]:
    return _resize(draft, _wanted_mib(draft))


def _done(draft: Draft) -> None:
    volume = disk_of(draft)
    if volume.state == "Resizing":
        draft.move(volume, "OperationSucceeded", size_mib=_wanted_mib(draft))


def _undo(draft: Draft) -> tuple[AnyCommand, ...]:
    volume = disk_of(draft)
    return _resize(draft, _former_mib(draft)) if volume.state == "Resizing" else ()


def _former_mib(draft: Draft) -> int:
    return int(draft.operation.kept["size_mib"])


def _undone(draft: Draft) -> None:
    volume = disk_of(draft)
    if volume.state == "Resizing":
        draft.move(volume, "OperationFailed", size_mib=_former_mib(draft))


RESIZE_DISK = Program(
    "resize-disk",
    accepts=("Allocated", "Stopped", "Running"),
    steps=(
        Step(
            "resize",
            Act(announce=_announce, effects=_do, settle=_done),
            undo=Act(effects=_undo, settle=_undone),
        ),
    ),
    admit=_admit,
)
