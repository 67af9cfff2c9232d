"""Writes a cloud description into a database: all of it or nothing, and nothing that moves what VMs stand on.

Promises: what is in the database afterwards holds the rules of the description as a whole, with what was there before
and is not in the file; places that the file does not name stay as they are, settings and limits too. A security group
whose rules are new or changed gets a version above all others, so that each VM in it is told; the others keep theirs.

Races: reading what there is, deciding and writing are one transaction that begins with the write lock. Neither another
load nor a deploy that makes a group comes between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, count

import msgspec

from interlock.embed.cloud import CloudDescription, Row, rows_of
from interlock.embed.description.rules import check, named
from interlock.engine.store.store import Store
from interlock.schema.cloud import (
    Account,
    AffinityGroup,
    Cluster,
    Domain,
    Host,
    Network,
    Place,
    Pod,
    PodRange,
    SecurityGroup,
    SshKey,
    StoragePool,
    Template,
    Zone,
)
from interlock.schema.errors import InvalidRequest
from interlock.schema.transition import OURS

FIXED: Mapping[type[Place], Mapping[str, str]] = {
    Domain: {"parent_id": "what its accounts have is counted for all above"},
    Account: {"domain_id": "what it has is counted for all above"},
    Zone: {"kind": "its VMs got their addresses in another way"},
    Pod: {"zone_id": "its VMs would move with it"},
    Cluster: {
        "zone_id": "its VMs would move with it",
        "pod_id": "its VMs would move with it",
        "hypervisor": "its VMs run on the other",
    },
    Host: {
        "zone_id": "its VMs would move with it",
        "pod_id": "its VMs would move with it",
        "cluster_id": "its VMs would move with it",
    },
    StoragePool: {
        "zone_id": "its volumes would move with it",
        "scope": "hosts would lose the volumes they use",
        "cluster_id": "hosts would lose the volumes they use",
        "host_id": "hosts would lose the volumes they use",
    },
    Network: {
        "zone_id": "its VMs would move with it",
        "guru": "its addresses were given by the other",
        "account_id": "VMs of others are on it",
    },
    PodRange: {"network_id": "its addresses are of the other", "pod_id": "VMs in the other pod have its addresses"},
    Template: {
        "kind": "disks were made from it",
        "size_mib": "linked disks stand on it",
        "account_id": "it is somebody's",
    },
    AffinityGroup: {"kind": "its VMs were placed by the other", "account_id": "VMs of the other are in it"},
    SshKey: {"account_id": "it is somebody's"},
}
"""What a known place keeps for good, and what would go wrong otherwise. A security group's id says whose it is."""

Known = dict[tuple[type[Place], str], Place]


async def write_described(cloud: CloudDescription, store: Store, actor: str = OURS) -> None:
    """Write the places of a description, all or none, on behalf of an actor.

    Raises:
        InvalidRequest: a known place would move, or shrink below what is held of it, or contradicts one that is there.
    """
    await store.put_after(lambda places: rows_after(cloud, chain.from_iterable(places.values())), actor=actor)


def rows_after(cloud: CloudDescription, there: Iterable[Place]) -> dict[str, list[Row]]:
    """The rows to write where some places are there already.

    Raises:
        InvalidRequest: a known place would change what it keeps, or contradicts one that is there.
    """
    known: Known = {(type(place), place.id): place for place in there}
    said = [place for place in cloud.places if place not in cloud.implied or (type(place), place.id) not in known]
    for place in said:
        before = known.get((type(place), place.id))
        if before is not None:
            _stays(before, place)
    check({**known, **{(type(place), place.id): place for place in said}}.values())
    return {**cloud.rows(), **rows_of(_numbered(said, known))}


def _stays(before: Place, after: Place) -> None:
    for name, why in FIXED.get(type(after), {}).items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            raise InvalidRequest(
                f"{named(after)} has {name} {old}, which cannot become {new}: {why}; disable it, and describe a new one"
            )


def _numbered(said: Iterable[Place], known: Known) -> list[Place]:
    """The places, with versions for the security groups."""
    versions = count(1 + max((each.version for each in known.values() if isinstance(each, SecurityGroup)), default=0))
    return [
        msgspec.structs.replace(place, version=_version(place, known) or next(versions))
        if isinstance(place, SecurityGroup)
        else place
        for place in said
    ]


def _version(group: SecurityGroup, known: Known) -> int | None:
    """That of the group as it is there; None if its rules are others."""
    before = known.get((SecurityGroup, group.id))
    if not isinstance(before, SecurityGroup):
        return None
    return before.version if (before.ingress, before.egress) == (group.ingress, group.egress) else None
