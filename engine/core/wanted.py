"""What a deploy names, looked up and checked against the cloud: one function a rule.

Each rule raises `InvalidRequest` that names what is wrong and what there is instead.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from interlock.engine.core.draft import Draft
from interlock.schema.cloud import Account, Network, Offering, Place, Template, Zone
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.requests import DeployVM, NicRequest

P = TypeVar("P", bound=Place)

LISTED = 10
"""How many existing names a message shows. Too few: no help; too many: the reason is lost among them."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The places a deploy names."""

    account: Account
    zone: Zone
    offering: Offering
    template: Template
    planner: str
    nics: tuple[tuple[Network, NicRequest], ...]


def wanted(request: DeployVM, draft: Draft) -> Wanted:
    """All that the request names, checked.

    Raises:
        InvalidRequest: something does not exist, is disabled, or is not for this account or zone.
    """
    account = _existing(draft, Account, request.account)
    zone = _zone(request, draft)
    offering = _existing(draft, Offering, request.offering)
    return Wanted(
        account=account,
        zone=zone,
        offering=offering,
        template=_template(request, draft),
        planner=_planner(request, offering, draft),
        nics=_nics(request, account, zone, draft),
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
    planner = request.planner or offering.planner or draft.rules.policy.planner
    if planner not in draft.rules.planners:
        raise NotFound(f"there is no planner {planner!r}; there are: {', '.join(sorted(draft.rules.planners))}")
    return planner


def _nics(request: DeployVM, account: Account, zone: Zone, draft: Draft) -> tuple[tuple[Network, NicRequest], ...]:
    """The networks are given, each once, or the zone's default one is taken."""
    if not request.nics:
        network = draft.cloud.default_network(zone.id, account.id)
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
