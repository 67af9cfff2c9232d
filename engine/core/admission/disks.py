"""Disks: which a deploy makes, how large, and on what storage.

The root disk has the size of its template, unless the compute offering, the request or a disk offering for it says
another. Promises: every disk has a size within the settings' bounds, and a pool in the zone that may hold it; whether
there is room is the planner's to say. `CreateDisk` and `ResizeDisk` meet the same rules.
"""

from __future__ import annotations

import msgspec

from interlock.engine.core.admission.lookup import existing, listed, must_be_enabled
from interlock.engine.core.admission.owner import must_be_for_domain
from interlock.engine.core.admission.sources import ISO
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, DiskOffering, Offering, StoragePool, Template, Zone
from interlock.schema.errors import InvalidRequest
from interlock.schema.requests import DeployVM
from interlock.schema.settings import DISK_LEAST, DISK_MOST, VOLUME_MOST, SettingScope

LOCAL = "local"
"""The kind of storage that lies on hosts."""
SCOPES = {LOCAL: ("host",), "shared": ("cluster", "zone")}
"""Which pools hold each kind of storage."""


class Disk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A volume that is to be made; the first of a VM is the root disk."""

    size_mib: int
    offering_id: str | None
    template_id: str | None
    storage: str
    storage_tags: tuple[str, ...]


def disks_of(
    cloud: Cloud, request: DeployVM, account: Account, zone: Zone, offering: Offering, template: Template
) -> tuple[Disk, ...]:
    """The root disk, then the data disks; each may be and has a pool."""
    root = root_disk(cloud, request, account, offering, template)
    blank = (
        Disk(size_mib=size, offering_id=None, template_id=None, storage=root.storage, storage_tags=root.storage_tags)
        for size in request.data_disks_mib
    )
    data = (data_disk(cloud, wish.offering, wish.size_mib, account) for wish in request.data_disks)
    disks = (root, *blank, *data)
    for device, disk in enumerate(disks):
        disk_must_fit(cloud, disk, zone, f"data disk {device}" if device else "the root disk")
    return disks


def disk_must_fit(cloud: Cloud, disk: Disk, zone: Zone, what: str) -> None:
    """The zone takes a disk of this size and storage; `what` it is, for a message."""
    volume_must_not_be_too_large(cloud, disk.size_mib, zone, what)
    zone_must_allow_storage(disk, zone, what)
    zone_must_have_pool(cloud, disk, zone, what)


# Which size


def root_disk(cloud: Cloud, request: DeployVM, account: Account, offering: Offering, template: Template) -> Disk:
    """The root disk: a copy of the template, or a blank one for an ISO."""
    root_must_be_open(request, offering, template)
    if request.root_offering is not None:
        disk = data_disk(cloud, request.root_offering, request.root_mib, account)
    else:
        disk = Disk(
            size_mib=_root_mib(request, offering, template),
            offering_id=None,
            template_id=None,
            storage=offering.storage,
            storage_tags=offering.storage_tags,
        )
    if template.kind == ISO:
        return disk
    root_must_hold_template(disk.size_mib, template)
    return msgspec.structs.replace(disk, template_id=template.id)


def _root_mib(request: DeployVM, offering: Offering, template: Template) -> int:
    if template.kind == ISO:
        iso_must_have_root_size(offering, template)
    return request.root_mib or offering.root_mib or template.size_mib


def root_must_be_open(request: DeployVM, offering: Offering, template: Template) -> None:
    """Where the offering is strict, the request does not choose another root disk.

    With an ISO there is none to replace, unless the offering gives it a size.
    """
    asked = request.root_offering is not None or request.root_mib is not None
    if asked and offering.root_strict and (template.kind != ISO or offering.root_mib is not None):
        raise InvalidRequest(
            f"offering {offering.id} is strict about the root disk; leave root_offering and root_mib out, "
            "or choose another offering"
        )


def iso_must_have_root_size(offering: Offering, template: Template) -> None:
    """A VM that boots an ISO is told how large its blank root disk is: by a disk offering, or its own offering."""
    if offering.root_mib is None:
        raise InvalidRequest(
            f"template {template.id} is an ISO, and offering {offering.id} has no root_mib: "
            "name a root_offering for the blank root disk"
        )


def root_must_hold_template(size_mib: int, template: Template) -> None:
    """The root disk is no smaller than what is copied to it."""
    if size_mib < template.size_mib:
        raise InvalidRequest(
            f"template {template.id} needs {template.size_mib} MiB, and the root disk would have {size_mib}; "
            "ask for more, or choose another offering"
        )


def data_disk(cloud: Cloud, offering_id: str, asked_mib: int | None, account: Account) -> Disk:
    """A blank disk of a disk offering."""
    offering = disk_offering_of(cloud, offering_id, account)
    return Disk(
        size_mib=disk_size(cloud, offering, asked_mib),
        offering_id=offering.id,
        template_id=None,
        storage=offering.storage,
        storage_tags=offering.storage_tags,
    )


def disk_offering_of(cloud: Cloud, offering_id: str, account: Account) -> DiskOffering:
    """The disk offering exists, is enabled, and the owner's to use."""
    offering = existing(cloud, DiskOffering, offering_id)
    must_be_enabled(offering)
    must_be_for_domain(cloud, offering, account)
    return offering


def disk_size(cloud: Cloud, offering: DiskOffering, asked_mib: int | None) -> int:
    """The size is the disk offering's, or the request's within the settings' bounds; never both."""
    if offering.size_mib is not None:
        if asked_mib is not None:
            raise InvalidRequest(
                f"disk offering {offering.id} fixes the size at {offering.size_mib} MiB; leave the size out, "
                "or choose a disk offering that leaves it open"
            )
        return offering.size_mib
    return custom_size_must_be_within(cloud, offering, asked_mib)


def custom_size_must_be_within(cloud: Cloud, offering: DiskOffering, asked_mib: int | None) -> int:
    """A size that a disk offering leaves open is said, within the settings' bounds."""
    least, most = cloud.setting(DISK_LEAST), cloud.setting(DISK_MOST)
    bounds = f"disk offering {offering.id} takes a size from {least} to {most} MiB"
    if asked_mib is None:
        raise InvalidRequest(f"{bounds}: say which")
    if not least <= asked_mib <= most:
        settings = f"{DISK_LEAST.name} and {DISK_MOST.name}"
        raise InvalidRequest(f"{bounds}, not {asked_mib}: choose one of these, or have {settings} changed")
    return asked_mib


# Where it may lie


def volume_must_not_be_too_large(cloud: Cloud, size_mib: int, zone: Zone, what: str) -> None:
    """No volume is larger than the setting allows in the zone."""
    most = cloud.setting(VOLUME_MOST, (SettingScope.ZONE, zone.id))
    if size_mib > most:
        raise InvalidRequest(
            f"{what} would have {size_mib} MiB, and volumes in zone {zone.id} have {most} at most; ask for less, "
            f"or have {VOLUME_MOST.name} raised"
        )


def zone_must_allow_storage(disk: Disk, zone: Zone, what: str) -> None:
    """Disks lie on hosts only in zones with local storage."""
    if disk.storage == LOCAL and not zone.local_storage:
        by = f" by disk offering {disk.offering_id}" if disk.offering_id else ""
        raise InvalidRequest(
            f"{what} would be on local storage{by}, which zone {zone.id} has not; choose another offering or zone"
        )


def zone_must_have_pool(cloud: Cloud, disk: Disk, zone: Zone, what: str) -> None:
    """Some enabled pool of the zone is of the disk's kind of storage and has its tags."""
    scopes, tags = SCOPES.get(disk.storage, ()), set(disk.storage_tags)
    if any(pool.enabled and pool.scope in scopes and tags.issubset(pool.tags) for pool in cloud.pools(zone.id)):
        return
    wanted = f"{disk.storage} storage" + (f" with tags {', '.join(disk.storage_tags)}" if tags else "")
    raise InvalidRequest(
        f"no enabled pool of zone {zone.id} can hold {what}: it wants {wanted}, and there are: "
        f"{listed(map(_described, cloud.pools(zone.id)))}; choose another offering or zone"
    )


def _described(pool: StoragePool) -> str:
    tags = f" with tags {' '.join(pool.tags)}" if pool.tags else ""
    return f"{pool.id} ({pool.scope}{tags}{'' if pool.enabled else ', disabled'})"
