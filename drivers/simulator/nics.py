"""The rules of NICs on hosts. Their refusals are listed in rules.py."""

from __future__ import annotations

import sqlite3

from interlock.drivers.simulator.answers import DONE
from interlock.drivers.simulator.looks import unknown_host
from interlock.schema.commands import Outcome, PrepareNic, ReleaseNic


def prepare_nic(db: sqlite3.Connection, command: PrepareNic) -> Outcome:
    """Make it ready; one that is ready already takes its new addresses."""
    if refusal := unknown_host(db, command.at):
        return refusal
    nic = command.nic
    db.execute(
        "INSERT OR REPLACE INTO nic (id, host, vm, ip, ip6, mac) VALUES (?, ?, ?, ?, ?, ?)",
        (nic.id, command.at, command.vm_id, nic.ip_address, nic.ip6_address, nic.mac_address),
    )
    return DONE


def release_nic(db: sqlite3.Connection, command: ReleaseNic) -> Outcome:
    """Forget it on this host; a guest that has it plugged keeps it, and the world shows so."""
    db.execute("DELETE FROM nic WHERE id = ? AND host = ?", (command.nic_id, command.at))
    return DONE
