"""The outside world: what happens to hosts and guests that no command asked for, and what hosts would report of it.

Each act is a job for the world's file, and returns what a driver would be told by the hypervisor: events in the order
in which they happen, none for what changed nothing. Acts know no fences and no tokens; nothing refuses them but that
there is no such guest (they return None).

A host that is lost does not hear commands; its guests run on, or died with it. When it is back after that it has
booted: its epoch rises, its guests are off, and no NIC is ready on it any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from interlock.drivers.simulator.world import Power
from interlock.schema import reports
from interlock.schema.commands import AnyCommand, AtPool, MigrateDomain
from interlock.schema.reports import GuestEvent, HostBack, HostLost, HostReport, Report

SECOND = 1_000_000
SILENT = "hang"
"""A host that is lost like this never answers; any other one refuses at once."""
SHUT_DOWN, CRASHED, HOST_DIED = "shut down from inside", "crashed", "its host died"

Told = list[Report]


def unreachable(db: sqlite3.Cursor, command: AnyCommand) -> str | None:
    """Why the command does not arrive: one of the hosts that it needs is lost. None if it does."""
    if isinstance(command, AtPool):
        return None
    hosts = (command.at, command.to_host) if isinstance(command, MigrateDomain) else (command.at,)
    for host in hosts:
        row = db.execute("SELECT lost FROM host WHERE id = ? AND lost IS NOT NULL", (host,)).fetchone()
        if row is not None:
            return SILENT if row[0] == SILENT else f"host {host} does not answer"
    return None


# Guests


def switch(db: sqlite3.Cursor, vm_id: str, power: Power, reason: str, now: float) -> Told | None:
    """The guest goes on or off by itself, wherever it is; one that is so already stays so."""
    hosts = _hosts_of(db, vm_id)
    if not hosts:
        return None
    told: Told = []
    for host, before in hosts:
        if before != power:
            db.execute(
                "UPDATE domain SET power = ?, reason = ? WHERE vm = ? AND host = ?", (power, reason, vm_id, host)
            )
            told.append(_event(db, host, vm_id, now))
    return told


def undefine(db: sqlite3.Cursor, vm_id: str, now: float) -> Told | None:
    """Somebody removes the guest, wherever it is; of a guest that forgets itself when it goes off, the same."""
    hosts = _hosts_of(db, vm_id)
    db.execute("DELETE FROM domain WHERE vm = ?", (vm_id,))
    return [_event(db, host, vm_id, now) for host, _ in hosts] or None


def move(db: sqlite3.Cursor, vm_id: str, to_host: str, now: float) -> Told | None:
    """Somebody moves the guest. The host that it leaves says so first."""
    hosts = [host for host, _ in _hosts_of(db, vm_id)]
    if not hosts:
        return None
    if to_host in hosts:
        return []
    db.execute("UPDATE domain SET host = ? WHERE vm = ? AND host = ?", (to_host, vm_id, hosts[0]))
    return [_event(db, host, vm_id, now) for host in (hosts[0], to_host)]


def appear(db: sqlite3.Cursor, vm_id: str, host: str, now: float) -> Told:
    """A guest runs that nobody here has started: a stranger, or the ghost of a VM. It holds nothing for certain."""
    db.execute(
        """
        INSERT INTO domain (vm, host, name, instance_name, cpu_cores, cpu_mhz, memory_mib, cpu_held_mhz,
            memory_held_mib, ssh_keys, details, rules, power, boots)
        VALUES (?, ?, ?, ?, 1, 0, 0, 0, 0, '[]', '{}', 'null', 'On', 1)
        ON CONFLICT (vm, host) DO UPDATE SET power = 'On', reason = ''
        """,
        (vm_id, host, vm_id, vm_id),
    )
    return [_event(db, host, vm_id, now)]


# Hosts


def lose(db: sqlite3.Cursor, host: str, *, dies: bool, silent: bool, now: float) -> Told | None:
    """The host is not heard any more."""
    row = db.execute("SELECT epoch, lost FROM host WHERE id = ?", (host,)).fetchone()
    if row is None:
        return None
    epoch, lost = row
    db.execute("UPDATE host SET lost = ? WHERE id = ?", (SILENT if silent else "refuse", host))
    if dies:
        db.execute("UPDATE domain SET power = 'Off', reason = ? WHERE host = ? AND power != 'Off'", (HOST_DIED, host))
        db.execute("DELETE FROM nic WHERE host = ?", (host,))
        db.execute("UPDATE host SET epoch = epoch + 1 WHERE id = ?", (host,))
    return [] if lost else [HostLost(host_id=host, epoch=epoch, observed_at=int(now * SECOND))]


def bring_back(db: sqlite3.Cursor, host: str, now: float) -> Told | None:
    """The host is heard again, and reports what it has."""
    row = db.execute("SELECT epoch, lost FROM host WHERE id = ?", (host,)).fetchone()
    if row is None:
        return None
    epoch, lost = row
    db.execute("UPDATE host SET lost = NULL WHERE id = ?", (host,))
    back = HostBack(host_id=host, epoch=epoch, observed_at=int(now * SECOND))
    return [back, *survey(db, [host], now)] if lost else []


def survey(db: sqlite3.Cursor, hosts: Collection[str], now: float) -> list[HostReport]:
    """What those of these hosts report that are not lost, by id."""
    epochs = {
        host: epoch
        for host, epoch in db.execute("SELECT id, epoch FROM host WHERE lost IS NULL ORDER BY id")
        if host in hosts
    }
    guests: dict[str, dict[str, reports.Power]] = {host: {} for host in epochs}
    for host, vm_id, power in db.execute("SELECT host, vm, power FROM domain ORDER BY host, vm"):
        if host in guests:
            guests[host][vm_id] = reports.Power(power.lower())
    at = int(now * SECOND)
    return [HostReport(host_id=host, epoch=epochs[host], observed_at=at, guests=guests[host]) for host in epochs]


def _hosts_of(db: sqlite3.Cursor, vm_id: str) -> list[tuple[str, str]]:
    return db.execute("SELECT host, power FROM domain WHERE vm = ? ORDER BY power = 'Off', host", (vm_id,)).fetchall()


def _event(db: sqlite3.Cursor, host: str, vm_id: str, now: float) -> GuestEvent:
    [epoch] = db.execute("SELECT coalesce(max(epoch), 1) FROM host WHERE id = ?", (host,)).fetchone()
    row = db.execute("SELECT power FROM domain WHERE vm = ? AND host = ?", (vm_id, host)).fetchone()
    power = reports.Power.ABSENT if row is None else reports.Power(row[0].lower())
    return GuestEvent(host_id=host, epoch=epoch, observed_at=int(now * SECOND), guest_id=vm_id, power=power)
