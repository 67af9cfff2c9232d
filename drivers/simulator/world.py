"""The world as a value, and its hosts and pools. What happens to it that no command asked for is in outside.py.

Promises: `read` is one consistent moment, sorted, so that two worlds compare with `==`. What is not part of
it: tokens, fences and orders, for they are memory, not world. A volume or NIC that was left behind
elsewhere is listed beside the one in use, so that a comparison with the engine's records shows the leak; a guest
lists what is plugged into it, also if that is in no pool any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

import msgspec

from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import RuleSpec


class Power(StrEnum):
    """Whether a defined guest runs; one that is paused keeps what it holds."""

    ON = "On"
    PAUSED = "Paused"
    OFF = "Off"


class PluggedNic(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A NIC of a guest, with the addresses that the guest was given."""

    device: int
    id: str
    is_default: bool
    ip_address: str
    ip6_address: str | None
    mac_address: str


class PluggedVolume(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A disk of a guest, with the size that the guest was told."""

    device: int
    id: str
    pool_id: str
    size_mib: int


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """A guest, defined on a host. `boots` counts its starts and reboots since it was defined."""

    vm_id: str
    host_id: str
    name: str
    instance_name: str
    cpu_cores: int
    cpu_mhz: int
    memory_mib: int
    cpu_held_mhz: int
    """What it uses of its host while it runs."""
    memory_held_mib: int
    iso: str | None
    user_data_sha256: str | None
    """Hexadecimal, of the text as it came; None: it came without."""
    ssh_keys: tuple[str, ...]
    details: tuple[tuple[str, str], ...]
    """By name."""
    rules: tuple[RuleSpec, ...] | None
    """None: nothing is filtered."""
    power: Power
    boots: int
    reason: str = ""
    """Why it is off, if it was not told to be."""
    nics: tuple[PluggedNic, ...]
    """By device, as the volumes."""
    volumes: tuple[PluggedVolume, ...]


class Volume(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A disk in a pool. `vm_id` is the VM it was made for, empty if none; where it is plugged, guests say."""

    id: str
    pool_id: str
    vm_id: str
    size_mib: int
    template_id: str | None
    clone: str | None
    partial: bool = False
    """Its copy broke off: space is taken, and there is no disk."""


class Nic(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A NIC, ready on a host."""

    id: str
    host_id: str
    vm_id: str
    ip_address: str
    ip6_address: str | None
    mac_address: str


class World(msgspec.Struct, frozen=True):
    """All there is."""

    domains: tuple[Domain, ...] = ()
    volumes: tuple[Volume, ...] = ()
    nics: tuple[Nic, ...] = ()


DOMAINS = """
    SELECT vm, host, name, instance_name, cpu_cores, cpu_mhz, memory_mib, cpu_held_mhz, memory_held_mib, iso,
        user_data_sha256, ssh_keys, details, rules, power, boots, reason
    FROM domain ORDER BY vm, host
"""
PLUGGED_NICS = "SELECT vm, host, device, nic, is_default, ip, ip6, mac FROM plugged_nic ORDER BY vm, device, nic"
PLUGGED_VOLUMES = "SELECT vm, host, device, volume, pool, size_mib FROM plugged_volume ORDER BY vm, device, volume"
VOLUMES = "SELECT id, pool, vm, size_mib, template, clone, partial FROM volume ORDER BY id, pool"
NICS = "SELECT id, host, vm, ip, ip6, mac FROM nic ORDER BY id, host"

T = TypeVar("T")


def read(db: sqlite3.Cursor) -> World:
    """The world as it is."""
    return World(
        domains=_domains(db),
        volumes=msgspec.convert(db.execute(VOLUMES).fetchall(), tuple[Volume, ...], strict=False),
        nics=msgspec.convert(db.execute(NICS).fetchall(), tuple[Nic, ...]),
    )


def _domains(db: sqlite3.Cursor) -> tuple[Domain, ...]:
    nics, volumes = _plugged(db, PLUGGED_NICS, PluggedNic), _plugged(db, PLUGGED_VOLUMES, PluggedVolume)
    cursor = db.execute(DOMAINS)
    fields = [_FIELD_OF.get(column, column) for column, *_ in cursor.description]
    guests = (dict(zip(fields, row, strict=True)) for row in cursor.fetchall())
    return tuple(_domain(guest, nics.get(_key(guest), ()), volumes.get(_key(guest), ())) for guest in guests)


_FIELD_OF = {"vm": "vm_id", "host": "host_id"}
Key: TypeAlias = tuple[str, str]
"""A guest's VM and host."""


def _key(guest: dict[str, Any]) -> Key:
    return guest["vm_id"], guest["host_id"]


def _domain(guest: dict[str, Any], nics: Sequence[PluggedNic], volumes: Sequence[PluggedVolume]) -> Domain:
    details = msgspec.json.decode(guest.pop("details"), type=dict[str, str])
    return Domain(
        ssh_keys=msgspec.json.decode(guest.pop("ssh_keys"), type=tuple[str, ...]),
        details=tuple(sorted(details.items())),
        rules=msgspec.json.decode(guest.pop("rules"), type=tuple[RuleSpec, ...] | None),
        power=Power(guest.pop("power")),
        nics=tuple(nics),
        volumes=tuple(volumes),
        **guest,
    )


def _plugged(db: sqlite3.Cursor, query: str, kind: type[T]) -> dict[Key, list[T]]:
    """What is plugged, by guest."""
    found: dict[Key, list[T]] = {}
    for vm_id, host_id, *row in db.execute(query):
        found.setdefault((vm_id, host_id), []).append(msgspec.convert(row, kind, strict=False))
    return found


HOST = """
    INSERT INTO host (id, cpu_mhz, memory_mib) VALUES (?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET cpu_mhz = excluded.cpu_mhz, memory_mib = excluded.memory_mib
"""
POOL = """
    INSERT INTO pool (id, size_mib) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET size_mib = excluded.size_mib
"""


def attach(db: sqlite3.Cursor, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
    """Build or resize hosts and pools: a host with what it has, for overcommit is in what guests hold; a pool with
    overcommit. None is ever torn down: another engine's may share the file."""
    db.executemany(HOST, [(host.id, host.cpu_mhz, host.memory_mib) for host in hosts])
    db.executemany(POOL, [(pool.id, int(pool.size_mib * pool.overcommit)) for pool in pools])
