"""Offerings, disk offerings and templates: from tables to records."""

from __future__ import annotations

from interlock.embed.description.tables import (
    CoresBetween,
    DiskOfferingTable,
    MegahertzBetween,
    MemoryBetween,
    OfferingTable,
    TemplateTable,
)
from interlock.schema.cloud import DiskOffering, Offering, Template
from interlock.schema.errors import InvalidRequest

IMPLICIT = "implicit-dedication"
"""The planner that has modes."""


def offering(table: OfferingTable) -> Offering:
    """A size of VM.

    Raises:
        InvalidRequest: bounds out of order, or a mode for a planner that has none.
    """
    if table.planner_mode and table.planner != IMPLICIT:
        raise InvalidRequest(
            f'offering {table.name}: only `planner = "{IMPLICIT}"` has a `planner_mode`, not {table.planner or "none"}'
        )
    return Offering(
        id=table.name,
        cpu_cores=_fixed(table.cpu_cores),
        cpu_mhz=_fixed(table.cpu_mhz),
        memory_mib=_fixed(table.memory_mib),
        **_bounds(table),
        storage=table.storage,
        planner=table.planner,
        planner_mode=table.planner_mode,
        host_tags=table.host_tags,
        storage_tags=table.storage_tags,
        root_mib=table.root_mib,
        root_strict=table.root_strict,
        domain_ids=table.domains,
        is_system=table.system,
        enabled=table.enabled,
    )


Between = CoresBetween | MegahertzBetween | MemoryBetween


def _fixed(size: int | Between) -> int | None:
    return size if isinstance(size, int) else None


def _bounds(table: OfferingTable) -> dict[str, int]:
    bounds: dict[str, int] = {}
    for key, size, least, most in (
        ("cpu_cores", table.cpu_cores, "cores_least", "cores_most"),
        ("cpu_mhz", table.cpu_mhz, "mhz_least", "mhz_most"),
        ("memory_mib", table.memory_mib, "memory_least_mib", "memory_most_mib"),
    ):
        if isinstance(size, int):
            continue
        if size.least > size.most:
            raise InvalidRequest(f"offering {table.name}: {key} is {size.least} at least, so not {size.most} at most")
        bounds |= {least: size.least, most: size.most}
    return bounds


def disk_offering(table: DiskOfferingTable) -> DiskOffering:
    """A size of disk."""
    return DiskOffering(
        id=table.name,
        size_mib=table.size_mib,
        storage=table.storage,
        storage_tags=table.storage_tags,
        domain_ids=table.domains,
        enabled=table.enabled,
    )


def template(table: TemplateTable) -> Template:
    """A template or an ISO.

    Raises:
        InvalidRequest: keys that exclude each other.
    """
    if table.kind == "iso" and table.hypervisor is not None:
        raise InvalidRequest(
            f"template {table.name}: an iso boots on any hypervisor; the request names it, not the iso"
        )
    if table.shared_with and table.public:
        raise InvalidRequest(f"template {table.name} is everybody's; `shared_with` needs `public = false`")
    if table.system and (table.account or table.shared_with):
        raise InvalidRequest(f"template {table.name} is a system one: it has no `account` and no `shared_with`")
    return Template(
        id=table.name,
        size_mib=table.size_mib,
        kind=table.kind,
        bootable=table.bootable,
        hypervisor=table.hypervisor,
        zone_ids=table.zones,
        account_id=table.account,
        is_public=table.public,
        shared_with=table.shared_with,
        is_system=table.system,
        host_tags=table.host_tags,
        details=table.details,
        enabled=table.enabled,
    )
