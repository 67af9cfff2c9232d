"""What rules look at before they write: room, NICs that are ready, volumes that exist, guests that run.

Promises: every function named for what is wrong returns the refusal that says so, or None if all is well, and
changes nothing. Room is what `host` and `pool` count as used; the file's triggers keep those figures (tables.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from interlock.drivers.simulator.answers import refused
from interlock.drivers.simulator.world import Power
from interlock.schema.commands import NicSpec, Refused, Scope

NicOnHost = tuple[str, str, str | None, str]
"""A NIC's id, IPv4, IPv6 and MAC address."""
VolumeInPool = tuple[str, str]
"""A volume's id and its pool's."""


def no_host(host: str) -> Refused:
    """The refusal where the host was never attached; whoever asks has looked."""
    return refused(Scope.HOST, f"there is no host {host}")


def no_room(db: sqlite3.Cursor, host: str, cpu_mhz: int, memory_mib: int) -> Refused | None:
    """The host cannot guarantee that much more. What is not more always fits, also where hosts have shrunk."""
    row = db.execute(
        "SELECT cpu_mhz - cpu_used_mhz, memory_mib - memory_used_mib FROM host WHERE id = ?", (host,)
    ).fetchone()
    if row is None:
        return no_host(host)
    cpu, memory = row
    if cpu_mhz > max(cpu, 0):
        return refused(Scope.HOST, f"host {host} has {cpu} MHz free, {cpu_mhz} needed")
    if memory_mib > max(memory, 0):
        return refused(Scope.HOST, f"host {host} has {memory} MiB free, {memory_mib} needed")
    return None


def no_space(db: sqlite3.Cursor, pool: str, size_mib: int) -> Refused | None:
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


READY = "SELECT 1 FROM nic WHERE id = ? AND ip = ? AND ip6 IS ? AND mac = ? AND host = ?"


def unready(db: sqlite3.Cursor, host: str, nics: Iterable[NicOnHost]) -> Refused | None:
    """One of the NICs is not ready on the host, or with other addresses."""
    for nic in nics:
        if db.execute(READY, (*nic, host)).fetchone() is None:
            id, address, *_ = nic
            return refused(Scope.HOST, f"NIC {id} ({address}) is not ready on host {host}; prepare it there first")
    return None


def missing(db: sqlite3.Cursor, volumes: Iterable[VolumeInPool]) -> Refused | None:
    """One of the volumes is not in its pool."""
    for volume in volumes:
        if db.execute("SELECT 1 FROM volume WHERE id = ? AND pool = ? AND NOT partial", volume).fetchone() is None:
            return refused(Scope.VM, "volume {} is not in pool {}; create it there first".format(*volume))
    return None


def power_on(db: sqlite3.Cursor, vm_id: str, host: str) -> str | None:
    """Whether the VM's guest on a host is on; None: it is not defined there."""
    row = db.execute("SELECT power FROM domain WHERE vm = ? AND host = ?", (vm_id, host)).fetchone()
    return None if row is None else str(row[0])


def guests_of(db: sqlite3.Cursor, vm_id: str) -> dict[str, str]:
    """Whether the VM's guests are on, by host."""
    return dict(db.execute("SELECT host, power FROM domain WHERE vm = ?", (vm_id,)).fetchall())


def elsewhere(vm_id: str, host: str, guests: Mapping[str, str]) -> Refused | None:
    """The VM has one of these guests on another host; one that is on is named first."""
    others = sorted((power == Power.OFF, other, power) for other, power in guests.items() if other != host)
    if not others:
        return None
    _, other, power = others[0]
    how = "is still defined, powered off," if power == Power.OFF else "already runs"
    return refused(Scope.VM, f"VM {vm_id} {how} on host {other}; stop it there first")


def not_running(db: sqlite3.Cursor, vm_id: str, host: str) -> Refused | None:
    """The VM has no guest on the host, or one that is powered off."""
    if power_on(db, vm_id, host) == Power.ON:
        return None
    return refused(Scope.VM, f"VM {vm_id} does not run on host {host}; start it there first")
