"""prepare: make NICs and volumes ready where `place` said. Both at once: they do not need each other.

Forward: NICs Allocated → Reserving → Reserved; volumes that do not exist yet Allocated → Creating → Ready, and are
noted in the operation's `made`. Undo: NICs back to Allocated (they keep their addresses); the volumes in `made` are
deleted and give their space back, others are left alone. An effect that may have happened is undone like one that did.
"""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Step
from interlock.engine.core.steps.specs import (
    delete_volumes,
    pool_driver,
    prepare_nics,
    release_nics,
    volume_spec,
)
from interlock.schema.commands import AnyCommand, CreateVolume
from interlock.schema.errors import InterlockViolated


def _announce(draft: Draft) -> None:
    if draft.plan is None:
        raise InterlockViolated(f"vm {draft.vm.id} is prepared without having been placed")
    for nic in draft.nics:
        if nic.state == "Allocated":
            draft.move(nic, "ReservationRequested")
    missing = [volume for volume in draft.volumes if volume.state == "Allocated"]
    for volume in missing:
        draft.move(volume, "CreateRequested", pool_id=draft.plan.pools[volume.id])
    draft.noted["made"] = tuple(volume.id for volume in missing)


def _effects(draft: Draft) -> tuple[AnyCommand, ...]:
    volumes = tuple(
        CreateVolume(
            driver=pool_driver(draft, volume.pool_id),
            at=volume.pool_id,
            vm_id=draft.vm.id,
            subject=f"volume {volume.id}",
            volume=volume_spec(volume),
        )
        for volume in draft.volumes
        if volume.state == "Creating" and volume.pool_id
    )
    return (*prepare_nics(draft, "Reserving"), *volumes)


def _settle(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state == "Reserving":
            draft.move(nic, "OperationCompleted")
    for volume in draft.volumes:
        if volume.state == "Creating":
            draft.move(volume, "OperationSucceeded")


def _announce_undo(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state in ("Reserving", "Reserved"):
            draft.move(nic, "ReleaseRequested")
    for volume in draft.volumes:
        if volume.state == "Creating" or (volume.state == "Ready" and volume.id in draft.operation.made):
            draft.move(volume, "ReclaimRequested")


def _undo_effects(draft: Draft) -> tuple[AnyCommand, ...]:
    return (*release_nics(draft), *delete_volumes(draft, "Reclaiming"))


def _undone(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state == "Releasing":
            draft.move(nic, "OperationCompleted")
    for volume in draft.volumes:
        if volume.state == "Reclaiming":
            draft.move(volume, "OperationSucceeded", pool_id=None)
    draft.noted["made"] = ()


PREPARE = Step(
    "prepare",
    Act(announce=_announce, effects=_effects, settle=_settle),
    undo=Act(announce=_announce_undo, effects=_undo_effects, settle=_undone),
)
