"""The world as a value, and what happens to it that no command asked for.

Promises: `read` is one consistent moment, sorted, so that two worlds compare with `==`. What is not part of
it: tokens, fences and orders, for they are memory, not world. A volume or NIC that was left behind
elsewhere is listed beside the one in use, so that a comparison with the engine's records shows the leak.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from interlock.schema.cloud import Host, StoragePool


class Power(StrEnum):
    """Whether a defined guest runs."""

    ON = "On"
    OFF = "Off"


class Domain(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A guest, defined on a host. `boots` counts its starts and reboots since it was defined."""

    vm_id: str
    host_id: str
    name: str
    cpu_mhz: int
    memory_mib: int
    power: Power
    boots: int


class Volume(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A disk in a pool."""

    id: str
    pool_id: str
    vm_id: str
    size_mib: int
    template_id: str | None


class Nic(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A NIC, ready on a host."""

    id: str
    host_id: str
    vm_id: str
    ip_address: str
    mac_address: str


class World(msgspec.Struct, frozen=True):
    """All there is."""

    domains: tuple[Domain, ...] = ()
    volumes: tuple[Volume, ...] = ()
    nics: tuple[Nic, ...] = ()


DOMAINS = "SELECT vm, host, name, cpu_mhz, memory_mib, power, boots FROM domain ORDER BY vm"
VOLUMES = "SELECT id, pool, vm, size_mib, template FROM volume ORDER BY id, pool"
NICS = "SELECT id, host, vm, ip, mac FROM nic ORDER BY id, host"


def read(db: sqlite3.Connection) -> World:
    """The world as it is."""
    return World(
        domains=msgspec.convert(db.execute(DOMAINS).fetchall(), tuple[Domain, ...]),
        volumes=msgspec.convert(db.execute(VOLUMES).fetchall(), tuple[Volume, ...]),
        nics=msgspec.convert(db.execute(NICS).fetchall(), tuple[Nic, ...]),
    )


HOST = """
    INSERT INTO host (id, cpu_mhz, memory_mib) VALUES (?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET cpu_mhz = excluded.cpu_mhz, memory_mib = excluded.memory_mib
"""
POOL = """
    INSERT INTO pool (id, size_mib) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET size_mib = excluded.size_mib
"""


def attach(db: sqlite3.Connection, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
    """Build or resize hosts and pools. None is ever torn down: another engine's may share the file."""
    db.executemany(
        HOST,
        [(h.id, int(h.cpu_mhz * h.cpu_overcommit), int(h.memory_mib * h.memory_overcommit)) for h in hosts],
    )
    db.executemany(POOL, [(pool.id, int(pool.size_mib * pool.overcommit)) for pool in pools])


def power_off_inside(db: sqlite3.Connection, vm_id: str) -> bool:
    """The guest shuts itself down: it stays defined. False if there is no such guest."""
    return db.execute("UPDATE domain SET power = ? WHERE vm = ?", (Power.OFF, vm_id)).rowcount > 0
