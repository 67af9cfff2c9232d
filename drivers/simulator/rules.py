"""What each command does to the world, and when the world refuses it.

Promises: a rule looks first and writes last, so a refusal leaves nothing behind. Every rule but
RebootDomain's is idempotent by itself, also under another token.

What is refused as permanent, and the scope to avoid:

    at a host or pool that was never attached    its host or pool    (undoing there is Done: nothing is there)
    no room left                                 its host or pool
    a NIC is not ready on the host               the host            elsewhere it would be prepared again
    a volume is not in its pool                  the VM              no other place has the data
    the guest is defined on another host         the VM              one VM never has two guests
    a volume is there, but of another make       the VM
    a guest to reboot that does not run          the VM

Room is what `host` and `pool` count as used; the file's triggers keep those figures (tables.py). A guest that
is powered off takes no room. A NIC that is prepared again takes its new addresses.

Never looked at: whether a disk or NIC is in use when it is removed. A hypervisor does not know that either,
and a world that hides such an error of the engine would be a worse test than one that shows it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from interlock.drivers.simulator.world import Power
from interlock.schema.commands import (
    AnyCommand,
    Command,
    CreateVolume,
    DeleteVolume,
    Done,
    NicSpec,
    Outcome,
    PrepareNic,
    RebootDomain,
    Refusal,
    Refused,
    ReleaseNic,
    Scope,
    StartDomain,
    StopDomain,
    VolumeSpec,
)

DONE = Done()


def carry_out(db: sqlite3.Connection, command: AnyCommand) -> Outcome:
    """Do what the command says, or refuse."""
    return RULES[type(command)](db, command)


def place_of(command: AnyCommand) -> Scope:
    """What `command.at` is."""
    return Scope.POOL if isinstance(command, CreateVolume | DeleteVolume) else Scope.HOST


def refused(scope: Scope, reason: str) -> Refused:
    """Nothing happened, and asking again is pointless."""
    return Refused(kind=Refusal.PERMANENT, scope=scope, reason=reason)


# NICs


def _prepare_nic(db: sqlite3.Connection, command: PrepareNic) -> Outcome:
    if db.execute("SELECT 1 FROM host WHERE id = ?", (command.at,)).fetchone() is None:
        return _unknown_host(command.at)
    nic = command.nic
    db.execute(
        "INSERT OR REPLACE INTO nic (id, host, vm, ip, mac) VALUES (?, ?, ?, ?, ?)",
        (nic.id, command.at, command.vm_id, nic.ip_address, nic.mac_address),
    )
    return DONE


def _release_nic(db: sqlite3.Connection, command: ReleaseNic) -> Outcome:
    db.execute("DELETE FROM nic WHERE id = ? AND host = ?", (command.nic_id, command.at))
    return DONE


# Volumes


def _create_volume(db: sqlite3.Connection, command: CreateVolume) -> Outcome:
    volume = command.volume
    make = (command.vm_id, volume.size_mib, volume.template_id)
    there = db.execute(
        "SELECT vm, size_mib, template FROM volume WHERE id = ? AND pool = ?", (volume.id, command.at)
    ).fetchone()
    if there is not None:
        return DONE if there == make else _other_make(volume, command.at, there)
    if refusal := _no_space(db, command.at, volume.size_mib):
        return refusal
    db.execute(
        "INSERT INTO volume (id, pool, vm, size_mib, template) VALUES (?, ?, ?, ?, ?)",
        (volume.id, command.at, *make),
    )
    return DONE


def _other_make(volume: VolumeSpec, pool: str, there: tuple[str, int, str | None]) -> Refused:
    made = "volume {} is in pool {} already, but made for VM {} with {} MiB from template {}"
    return refused(Scope.VM, made.format(volume.id, pool, *there))


def _no_space(db: sqlite3.Connection, pool: str, size_mib: int) -> Refused | None:
    row = db.execute("SELECT size_mib - used_mib FROM pool WHERE id = ?", (pool,)).fetchone()
    if row is None:
        return refused(Scope.POOL, f"there is no pool {pool}")
    if row[0] < size_mib:
        return refused(Scope.POOL, f"pool {pool} has {row[0]} MiB free, {size_mib} needed")
    return None


def _delete_volume(db: sqlite3.Connection, command: DeleteVolume) -> Outcome:
    db.execute("DELETE FROM volume WHERE id = ? AND pool = ?", (command.volume_id, command.at))
    return DONE


# Guests

DEFINE = """
    INSERT INTO domain (vm, host, name, cpu_mhz, memory_mib, power, boots) VALUES (?, ?, ?, ?, ?, 'On', 1)
    ON CONFLICT (vm) DO UPDATE SET name = excluded.name, cpu_mhz = excluded.cpu_mhz,
        memory_mib = excluded.memory_mib, power = 'On', boots = boots + 1
"""


def _start_domain(db: sqlite3.Connection, command: StartDomain) -> Outcome:
    there = db.execute("SELECT host, power FROM domain WHERE vm = ?", (command.vm_id,)).fetchone()
    if there == (command.at, Power.ON):
        return DONE
    if there is not None and there[0] != command.at:
        return _elsewhere(command.vm_id, *there)
    if refusal := _no_room(db, command) or _unprepared(db, command):
        return refusal
    row = (command.vm_id, command.at, command.name, command.cpu_mhz, command.memory_mib)
    db.execute(DEFINE, row)
    return DONE


def _elsewhere(vm_id: str, host: str, power: str) -> Refused:
    how = "already runs" if power == Power.ON else "is still defined, powered off,"
    return refused(Scope.VM, f"VM {vm_id} {how} on host {host}; stop it there first")


def _no_room(db: sqlite3.Connection, command: StartDomain) -> Refused | None:
    row = db.execute(
        "SELECT cpu_mhz - cpu_used_mhz, memory_mib - memory_used_mib FROM host WHERE id = ?", (command.at,)
    ).fetchone()
    if row is None:
        return _unknown_host(command.at)
    cpu, memory = row
    if cpu < command.cpu_mhz:
        return refused(Scope.HOST, f"host {command.at} has {cpu} MHz free, {command.cpu_mhz} needed")
    if memory < command.memory_mib:
        return refused(Scope.HOST, f"host {command.at} has {memory} MiB free, {command.memory_mib} needed")
    return None


def _unprepared(db: sqlite3.Connection, command: StartDomain) -> Refused | None:
    for nic in command.nics:
        if not _is_ready(db, nic, command.at):
            return refused(Scope.HOST, f"NIC {nic.id} ({nic.ip_address}) is not ready on host {command.at}")
    for volume in command.volumes:
        if not _exists(db, volume):
            return refused(Scope.VM, f"volume {volume.id} is not in pool {volume.pool_id}")
    return None


def _is_ready(db: sqlite3.Connection, nic: NicSpec, host: str) -> bool:
    row = db.execute("SELECT ip, mac FROM nic WHERE id = ? AND host = ?", (nic.id, host)).fetchone()
    return bool(row == (nic.ip_address, nic.mac_address))


def _exists(db: sqlite3.Connection, volume: VolumeSpec) -> bool:
    row = db.execute("SELECT 1 FROM volume WHERE id = ? AND pool = ?", (volume.id, volume.pool_id)).fetchone()
    return row is not None


def _stop_domain(db: sqlite3.Connection, command: StopDomain) -> Outcome:
    db.execute("DELETE FROM domain WHERE vm = ? AND host = ?", (command.vm_id, command.at))
    return DONE


def _reboot_domain(db: sqlite3.Connection, command: RebootDomain) -> Outcome:
    rebooted = db.execute(
        "UPDATE domain SET boots = boots + 1 WHERE vm = ? AND host = ? AND power = 'On'",
        (command.vm_id, command.at),
    )
    if rebooted.rowcount:
        return DONE
    return refused(Scope.VM, f"VM {command.vm_id} does not run on host {command.at}")


def _unknown_host(host: str) -> Refused:
    return refused(Scope.HOST, f"there is no host {host}")


RULES: Mapping[type[Command], Callable[[sqlite3.Connection, Any], Outcome]] = {
    PrepareNic: _prepare_nic,
    ReleaseNic: _release_nic,
    CreateVolume: _create_volume,
    DeleteVolume: _delete_volume,
    StartDomain: _start_domain,
    StopDomain: _stop_domain,
    RebootDomain: _reboot_domain,
}
