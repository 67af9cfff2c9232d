"""The rules of what a guest has plugged, and of its filters. Their refusals are listed in rules.py.

What is unplugged under a guest that is not there, or is on another host, is left as it is, and Done.
"""

from __future__ import annotations

import sqlite3
from typing import TypeAlias

import msgspec

from interlock.drivers.simulator.answers import DONE, refused
from interlock.drivers.simulator.looks import VolumeInPool, missing, not_running, on_host, unready
from interlock.schema.commands import (
    ApplyRules,
    NicSpec,
    Outcome,
    PlugNic,
    PlugVolume,
    Scope,
    UnplugNic,
    UnplugVolume,
    VolumeSpec,
)


def plug_nic(db: sqlite3.Cursor, command: PlugNic) -> Outcome:
    """Give it to the guest; one that is plugged already takes its new addresses."""
    refusal = not_running(db, command.vm_id, command.at) or unready(db, command.at, [on_host(command.nic)])
    if refusal:
        return refusal
    put_nic(db, (command.vm_id, command.at), command.nic)
    return DONE


def unplug_nic(db: sqlite3.Cursor, command: UnplugNic) -> Outcome:
    """Take it from the guest; it stays ready on the host."""
    db.execute(
        "DELETE FROM plugged_nic WHERE vm = ? AND nic = ? AND host = ?",
        (command.vm_id, command.nic_id, command.at),
    )
    return DONE


def plug_volume(db: sqlite3.Cursor, command: PlugVolume) -> Outcome:
    """Give it to the guest; one that is plugged already stays as it is."""
    refusal = not_running(db, command.vm_id, command.at) or missing(db, [in_pool(command.volume)])
    if refusal:
        return refusal
    put_volume(db, (command.vm_id, command.at), command.volume)
    return DONE


def unplug_volume(db: sqlite3.Cursor, command: UnplugVolume) -> Outcome:
    """Take it from the guest; it stays in its pool."""
    db.execute(
        "DELETE FROM plugged_volume WHERE vm = ? AND volume = ? AND host = ?",
        (command.vm_id, command.volume_id, command.at),
    )
    return DONE


def apply_rules(db: sqlite3.Cursor, command: ApplyRules) -> Outcome:
    """Filter by these rules instead of what there was."""
    applied = db.execute(
        "UPDATE domain SET rules = ? WHERE vm = ? AND host = ?",
        (msgspec.json.encode(command.rules), command.vm_id, command.at),
    )
    if applied.rowcount:
        return DONE
    return refused(Scope.VM, f"VM {command.vm_id} has no guest on host {command.at}; start it there first")


def in_pool(volume: VolumeSpec) -> VolumeInPool:
    """What must be so of a volume that a guest uses."""
    return volume.id, volume.pool_id


Guest: TypeAlias = tuple[str, str]
"""Its VM's id, and its host's."""


def put_nic(db: sqlite3.Cursor, guest: Guest, nic: NicSpec) -> None:
    """Write down that the guest has it."""
    db.execute(
        """
        INSERT OR REPLACE INTO plugged_nic (vm, host, nic, device, is_default, ip, ip6, mac)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (*guest, nic.id, nic.device, int(nic.is_default), nic.ip_address, nic.ip6_address, nic.mac_address),
    )


def put_volume(db: sqlite3.Cursor, guest: Guest, volume: VolumeSpec) -> None:
    """Write down that the guest has it, with the size that it finds."""
    db.execute(
        """
        INSERT OR IGNORE INTO plugged_volume (vm, host, volume, pool, device, size_mib)
        SELECT ?, ?, id, pool, ?, size_mib FROM volume WHERE id = ? AND pool = ?
        """,
        (*guest, volume.device, *in_pool(volume)),
    )
