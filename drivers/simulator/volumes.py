"""The rules of volumes in pools. Their refusals are listed in rules.py.

A linked clone takes its whole size, like a full one: that is what it may grow to, and what the engine counts. A
volume may shrink: a pool does not know what is lost by that.
"""

from __future__ import annotations

import sqlite3
from typing import TypeAlias

from interlock.drivers.simulator.answers import DONE, refused
from interlock.drivers.simulator.looks import missing, no_space
from interlock.schema.commands import CreateVolume, DeleteVolume, Outcome, Refused, ResizeVolume, Scope

Make: TypeAlias = tuple[str, int, str | None, str | None]
"""What a volume was made for and from: VM, size, template, kind of clone."""


def create_volume(db: sqlite3.Cursor, command: CreateVolume) -> Outcome:
    """Make it, unless just this volume is there; a copy that broke off is begun anew."""
    volume = command.volume
    make = (command.vm_id, volume.size_mib, volume.template_id, volume.clone)
    there = db.execute(
        "SELECT partial, vm, size_mib, template, clone FROM volume WHERE id = ? AND pool = ?", (volume.id, command.at)
    ).fetchone()
    if there is not None and not there[0]:
        return DONE if there[1:] == make else _other_make(volume.id, command.at, there[1:])
    if there is not None:
        db.execute("DELETE FROM volume WHERE id = ? AND pool = ?", (volume.id, command.at))
    if refusal := no_space(db, command.at, volume.size_mib):
        return refusal
    db.execute(
        "INSERT INTO volume (id, pool, vm, size_mib, template, clone) VALUES (?, ?, ?, ?, ?, ?)",
        (volume.id, command.at, *make),
    )
    return DONE


def half_of_a_volume(db: sqlite3.Cursor, command: CreateVolume) -> None:
    """Copy half of it, and leave that."""
    volume, there = command.volume, (command.volume.id, command.at)
    if db.execute("SELECT 1 FROM volume WHERE id = ? AND pool = ?", there).fetchone() is None:
        db.execute(
            "INSERT INTO volume (id, pool, vm, size_mib, template, clone, partial) VALUES (?, ?, ?, ?, ?, ?, 1)",
            (*there, command.vm_id, max(1, volume.size_mib // 2), volume.template_id, volume.clone),
        )


def _other_make(id: str, pool: str, there: Make) -> Refused:
    vm_id, size_mib, template, clone = there
    owner = f"VM {vm_id}" if vm_id else "no VM"
    source = f"as a {clone} clone of template {template}" if clone else f"from template {template}"
    made = f"made for {owner} with {size_mib} MiB {source if template else 'and blank'}"
    return refused(Scope.VM, f"volume {id} is in pool {pool} already, but {made}; delete that one first")


def delete_volume(db: sqlite3.Cursor, command: DeleteVolume) -> Outcome:
    """Delete it from this pool, also from under a guest."""
    db.execute("DELETE FROM volume WHERE id = ? AND pool = ?", (command.volume_id, command.at))
    return DONE


def resize_volume(db: sqlite3.Cursor, command: ResizeVolume) -> Outcome:
    """Give it another size, and tell the guest that has it plugged on the host named, if there is one."""
    if refusal := missing(db, [(command.volume_id, command.at)]) or _no_space_to_grow(db, command):
        return refusal
    db.execute(
        "UPDATE volume SET size_mib = ? WHERE id = ? AND pool = ? AND size_mib != ?",
        (command.size_mib, command.volume_id, command.at, command.size_mib),
    )
    _tell_guest(db, command)
    return DONE


def _no_space_to_grow(db: sqlite3.Cursor, command: ResizeVolume) -> Refused | None:
    [size_mib] = db.execute(
        "SELECT size_mib FROM volume WHERE id = ? AND pool = ?", (command.volume_id, command.at)
    ).fetchone()
    return no_space(db, command.at, command.size_mib - size_mib)


def _tell_guest(db: sqlite3.Cursor, command: ResizeVolume) -> None:
    db.execute(
        """
        UPDATE plugged_volume SET size_mib = ? WHERE vm = ? AND volume = ? AND pool = ? AND host = ?
        """,
        (command.size_mib, command.vm_id, command.volume_id, command.at, command.host_id),
    )
