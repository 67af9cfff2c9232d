"""What a deploy wants, put together: every rule asked, every default filled in.

The order is the one in which refusals help most: whose it is, where, what, and then the rest. Each subject has a file.
"""

from __future__ import annotations

import msgspec

from interlock.engine.core.admission.affinity import affinity_groups_of
from interlock.engine.core.admission.disks import Disk, disks_of
from interlock.engine.core.admission.guest import details_of, ssh_keys_of, user_data_of
from interlock.engine.core.admission.names import host_name_of, instance_name_of, name_scope_of
from interlock.engine.core.admission.networks import nics_of
from interlock.engine.core.admission.owner import owner_of
from interlock.engine.core.admission.placement import choice_must_lie_in, only_admins_may_choose, planner_of
from interlock.engine.core.admission.security import Where, security_groups_of
from interlock.engine.core.admission.sizes import offering_of, size_of
from interlock.engine.core.admission.sources import hypervisor_of, template_must_be_in, template_of
from interlock.engine.core.admission.zones import zone_of
from interlock.engine.core.draft import Draft
from interlock.schema.cloud import Account, Network, Offering, SecurityGroup, Template, Zone
from interlock.schema.requests import DeployVM, NicRequest


class Wanted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a deploy wants, with every rule asked and every default filled in."""

    account: Account
    zone: Zone
    offering: Offering
    template: Template
    hypervisor: str | None
    name: str
    name_scope: str
    name_in_networks: bool
    """Whether its NICs own the name in their networks."""
    display_name: str | None
    instance_name: str
    cpu_cores: int
    core_mhz: int
    memory_mib: int
    cpu_overcommit: float | None
    memory_overcommit: float | None
    planner: str
    nics: tuple[tuple[Network, NicRequest], ...]
    default_nic: int
    disks: tuple[Disk, ...]
    """The first is the root disk."""
    affinity_groups: tuple[str, ...]
    security_groups: tuple[str, ...]
    new_groups: tuple[SecurityGroup, ...]
    user_data: str | None
    ssh_keys: tuple[str, ...]
    details: dict[str, str]
    tags: dict[str, str]


def wanted(request: DeployVM, caller_id: str | None, draft: Draft, vm_id: str) -> Wanted:
    """All that the request names, checked.

    Raises:
        InvalidRequest: a rule refuses.
    """
    cloud = draft.cloud
    account = owner_of(cloud, request.account, caller_id)
    only_admins_may_choose(cloud, request, caller_id)
    template = template_of(cloud, request.template, account, caller_id)
    offering = offering_of(cloud, request.offering, account, caller_id)
    zone = zone_of(draft, request, account, template, caller_id)
    choice_must_lie_in(cloud, request, zone.id)
    template_must_be_in(template, zone)
    hypervisor = hypervisor_of(cloud, template, request.hypervisor, zone)
    size = size_of(offering, request)
    nics = nics_of(cloud, request, account, zone)
    network, _ = nics[request.default_nic]
    groups = security_groups_of(draft, request.security_groups, account, Where(zone, network, hypervisor))
    scope = name_scope_of(cloud, account, vm_id)
    return Wanted(
        account=account,
        zone=zone,
        offering=offering,
        template=template,
        hypervisor=hypervisor,
        name=host_name_of(cloud, request.name, vm_id, zone),
        name_scope=scope.key,
        name_in_networks=scope.in_networks,
        display_name=request.display_name,
        instance_name=instance_name_of(cloud, account, vm_id, zone),
        cpu_cores=size.cpu_cores,
        core_mhz=size.core_mhz,
        memory_mib=size.memory_mib,
        cpu_overcommit=request.cpu_overcommit,
        memory_overcommit=request.memory_overcommit,
        planner=planner_of(draft, request.planner, offering, zone),
        nics=nics,
        default_nic=request.default_nic,
        disks=disks_of(cloud, request, account, zone, offering, template),
        affinity_groups=affinity_groups_of(cloud, request.affinity_groups, account, zone),
        security_groups=groups.ids,
        new_groups=groups.new,
        user_data=user_data_of(cloud, request.user_data, network),
        ssh_keys=ssh_keys_of(cloud, request.ssh_keys, account, network),
        details=details_of(template, request.details),
        tags=request.tags,
    )
