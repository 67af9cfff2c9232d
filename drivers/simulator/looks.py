"""What rules look at before they write: room, NICs that are ready, volumes that exist, guests that run.

Promises: every function named for what is wrong returns the refusal that says so, or None if all is well, and
changes nothing. Room is what `host` and `pool` count as used; the file's triggers keep those figures (tables.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from interlock.drivers.simulator.answers import refused
from interlock.drivers.simulator.world import Power
from interlock.schema.commands import NicSpec, Refused, Scope

NicOnHost = tuple[str, str, str | None, str]
"""A NIC's id, IPv4, IPv6 and MAC address."""
VolumeInPool = tuple[str, str]
"""A volume's id and its pool's."""


def unknown_host(db: sqlite3.Connection, host: str) -> Refused | None:
    """The host was never attached."""
    if db.execute("SELECT 1 FROM host WHERE id = ?", (host,)).fetchone() is None:
        return refused(Scope.HOST, f"there is no host {host}")
    return None


def no_room(db: sqlite3.Connection, host: str, cpu_mhz: int, memory_mib: int) -> Refused | None:
    """The host cannot guarantee that much more. What is not more always fits, also where hosts have shrunk."""
    row = db.execute(
        "SELECT cpu_mhz - cpu_used_mhz, memory_mib - memory_used_mib FROM host WHERE id = ?", (host,)
    ).fetchone()
    if row is None:
        return unknown_host(db, host)
    cpu, memory = row
    if cpu_mhz > max(cpu, 0):
        return refused(Scope.HOST, f"host {host} has {cpu} MHz free, {cpu_mhz} needed")
    if memory_mib > max(memory, 0):
        return refused(Scope.HOST, f"host {host} has {memory} MiB free, {memory_mib} needed")
    return None


def no_space(db: sqlite3.Connection, pool: str, size_mib: int) -> Refused | None:
    """The pool cannot hold that much more; what is not more always fits."""
    row = db.execute("SELECT size_mib - used_mib FROM pool WHERE id = ?", (pool,)).fetchone()
    if row is None:
        return refused(Scope.POOL, f"there is no pool {pool}")
    if size_mib > max(row[0], 0):
        return refused(Scope.POOL, f"pool {pool} has {row[0]} MiB free, {size_mib} needed")
    return None


def on_host(nic: NicSpec) -> NicOnHost:
    """What must be so of a NIC where it is ready."""
    return nic.id, nic.ip_address, nic.ip6_address, nic.mac_address


def unready(db: sqlite3.Connection, host: str, nics: Iterable[NicOnHost]) -> Refused | None:
    """One of the NICs is not ready on the host, or with other addresses."""
    for id, *addresses in nics:
        there = db.execute("SELECT ip, ip6, mac FROM nic WHERE id = ? AND host = ?", (id, host)).fetchone()
        if there != tuple(addresses):
            return refused(Scope.HOST, f"NIC {id} ({addresses[0]}) is not ready on host {host}; prepare it there first")
    return None


def missing(db: sqlite3.Connection, volumes: Iterable[VolumeInPool]) -> Refused | None:
    """One of the volumes is not in its pool."""
    for volume in volumes:
        if db.execute("SELECT 1 FROM volume WHERE id = ? AND pool = ? AND NOT partial", volume).fetchone() is None:
            return refused(Scope.VM, "volume {} is not in pool {}; create it there first".format(*volume))
    return None


def power_on(db: sqlite3.Connection, vm_id: str, host: str) -> str | None:
    """Whether the VM's guest on a host is on; None: it is not defined there."""
    row = db.execute("SELECT power FROM domain WHERE vm = ? AND host = ?", (vm_id, host)).fetchone()
    return None if row is None else str(row[0])


def elsewhere(db: sqlite3.Connection, vm_id: str, host: str) -> Refused | None:
    """The VM has a guest on another host."""
    row = db.execute(
        "SELECT host, power FROM domain WHERE vm = ? AND host != ? ORDER BY power = 'Off', host", (vm_id, host)
    ).fetchone()
    if row is None:
        return None
    other, power = row
    how = "is still defined, powered off," if power == Power.OFF else "already runs"
    return refused(Scope.VM, f"VM {vm_id} {how} on host {other}; stop it there first")


def not_running(db: sqlite3.Connection, vm_id: str, host: str) -> Refused | None:
    """The VM has no guest on the host, or one that is powered off."""
    if power_on(db, vm_id, host) == Power.ON:
        return None
    return refused(Scope.VM, f"VM {vm_id} does not run on host {host}; start it there first")
