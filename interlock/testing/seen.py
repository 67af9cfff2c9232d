"""What is in a driver's world, as a value: the truth that the checks compare.

What a driver's author cannot see stays None and is compared with nothing; the more is seen, the more is checked.

Promises: values are frozen and sorted, so that two looks at one world compare with `==`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from interlock.drivers.simulator import Power, World


class Guest(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A guest that is defined on a host."""

    vm_id: str
    host_id: str
    running: bool
    nics: tuple[str, ...] | None = None
    """The ids of those that are plugged, sorted; the volumes likewise."""
    volumes: tuple[str, ...] | None = None
    cpu_cores: int | None = None
    memory_mib: int | None = None
    boots: int | None = None
    """How often it was started or rebooted since it was defined."""
    filters: str | None = None
    """Which rules its traffic is filtered by, in any words that differ when they do."""


class Disk(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A volume in a pool."""

    id: str
    pool_id: str
    size_mib: int | None = None


class ReadyNic(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A NIC that is ready on a host."""

    id: str
    host_id: str


class Seen(msgspec.Struct, frozen=True):
    """All there is. `disks` or `nics` of None: cannot be seen."""

    guests: tuple[Guest, ...] = ()
    disks: tuple[Disk, ...] | None = ()
    nics: tuple[ReadyNic, ...] | None = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there, as far as can be seen."""
        return not (self.guests or self.disks or self.nics)


Thing = Guest | Disk | ReadyNic


def differences(expected: Seen, seen: Seen) -> list[str]:
    """How what is seen differs from what should be there, in words; what is None on either side is left out."""
    found: list[str] = []
    for kind, should, there in (
        ("guest", expected.guests, seen.guests),
        ("disk", expected.disks, seen.disks),
        ("ready NIC", expected.nics, seen.nics),
    ):
        if should is not None and there is not None:
            found += _differences(kind, should, there)
    return found


def _differences(kind: str, expected: Iterable[Thing], seen: Iterable[Thing]) -> Iterator[str]:
    should, there = {_key(each): each for each in expected}, {_key(each): each for each in seen}
    for key in sorted(should.keys() | there.keys()):
        name = f"{kind} {key[0]} at {key[1]}"
        if key not in there:
            yield f"{name} is missing"
        elif key not in should:
            yield f"{name} is there and should not be"
        else:
            for field, wanted, found in _figures(should[key], there[key]):
                yield f"{name} has {field} {found!r} instead of {wanted!r}"


def _key(thing: Thing) -> tuple[str, str]:
    match thing:
        case Guest():
            return thing.vm_id, thing.host_id
        case Disk():
            return thing.id, thing.pool_id
        case ReadyNic():
            return thing.id, thing.host_id


def _figures(expected: Thing, seen: Thing) -> Iterator[tuple[str, Any, Any]]:
    """The fields in which two of the same key differ."""
    for field in expected.__struct_fields__:
        wanted, found = getattr(expected, field), getattr(seen, field)
        if None not in (wanted, found) and wanted != found:
            yield field, wanted, found


def seen_in(world: World) -> Seen:
    """What the simulator shows, in these words: for drivers that are built on it."""
    guests = (
        Guest(
            vm_id=each.vm_id,
            host_id=each.host_id,
            running=each.power is Power.ON,
            nics=tuple(sorted(nic.id for nic in each.nics)),
            volumes=tuple(sorted(volume.id for volume in each.volumes)),
            cpu_cores=each.cpu_cores,
            memory_mib=each.memory_mib,
            boots=each.boots,
            filters=repr(each.rules),
        )
        for each in world.domains
    )
    return Seen(
        guests=tuple(sorted(guests)),
        disks=tuple(Disk(id=each.id, pool_id=each.pool_id, size_mib=each.size_mib) for each in world.volumes),
        nics=tuple(ReadyNic(id=each.id, host_id=each.host_id) for each in world.nics),
    )
