"""Writes a cloud description into a database: all of it or nothing, and nothing that moves what VMs stand on."""

from __future__ import annotations

from interlock.embed.cloud import CloudDescription
from interlock.engine.store.store import Store
from interlock.schema.cloud import Place
from interlock.schema.errors import InvalidRequest

FIXED = ("zone_id", "pod_id", "cluster_id", "host_id", "scope", "guru", "account_id")
"""What a known place keeps for good: what VMs hold of it would be somewhere else all at once."""


async def write_described(cloud: CloudDescription, store: Store) -> None:
    """Write the places of a description, all or none.

    Raises:
        InvalidRequest: a known place would move, or shrink below what is held of it.
    """
    known = {(type(place), place.id): place for places in (await store.places()).values() for place in places}
    for place in cloud.places:
        before = known.get((type(place), place.id))
        if before is not None:
            _stays(before, place)
    await store.put(cloud.rows())


def _stays(before: Place, after: Place) -> None:
    for name in FIXED:
        old, new = getattr(before, name, None), getattr(after, name, None)
        if old != new:
            raise InvalidRequest(
                f"{type(after).__name__.lower()} {after.id} has {name} {old}, which cannot become {new}; "
                "disable it, and describe a new one"
            )
