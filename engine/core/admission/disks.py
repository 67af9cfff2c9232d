"""What a disk may be: its offering, its size and where it may lie. One function a rule.

Asked when a disk is made and when one is resized. Each rule raises `InvalidRequest` that names what is wrong and what
to do instead. Never looks at room or limits: those belong to the moment that takes them.
"""

from __future__ import annotations

from interlock.engine.core.access import in_domains
from interlock.engine.core.admission.named import existing
from interlock.engine.core.draft import Draft
from interlock.schema.cloud import Account, DiskOffering, Offering, Template, Zone
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import Vm, Volume
from interlock.schema.settings import DISK_LEAST, DISK_MOST, VOLUME_MOST, SettingScope


def usable_account(draft: Draft, account_id: str) -> Account:
    """The account exists and is enabled."""
    account = existing(draft, Account, account_id)
    if not account.enabled:
        raise InvalidRequest(f"account {account.id} is disabled; an administrator can enable it")
    return account


def usable_zone(draft: Draft, zone_id: str) -> Zone:
    """The zone exists and is enabled."""
    zone = existing(draft, Zone, zone_id)
    if not zone.enabled:
        raise InvalidRequest(f"zone {zone.id} is disabled; choose another")
    return zone


def usable_offering(draft: Draft, offering_id: str, account: Account) -> DiskOffering:
    """The disk offering exists, is enabled, and is for the account's domain."""
    offering = existing(draft, DiskOffering, offering_id, "disk offering")
    if not offering.enabled:
        raise InvalidRequest(f"disk offering {offering.id} is disabled; choose another")
    if not in_domains(draft.cloud, offering.domain_ids, account.id):
        only = ", ".join(offering.domain_ids)
        raise InvalidRequest(f"disk offering {offering.id} is for {only} only, not for account {account.id}")
    return offering


def storage_allowed(offering: DiskOffering, zone: Zone) -> None:
    """Local storage is allowed in the zone, if the offering wants it."""
    if offering.storage == "local" and not zone.local_storage:
        raise InvalidRequest(
            f"disk offering {offering.id} wants local storage, which zone {zone.id} does not allow; choose another"
        )


def size_of(draft: Draft, offering: DiskOffering, wished_mib: int | None, zone_id: str) -> int:
    """The size in MiB: the offering's, or where that leaves it open, the one that is asked for, within its bounds."""
    if offering.size_mib is not None and wished_mib is not None:
        raise InvalidRequest(
            f"disk offering {offering.id} says the size, {offering.size_mib} MiB; leave it out, or choose another"
        )
    size = wished_mib if offering.size_mib is None else offering.size_mib
    if size is None:
        raise InvalidRequest(f"disk offering {offering.id} leaves the size open; say one, in MiB")
    if offering.size_mib is None:
        open_size_allowed(draft, size)
    volume_size_allowed(draft, size, zone_id)
    return size


def open_size_allowed(draft: Draft, size_mib: int) -> None:
    """A size that the offering leaves open is within the settings' bounds."""
    least, most = draft.cloud.setting(DISK_LEAST), draft.cloud.setting(DISK_MOST)
    if not least <= size_mib <= most:
        raise InvalidRequest(
            f"a disk of {size_mib} MiB is out of bounds: {least} to {most} MiB "
            f"(settings {DISK_LEAST.name}, {DISK_MOST.name})"
        )


def volume_size_allowed(draft: Draft, size_mib: int, zone_id: str) -> None:
    """No volume is greater than the setting says."""
    most = draft.cloud.setting(VOLUME_MOST, (SettingScope.ZONE, zone_id))
    if size_mib > most:
        raise InvalidRequest(f"a disk has {most} MiB at most, not {size_mib} (setting {VOLUME_MOST.name})")


def new_size_allowed(draft: Draft, volume: Volume, size_mib: int, *, shrink: bool) -> None:
    """The disk may have this size instead of its own."""
    if size_mib == volume.size_mib:
        raise InvalidRequest(f"disk {volume.name} has {size_mib} MiB already; say another size")
    if size_mib < volume.size_mib and not shrink:
        raise InvalidRequest(
            f"disk {volume.name} has {volume.size_mib} MiB: with {size_mib} data would be lost; "
            "if that is meant, say that it is to shrink"
        )
    if volume.kind == "ROOT":
        _root_size_open(draft, volume, size_mib)
    if volume.offering_id is not None:
        _offering_size_open(draft, volume, size_mib)
    volume_size_allowed(draft, size_mib, volume.zone_id)


def _root_size_open(draft: Draft, volume: Volume, size_mib: int) -> None:
    """The VM's offering lets its root disk have another size, and its template fits into it."""
    vm: Vm = draft.vm
    offering = draft.cloud.find(Offering, vm.offering_id)
    if offering is not None and offering.root_strict:
        raise InvalidRequest(
            f"disk {volume.name} is the root disk of VM {vm.name}, whose offering {offering.id} fixes its size"
        )
    template = draft.cloud.find(Template, volume.template_id or "")
    if template is not None and template.kind == "disk" and size_mib < template.size_mib:
        raise InvalidRequest(
            f"disk {volume.name} was made from template {template.id}, which needs {template.size_mib} MiB, "
            f"not {size_mib}"
        )


def _offering_size_open(draft: Draft, volume: Volume, size_mib: int) -> None:
    """The disk's offering leaves its size open."""
    offering = draft.cloud.find(DiskOffering, volume.offering_id or "")
    if offering is None:
        return
    if offering.size_mib is not None:
        raise InvalidRequest(
            f"disk {volume.name} has disk offering {offering.id}, which fixes its size at {offering.size_mib} MiB; "
            "make another disk, with an offering that leaves it open"
        )
    open_size_allowed(draft, size_mib)
