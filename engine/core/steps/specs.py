"""Records as drivers need them: the specs and commands that several steps send."""

from __future__ import annotations

from typing import TypedDict

from interlock.engine.core.draft import Draft
from interlock.schema.cloud import Host, StoragePool, Template
from interlock.schema.commands import (
    Capability,
    CreateVolume,
    DeleteVolume,
    NicSpec,
    PrepareNic,
    ReleaseNic,
    RuleSpec,
    StartDomain,
    StopDomain,
    VolumeSpec,
)
from interlock.schema.errors import InterlockViolated
from interlock.schema.records import MACHINE_OF, Nic, Volume


def host_of(draft: Draft) -> Host:
    """The host the VM holds capacity on."""
    host = draft.cloud.find(Host, draft.vm.host_id or "")
    if host is None:
        raise InterlockViolated(f"vm {draft.vm.id} is on host {draft.vm.host_id}, which is not in the cloud any more")
    return host


def target_of(draft: Draft) -> Host:
    """The host the VM migrates to."""
    host = draft.cloud.find(Host, draft.vm.target_host_id or "")
    if host is None:
        raise InterlockViolated(
            f"vm {draft.vm.id} migrates to host {draft.vm.target_host_id}, which is not in the cloud any more"
        )
    return host


def pool_driver(draft: Draft, pool_id: str) -> str:
    """The driver that acts on a pool."""
    pool = draft.cloud.find(StoragePool, pool_id)
    if pool is None:
        raise InterlockViolated(f"pool {pool_id} holds volumes and is not in the cloud any more")
    return pool.driver


class Addressed(TypedDict):
    """Where a command goes, and what it is about: the fields that every command has."""

    driver: str
    at: str
    vm_id: str
    subject: str


def to_guest(draft: Draft, host: Host) -> Addressed:
    """To a host, about the VM's guest."""
    return Addressed(driver=host.driver, at=host.id, vm_id=draft.vm.id, subject=f"vm {draft.vm.id}")


def to_host(draft: Draft, host: Host, part: Nic | Volume) -> Addressed:
    """To a host, about a NIC or a disk of the VM."""
    return Addressed(driver=host.driver, at=host.id, vm_id=draft.vm.id, subject=f"{MACHINE_OF[type(part)]} {part.id}")


def to_pool(draft: Draft, volume: Volume, pool_id: str) -> Addressed:
    """To a volume's pool; a disk that belongs to no VM is about itself only."""
    return Addressed(
        driver=pool_driver(draft, pool_id), at=pool_id, vm_id=volume.vm_id or "", subject=f"volume {volume.id}"
    )


def is_able(draft: Draft, driver: str, capability: Capability) -> bool:
    """Whether a driver that is open can do something."""
    return capability in draft.rules.capabilities.get(driver, frozenset())


def unable_host(draft: Draft, capability: Capability) -> Host | None:
    """The VM's host, if its driver is known not to be able to do something; one that is not open may be."""
    host = draft.cloud.find(Host, draft.vm.host_id or "")
    if host is None or host.driver not in draft.rules.capabilities or is_able(draft, host.driver, capability):
        return None
    return host


def nic_spec(nic: Nic) -> NicSpec:
    """A NIC for the hypervisor."""
    return NicSpec(
        id=nic.id,
        network_id=nic.network_id,
        device=nic.device,
        is_default=nic.is_default,
        ip_address=nic.ip_address or "",
        ip6_address=nic.ip6_address,
        mac_address=nic.mac_address or "",
        gateway=nic.gateway or "",
        netmask=nic.netmask or "",
    )


def volume_spec(volume: Volume) -> VolumeSpec:
    """A volume for the hypervisor."""
    return VolumeSpec(
        id=volume.id,
        pool_id=volume.pool_id or "",
        device=volume.device or 0,
        size_mib=volume.size_mib,
        template_id=volume.template_id,
        clone=volume.clone,
    )


def create_volumes(draft: Draft, state: str = "Creating") -> tuple[CreateVolume, ...]:
    """Create the volumes that are in `state`, where they hold space."""
    return tuple(
        CreateVolume(
            **to_pool(draft, volume, volume.pool_id),
            volume=volume_spec(volume),
        )
        for volume in draft.volumes
        if volume.state == state and volume.pool_id
    )


def prepare_nics(draft: Draft, state: str, host: Host | None = None) -> tuple[PrepareNic, ...]:
    """Make the NICs that are in `state` ready on a host; without one, on the VM's."""
    host = host or host_of(draft)
    return tuple(PrepareNic(**to_host(draft, host, nic), nic=nic_spec(nic)) for nic in draft.nics if nic.state == state)


def release_nics(draft: Draft, state: str = "Releasing", host: Host | None = None) -> tuple[ReleaseNic, ...]:
    """Undo the preparation of the NICs that are in `state` on a host; without one, on the VM's."""
    host = host or host_of(draft)
    return tuple(ReleaseNic(**to_host(draft, host, nic), nic_id=nic.id) for nic in draft.nics if nic.state == state)


def delete_volumes(draft: Draft, state: str) -> tuple[DeleteVolume, ...]:
    """Delete the volumes that are in `state` and hold space."""
    return tuple(
        DeleteVolume(
            **to_pool(draft, volume, volume.pool_id),
            volume_id=volume.id,
        )
        for volume in draft.volumes
        if volume.state == state and volume.pool_id
    )


def start_domain(draft: Draft) -> tuple[StartDomain, ...]:
    """Run the VM on its host."""
    host, vm = host_of(draft), draft.vm
    return (
        StartDomain(
            **to_guest(draft, host),
            name=vm.name,
            instance_name=vm.instance_name,
            cpu_cores=vm.cpu_cores,
            cpu_mhz=vm.cpu_mhz,
            memory_mib=vm.memory_mib,
            cpu_held_mhz=vm.cpu_held_mhz,
            memory_held_mib=vm.memory_held_mib,
            nics=tuple(nic_spec(nic) for nic in draft.nics if nic.ip_address),
            volumes=tuple(volume_spec(volume) for volume in draft.volumes if volume.state == "Ready"),
            iso=_iso(draft),
            rules=rules_of(draft),
            user_data=vm.user_data,
            ssh_keys=vm.ssh_keys,
            details=vm.details,
        ),
    )


def _iso(draft: Draft) -> str | None:
    """The ISO it boots from, if its root disk was not made from a template."""
    template = draft.cloud.find(Template, draft.vm.template_id)
    return template.id if template is not None and template.kind == "iso" else None


def rules_of(draft: Draft, version: int = 0) -> tuple[RuleSpec, ...] | None:
    """The rules of the VM's security groups, as they are now; None: it is in no group.

    Never older than what its host was told, nor than `version`: a worker may have taken over from one that knew more.
    """
    if not draft.vm.security_groups:
        return None
    groups = draft.cloud.groups(draft.vm.security_groups, max(version, draft.vm.rules_told))
    return tuple(RuleSpec(group=each.id, ingress=each.ingress, egress=each.egress) for each in groups)


def version_of_rules(draft: Draft) -> int:
    """The highest version of the VM's security groups, as they are now; 0 if it is in none."""
    if not draft.vm.security_groups:
        return 0
    return max((group.version for group in draft.cloud.groups(draft.vm.security_groups, 0)), default=0)


def stop_domain(draft: Draft, *, forced: bool) -> tuple[StopDomain, ...]:
    """Make sure that the VM does not run on its host."""
    return (StopDomain(**to_guest(draft, host_of(draft)), forced=forced),)
