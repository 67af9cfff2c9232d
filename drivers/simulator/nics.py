"""The rules of NICs on hosts. Their refusals are listed in rules.py."""

from __future__ import annotations

import sqlite3

from interlock.drivers.simulator.answers import DONE
from interlock.drivers.simulator.looks import no_host
from interlock.schema.commands import Outcome, PrepareNic, ReleaseNic

PREPARE = """
    INSERT OR REPLACE INTO nic (id, host, vm, ip, ip6, mac) SELECT ?, id, ?, ?, ?, ? FROM host WHERE id = ?
"""


def prepare_nic(db: sqlite3.Cursor, command: PrepareNic) -> Outcome:
    """Make it ready; one that is ready already takes its new addresses."""
    nic = command.nic
    made = db.execute(PREPARE, (nic.id, command.vm_id, nic.ip_address, nic.ip6_address, nic.mac_address, command.at))
    return DONE if made.rowcount else no_host(command.at)


def release_nic(db: sqlite3.Cursor, command: ReleaseNic) -> Outcome:
    """Forget it on this host; a guest that has it plugged keeps it, and the world shows so."""
    db.execute("DELETE FROM nic WHERE id = ? AND host = ?", (command.nic_id, command.at))
    return DONE
