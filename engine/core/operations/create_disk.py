"""create-disk: make a data disk that belongs to no VM.

Legal flow: allocate, done by the request itself, in its transaction: the record is there, and counts against its
account's limits, before the caller has an answer. No effect: the disk takes space in a pool when a VM that it was
given to runs. Owns the whole record of the disk. Unwinding (a cancel before a worker came to it) leaves it Expunged.
Races: two requests for the last disk of a limit are told apart by the guards; names need not be distinct.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core import limits
from interlock.engine.core.admission.disks import data_disk, disk_must_fit
from interlock.engine.core.admission.lookup import existing
from interlock.engine.core.admission.owner import owner_of
from interlock.engine.core.admission.zones import zone_must_be_for, zone_must_be_open
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.expire import bury_volumes, doom_volumes
from interlock.schema.cloud import Zone
from interlock.schema.errors import OverLimit
from interlock.schema.records import Volume
from interlock.schema.requests import CreateDisk


def _admit(draft: Draft, request: CreateDisk, caller_id: str | None, ids: Iterator[str]) -> None:
    cloud = draft.cloud
    account, zone = owner_of(cloud, request.account, caller_id), existing(cloud, Zone, request.zone)
    zone_must_be_open(cloud, zone, caller_id)
    zone_must_be_for(cloud, zone, account)
    disk = data_disk(cloud, request.offering, request.size_mib, account)
    disk_must_fit(cloud, disk, zone, f"disk {request.name}")
    if reason := limits.exceeded(cloud, account.id, {"volumes": 1, "storage": disk.size_mib}):
        raise OverLimit(reason)
    draft.create(
        Volume,
        id=next(ids),
        vm_id=None,
        account_id=account.id,
        charged_to=account.id,
        zone_id=zone.id,
        name=request.name,
        kind="DATA",
        device=None,
        size_mib=disk.size_mib,
        offering_id=disk.offering_id,
        template_id=None,
        storage=disk.storage,
        storage_tags=disk.storage_tags,
        clone=None,
        pool_id=None,
    )


def _forget(draft: Draft) -> None:
    doom_volumes(draft)
    bury_volumes(draft)


CREATE_DISK = Program(
    "create-disk",
    accepts=(),
    steps=(Step("allocate", Act(), undo=Act(settle=_forget)),),
    allocates=True,
    admit=_admit,
)
