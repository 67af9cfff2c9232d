"""Zones: where a VM shall be.

The zone is the one that is given, else that of the host, cluster, pod or first network that is named, else one of those
the owner may use, chosen by the operation's own id. Races: a zone that is disabled meanwhile is met again by the
planner, which looks at it for every placement.
"""

from __future__ import annotations

import hashlib

from interlock.engine.core.access import is_admin
from interlock.engine.core.admission.lookup import existing
from interlock.engine.core.draft import Draft
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Cluster, Host, Network, Pod, Template, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed
from interlock.schema.requests import DeployVM


def zone_of(draft: Draft, request: DeployVM, account: Account, template: Template, caller_id: str | None) -> Zone:
    """The zone exists, is open to the caller and not dedicated to others."""
    zone_id = request.zone or _implied(draft.cloud, request)
    if zone_id is None:
        return _any_zone(draft, account, template)
    zone = existing(draft.cloud, Zone, zone_id)
    zone_must_be_open(draft.cloud, zone, caller_id)
    zone_must_be_for(draft.cloud, zone, account)
    return zone


def zone_must_be_open(cloud: Cloud, zone: Zone, caller_id: str | None) -> None:
    """The zone is enabled, or the caller an administrator."""
    if not zone.enabled and not is_admin(cloud, caller_id):
        raise NotAllowed(f"zone {zone.id} is disabled, so it is for administrators only; choose another")


def zone_must_be_for(cloud: Cloud, zone: Zone, account: Account) -> None:
    """The zone is dedicated to nobody, to the owner, or to a domain the owner is in or below."""
    if not _is_for(cloud, zone, account):
        owner = (
            f"account {zone.dedicated_account_id}"
            if zone.dedicated_account_id is not None
            else f"domain {zone.dedicated_domain_id}"
        )
        raise NotAllowed(f"zone {zone.id} is dedicated to {owner}, not account {account.id}; choose another")


def _is_for(cloud: Cloud, zone: Zone, account: Account) -> bool:
    if zone.dedicated_account_id is not None:
        return zone.dedicated_account_id == account.id
    return zone.dedicated_domain_id is None or zone.dedicated_domain_id in cloud.domains_above(account.id)


def _implied(cloud: Cloud, request: DeployVM) -> str | None:
    """The zone of what is named in one."""
    if request.host is not None:
        return existing(cloud, Host, request.host).zone_id
    if request.cluster is not None:
        return existing(cloud, Cluster, request.cluster).zone_id
    if request.pod is not None:
        return existing(cloud, Pod, request.pod).zone_id
    return existing(cloud, Network, request.nics[0].network).zone_id if request.nics else None


def _any_zone(draft: Draft, account: Account, template: Template) -> Zone:
    """One of the zones that are enabled, not dedicated to others, and have the template."""
    zones = [
        zone
        for zone in draft.cloud.all(Zone)
        if zone.enabled
        and _is_for(draft.cloud, zone, account)
        and (not template.zone_ids or zone.id in template.zone_ids)
    ]
    if not zones:
        raise InvalidRequest(
            f"there is no enabled zone for account {account.id} with template {template.id}; load a cloud with "
            "`interlock init CLOUD.toml`, or name a zone to learn what is wrong with it"
        )
    # By the operation's own id, not by free room: a burst of requests is admitted before any of it takes room.
    digest = hashlib.blake2b(draft.operation_id.encode(), digest_size=4).digest()
    return zones[int.from_bytes(digest, "big") % len(zones)]
