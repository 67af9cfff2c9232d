"""The rules of guests on hosts: start, stop, reboot, migrate, scale, look, halt. Their refusals are in rules.py.

A guest holds of its host what its command says that the host guarantees of it, whatever its size. One that is
powered off holds nothing, and must find room again when it is started.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

import msgspec

from interlock.drivers.simulator.answers import DONE, refused
from interlock.drivers.simulator.looks import (
    elsewhere,
    guests_of,
    missing,
    no_room,
    not_running,
    on_host,
    power_on,
    unready,
)
from interlock.drivers.simulator.plugs import in_pool, put_nic, put_volume
from interlock.drivers.simulator.world import Power
from interlock.schema import reports
from interlock.schema.commands import (
    Done,
    LookForDomain,
    MigrateDomain,
    Outcome,
    QuarantineDomain,
    RebootDomain,
    Refused,
    ScaleDomain,
    Scope,
    StartDomain,
    StopDomain,
)

DEFINED = (
    "name",
    "instance_name",
    "cpu_cores",
    "cpu_mhz",
    "memory_mib",
    "cpu_held_mhz",
    "memory_held_mib",
    "iso",
    "user_data_sha256",
    "ssh_keys",
    "details",
    "rules",
)
"""What a guest is defined with: anew with each start."""
DEFINE = f"""
    INSERT INTO domain (vm, host, {", ".join(DEFINED)}, power, boots)
    VALUES (?, ?, {", ".join("?" for _ in DEFINED)}, 'On', 1)
    ON CONFLICT (vm, host) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in DEFINED)},
        power = 'On', boots = boots + 1, reason = ''
"""  # noqa: S608 - made of the names above


def start_domain(db: sqlite3.Cursor, command: StartDomain) -> Outcome:
    """Define the guest, with all that is plugged into it, and run it; one that runs there is left alone."""
    guests = guests_of(db, command.vm_id)
    there = guests.get(command.at)
    if there == Power.ON:
        return DONE
    if there == Power.PAUSED:
        return refused(Scope.VM, f"VM {command.vm_id} is halted on host {command.at}; stop it there first")
    if refusal := elsewhere(command.vm_id, command.at, guests) or _cannot_start(db, command):
        return refusal
    db.execute(DEFINE, (command.vm_id, command.at, *_definition(command)))
    if there is not None:
        _unplug(db, command)
    for nic in command.nics:
        put_nic(db, (command.vm_id, command.at), nic)
    for volume in command.volumes:
        put_volume(db, (command.vm_id, command.at), volume)
    return DONE


def _cannot_start(db: sqlite3.Cursor, command: StartDomain) -> Refused | None:
    return (
        no_room(db, command.at, command.cpu_held_mhz, command.memory_held_mib)
        or unready(db, command.at, map(on_host, command.nics))
        or missing(db, map(in_pool, command.volumes))
    )


def _definition(command: StartDomain) -> tuple[Any, ...]:
    """The values of `DEFINED`. JSON goes as text: for bytes, sqlite3 looks for an adapter each time."""
    return (
        command.name,
        command.instance_name,
        command.cpu_cores,
        command.cpu_mhz,
        command.memory_mib,
        command.cpu_held_mhz,
        command.memory_held_mib,
        command.iso,
        None if command.user_data is None else hashlib.sha256(command.user_data.encode()).hexdigest(),
        msgspec.json.encode(command.ssh_keys).decode(),
        msgspec.json.encode(command.details).decode(),
        msgspec.json.encode(command.rules).decode(),
    )


def _unplug(db: sqlite3.Cursor, command: StartDomain) -> None:
    """Forget what was plugged into the guest that was defined there before."""
    guest = (command.vm_id, command.at)
    db.execute("DELETE FROM plugged_nic WHERE vm = ? AND host = ?", guest)
    db.execute("DELETE FROM plugged_volume WHERE vm = ? AND host = ?", guest)


def stop_domain(db: sqlite3.Cursor, command: StopDomain) -> Outcome:
    """Remove the guest from this host; its volumes and the NICs that are ready stay."""
    if command.unless_up and power_on(db, command.vm_id, command.at) not in (None, Power.OFF):
        return refused(
            Scope.VM, f"VM {command.vm_id} runs on host {command.at}, and is only to be removed if it does not"
        )
    db.execute("DELETE FROM domain WHERE vm = ? AND host = ?", (command.vm_id, command.at))
    return DONE


def look_for_domain(db: sqlite3.Cursor, command: LookForDomain) -> Outcome:
    """Say what there is."""
    row = db.execute(
        "SELECT power, reason FROM domain WHERE vm = ? AND host = ?", (command.vm_id, command.at)
    ).fetchone()
    if row is None:
        return Done(found=reports.Found(reports.Power.ABSENT))
    power, reason = row
    return Done(found=reports.Found(reports.Power(power.lower()), reason))


def quarantine_domain(db: sqlite3.Cursor, command: QuarantineDomain) -> Outcome:
    """Halt it; it keeps what it holds of the host."""
    db.execute(
        "UPDATE domain SET power = ? WHERE vm = ? AND host = ? AND power = ?",
        (Power.PAUSED, command.vm_id, command.at, Power.ON),
    )
    return DONE


def reboot_domain(db: sqlite3.Cursor, command: RebootDomain) -> Outcome:
    """Restart the guest where it runs."""
    if refusal := not_running(db, command.vm_id, command.at):
        return refusal
    db.execute("UPDATE domain SET boots = boots + 1 WHERE vm = ? AND host = ?", (command.vm_id, command.at))
    return DONE


def migrate_domain(db: sqlite3.Cursor, command: MigrateDomain) -> Outcome:
    """Move the guest as it runs, with all that is plugged into it. The source host holds nothing of it afterwards."""
    if power_on(db, command.vm_id, command.to_host) == Power.ON:
        return DONE
    if refusal := not_running(db, command.vm_id, command.at) or _cannot_arrive(db, command):
        return refusal
    db.execute(
        "UPDATE domain SET host = ?, cpu_held_mhz = ?, memory_held_mib = ? WHERE vm = ? AND host = ?",
        (command.to_host, command.cpu_held_mhz, command.memory_held_mib, command.vm_id, command.at),
    )
    return DONE


def _cannot_arrive(db: sqlite3.Cursor, command: MigrateDomain) -> Refused | None:
    nics = "SELECT nic, ip, ip6, mac FROM plugged_nic WHERE vm = ? AND host = ? ORDER BY device, nic"
    volumes = "SELECT volume, pool FROM plugged_volume WHERE vm = ? AND host = ? ORDER BY device, volume"
    guest = (command.vm_id, command.at)
    return (
        elsewhere(*guest, guests_of(db, command.vm_id))
        or no_room(db, command.to_host, command.cpu_held_mhz, command.memory_held_mib)
        or unready(db, command.to_host, db.execute(nics, guest).fetchall())
        or missing(db, db.execute(volumes, guest).fetchall())
    )


def scale_domain(db: sqlite3.Cursor, command: ScaleDomain) -> Outcome:
    """Give the guest another size as it runs; the host must have room for what it holds more."""
    if refusal := not_running(db, command.vm_id, command.at) or _no_room_to_grow(db, command):
        return refusal
    size = (command.cpu_cores, command.cpu_mhz, command.memory_mib, command.cpu_held_mhz, command.memory_held_mib)
    db.execute(
        """
        UPDATE domain SET cpu_cores = ?, cpu_mhz = ?, memory_mib = ?, cpu_held_mhz = ?, memory_held_mib = ?
        WHERE vm = ? AND host = ?
        """,
        (*size, command.vm_id, command.at),
    )
    return DONE


def _no_room_to_grow(db: sqlite3.Cursor, command: ScaleDomain) -> Refused | None:
    cpu, memory = db.execute(
        "SELECT cpu_held_mhz, memory_held_mib FROM domain WHERE vm = ? AND host = ?", (command.vm_id, command.at)
    ).fetchone()
    return no_room(db, command.at, command.cpu_held_mhz - cpu, command.memory_held_mib - memory)
