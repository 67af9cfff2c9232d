"""What a deploy names, looked up and checked against the cloud: one function a rule.

Each rule raises `InvalidRequest` that names what is wrong and what there is instead.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from interlock.engine.core.draft import Draft
from interlock.schema.cloud import Account, Network, Offering, Place, SecurityGroup, Template, Zone
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.requests import DeployVM, NicRequest
from interlock.schema.settings import INSTANCE_SUFFIX, PLANNER

P = TypeVar("P", bound=Place)

LISTED = 10
"""How many existing names a message shows. Too few: no help; too many: the reason is lost among them."""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that a deploy makes; the first is the root disk."""

    size_mib: int
    offering_id: str | None
    template_id: str | None
    storage: str
    storage_tags: tuple[str, ...]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
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
        InvalidRequest: something does not exist, is disabled, or is not for this account or zone.
    """
    account = _existing(draft, Account, request.account)
    zone = _zone(request, draft)
    offering = _existing(draft, Offering, request.offering)
    template = _template(request, draft)
    name = request.name or f"{draft.cloud.setting(INSTANCE_SUFFIX)}-{vm_id}"
    root = Disk(
        size_mib=template.size_mib,
        offering_id=None,
        template_id=template.id,
        storage=offering.storage,
        storage_tags=offering.storage_tags,
    )
    data = (
        Disk(size_mib=each, offering_id=None, template_id=None, storage=offering.storage, storage_tags=())
        for each in request.data_disks_mib
    )
    return Wanted(
        account=account,
        zone=zone,
        offering=offering,
        template=template,
        hypervisor=template.hypervisor,
        name=name,
        name_scope=account.id,
        name_in_networks=False,
        display_name=request.display_name,
        instance_name=f"i-{account.id}-{vm_id}-{draft.cloud.setting(INSTANCE_SUFFIX)}",
        cpu_cores=offering.cpu_cores or 0,
        core_mhz=offering.cpu_mhz or 0,
        memory_mib=offering.memory_mib or 0,
        cpu_overcommit=None,
        memory_overcommit=None,
        planner=_planner(request, offering, draft),
        nics=_nics(request, account, zone, draft),
        default_nic=0,
        disks=(root, *data),
        affinity_groups=(),
        security_groups=request.security_groups,
        new_groups=(),
        user_data=None,
        ssh_keys=(),
        details={},
        tags={},
    )


def _existing(draft: Draft, kind: type[P], place_id: str) -> P:
    """It exists."""
    place = draft.cloud.find(kind, place_id)
    if place is None:
        known = draft.cloud.ids(kind)
        listed = ", ".join(known[:LISTED]) + (", …" if len(known) > LISTED else "")
        raise NotFound(f"there is no {kind.__name__.lower()} {place_id!r}; there are: {listed or 'none'}")
    return place


def _zone(request: DeployVM, draft: Draft) -> Zone:
    """The zone is given, or that of the first network given, and enabled; else deploys spread over the enabled ones."""
    zone_id = request.zone
    if zone_id is None and request.nics:
        zone_id = _existing(draft, Network, request.nics[0].network).zone_id
    if zone_id is None:
        return _any_zone(draft)
    zone = _existing(draft, Zone, zone_id)
    if not zone.enabled:
        raise InvalidRequest(f"zone {zone.id} is disabled; choose another")
    return zone


def _any_zone(draft: Draft) -> Zone:
    known = (_existing(draft, Zone, zone_id) for zone_id in draft.cloud.ids(Zone))
    zones = [zone for zone in known if zone.enabled]
    if not zones:
        raise InvalidRequest("there is no enabled zone; load a cloud with `interlock init CLOUD.toml`")
    # By the operation's own id, not by free room: a burst of requests is admitted before any of it takes room.
    digest = hashlib.blake2b(draft.operation_id.encode(), digest_size=4).digest()
    return zones[int.from_bytes(digest, "big") % len(zones)]


def _template(request: DeployVM, draft: Draft) -> Template:
    """The template is enabled."""
    template = _existing(draft, Template, request.template)
    if not template.enabled:
        raise InvalidRequest(f"template {template.id} is disabled; choose another")
    return template


def _planner(request: DeployVM, offering: Offering, draft: Draft) -> str:
    """The planner is the request's, else the offering's, else the policy's; and is installed."""
    planner = request.planner or offering.planner or draft.cloud.setting(PLANNER)
    if planner not in draft.rules.planners:
        raise NotFound(f"there is no planner {planner!r}; there are: {', '.join(sorted(draft.rules.planners))}")
    return planner


def _nics(request: DeployVM, account: Account, zone: Zone, draft: Draft) -> tuple[tuple[Network, NicRequest], ...]:
    """The networks are given, each once, or the zone's default one is taken."""
    if not request.nics:
        network = _default_network(draft, zone.id, account.id)
        if network is None:
            raise InvalidRequest(f"zone {zone.id} has no default network for account {account.id}: name one")
        return ((network, NicRequest(network.id)),)
    named = [nic.network for nic in request.nics]
    if len(set(named)) != len(named):
        raise InvalidRequest(f"each network may be named once, not {', '.join(named)}")
    return tuple((_network(draft, nic.network, account, zone), nic) for nic in request.nics)


def _network(draft: Draft, network_id: str, account: Account, zone: Zone) -> Network:
    """The network is in the zone, enabled, and the account's own or everybody's."""
    network = _existing(draft, Network, network_id)
    if network.zone_id != zone.id:
        raise InvalidRequest(f"network {network.id} is in zone {network.zone_id}, not {zone.id}")
    if not network.enabled:
        raise InvalidRequest(f"network {network.id} is disabled; choose another")
    if network.account_id not in (None, account.id):
        raise InvalidRequest(f"network {network.id} belongs to account {network.account_id}, not {account.id}")
    return network


def _default_network(draft: Draft, zone_id: str, account_id: str) -> Network | None:
    """The account's own default comes before everybody's."""
    fitting = [
        network
        for network in draft.cloud.all(Network)
        if network.zone_id == zone_id
        and network.is_default
        and network.enabled
        and network.account_id in (None, account_id)
    ]
    return min(fitting, key=lambda network: (network.account_id is None, network.id), default=None)
