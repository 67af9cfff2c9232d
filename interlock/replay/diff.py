"""What two moments differ in: what was made, what moved, what changed attribute by attribute, how full places became.

Both moments are fleets played from the same journal, the first no later than the second. An entity is *made* if it was
not there before, has *moved* if its state is another, has *changed* if its state is the same and some attribute is not.
One that went somewhere and came back differs in nothing but the number of its transitions: it is not listed.

Pure. Nothing that is written by every transition (version, hash, since) counts as a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from interlock.replay.fleet import Fleet
from interlock.schema.cloud import PLACES, Place
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import CHANGEABLE, MACHINE_OF, MOVED, RECORDS, Entity, Vm

HOLDS = ("host_id", "target_host_id", "pool_id", "charged_to")
"""Which attributes of a record name a place that it holds something of."""
_KINDS = {"host_id": "host", "target_host_id": "host", "pool_id": "storage_pool", "charged_to": "account"}


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """An entity at both moments; `before` is None if it was made between them."""

    machine: str
    before: Entity | None
    after: Entity
    attributes: dict[str, tuple[Any, Any]]
    """What differs besides the state, each as it was and as it is; of one that was made, nothing."""

    @property
    def has_moved(self) -> bool:
        """Whether it was there before, in another state."""
        return self.before is not None and self.before.state != self.after.state

    @property
    def transitions(self) -> int:
        """How many there were between."""
        return self.after.version - (self.before.version if self.before else 0)


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A place at both moments; None where it was not there."""

    kind: str
    id: str
    before: Place | None
    after: Place | None
    attributes: dict[str, tuple[Any, Any]]
    """What differs, each as it was and as it is."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """All that two moments differ in, by machine and in the order of making."""

    made: list[Changed]
    moved: list[Changed]
    changed: list[Changed]
    places: list[Filled]


def difference(before: Fleet, after: Fleet, vm_id: str | None = None) -> Difference:
    """What two moments differ in.

    Args:
        before: the earlier one.
        after: the later one.
        vm_id: only this VM, with all that belonged to it at either, and the places that these held something of.

    Raises:
        InvalidRequest: they are the wrong way round.
    """
    if before.seq > after.seq:
        raise InvalidRequest(f"transition {before.seq} is after {after.seq}; name the earlier moment first")
    found = [each for name in RECORDS for each in _entities(name, before, after, vm_id)]
    known = [each for each in found if each.before is not None]
    return Difference(
        made=[each for each in found if each.before is None],
        moved=[each for each in known if each.has_moved],
        changed=[each for each in known if each.attributes and not each.has_moved],
        places=list(_places(before, after, None if vm_id is None else _held(found))),
    )


def _entities(machine: str, before: Fleet, after: Fleet, vm_id: str | None) -> Iterator[Changed]:
    for entity_id, entity in sorted(after.records(machine).items()):
        old = before.record(machine, entity_id)
        if vm_id is None or vm_id in (_vm_of(old), _vm_of(entity)):
            attributes = attributes_of(old, entity)
            yield Changed(machine=machine, before=old, after=entity, attributes=attributes)


def _vm_of(entity: Entity | None) -> str | None:
    return entity.id if isinstance(entity, Vm) else entity.vm_id if entity else None


def attributes_of(before: Entity | None, after: Entity | None) -> dict[str, tuple[Any, Any]]:
    """What a record differs in from what it was, besides the state; of one that was made, nothing."""
    return _attributes(before, after, CHANGEABLE[MACHINE_OF[type(after)]]) if after is not None else {}


def _attributes(before: Any, after: Any, names: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    if before is None or after is None:
        return {}
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names if name not in MOVED}
    return {name: (old, new) for name, (old, new) in pairs.items() if old != new}


def _held(found: Iterable[Changed]) -> set[tuple[str, str]]:
    """The places that records held something of at either moment, by table and id."""
    records = [record for each in found for record in (each.before, each.after) if record is not None]
    pairs = [(_KINDS[name], getattr(record, name, None)) for record in records for name in HOLDS]
    return {(kind, place_id) for kind, place_id in pairs if place_id}


def _places(before: Fleet, after: Fleet, only: set[tuple[str, str]] | None) -> Iterator[Filled]:
    for kind in PLACES:
        old = {each.id: each for each in before.places(kind)}
        new = {each.id: each for each in after.places(kind)}
        for place_id in sorted({*old, *new}):
            was, is_now = old.get(place_id), new.get(place_id)
            if was != is_now and (only is None or (kind, place_id) in only):
                attributes = _attributes(was, is_now, (was or is_now).__struct_fields__)  # type: ignore[union-attr]
                yield Filled(kind=kind, id=place_id, before=was, after=is_now, attributes=attributes)
