"""What size a disk may have instead of its own. One function a rule.

Asked by admission and again by the step that resizes. Never looks at room or limits: those belong to the moment that
takes them.
"""

from __future__ import annotations

from interlock.engine.core.admission.disks import (
    custom_size_must_be_within,
    root_must_hold_template,
    volume_must_not_be_too_large,
)
from interlock.engine.core.draft import Draft
from interlock.schema.cloud import DiskOffering, Offering, Template, Zone
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import Volume


def new_size_allowed(draft: Draft, volume: Volume, size_mib: int, *, shrink: bool) -> None:
    """The disk may have this size instead of its own.

    Raises:
        InvalidRequest: a rule refuses.
    """
    must_differ(volume, size_mib)
    must_be_meant(volume, size_mib, shrink=shrink)
    if volume.kind == "ROOT":
        root_size_must_be_open(draft, volume)
        if (template := draft.cloud.find(Template, volume.template_id or "")) is not None:
            root_must_hold_template(size_mib, template)
    if (offering := draft.cloud.find(DiskOffering, volume.offering_id or "")) is not None:
        offering_must_leave_size_open(volume, offering)
        custom_size_must_be_within(draft.cloud, offering, size_mib)
    if (zone := draft.cloud.find(Zone, volume.zone_id)) is not None:
        volume_must_not_be_too_large(draft.cloud, size_mib, zone, f"disk {volume.name}")


def must_differ(volume: Volume, size_mib: int) -> None:
    """It is another size."""
    if size_mib == volume.size_mib:
        raise InvalidRequest(f"disk {volume.name} has {size_mib} MiB already; say another size")


def must_be_meant(volume: Volume, size_mib: int, *, shrink: bool) -> None:
    """Who makes a disk less says that data may be lost."""
    if size_mib < volume.size_mib and not shrink:
        raise InvalidRequest(
            f"disk {volume.name} has {volume.size_mib} MiB: with {size_mib} data would be lost; "
            "if that is meant, say that it is to shrink"
        )


def root_size_must_be_open(draft: Draft, volume: Volume) -> None:
    """The VM's offering lets its root disk have another size."""
    offering = draft.cloud.find(Offering, draft.vm.offering_id)
    if offering is not None and offering.root_strict:
        raise InvalidRequest(
            f"disk {volume.name} is the root disk of VM {draft.vm.name}, whose offering {offering.id} is strict about "
            "its size; scale the VM to another offering first"
        )


def offering_must_leave_size_open(volume: Volume, offering: DiskOffering) -> None:
    """The disk's offering does not fix its size."""
    if offering.size_mib is not None:
        raise InvalidRequest(
            f"disk {volume.name} has disk offering {offering.id}, which fixes its size at {offering.size_mib} MiB; "
            "make another disk, with an offering that leaves it open"
        )
