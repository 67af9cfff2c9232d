"""What a hypervisor may be unable to do, and which commands need it.

Which of them a simulator can is its own (`cannot` in its options), not the world's: two may differ on one file.

Promises: a command that needs what the hypervisor cannot is refused as permanent, about the VM, and nothing
happens. To unplug what is not plugged needs nothing: undoing what never was is Done everywhere.

Asked when a command arrives, before any fault takes its course: an effect that comes late was possible.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from interlock.drivers.simulator.answers import refused
from interlock.schema.commands import (
    AnyCommand,
    ApplyRules,
    Capability,
    Command,
    CreateVolume,
    MigrateDomain,
    PlugNic,
    PlugVolume,
    QuarantineDomain,
    Refused,
    ScaleDomain,
    Scope,
    StartDomain,
    UnplugNic,
    UnplugVolume,
)

ALL = frozenset(Capability)
NEEDS: Mapping[type[Command], Capability] = {
    CreateVolume: Capability.LINKED_CLONE,
    StartDomain: Capability.SECURITY_GROUPS,
    ApplyRules: Capability.SECURITY_GROUPS,
    MigrateDomain: Capability.LIVE_MIGRATION,
    ScaleDomain: Capability.LIVE_SCALE,
    PlugNic: Capability.HOT_PLUG,
    UnplugNic: Capability.HOT_PLUG,
    PlugVolume: Capability.HOT_PLUG,
    UnplugVolume: Capability.HOT_PLUG,
    QuarantineDomain: Capability.QUARANTINE,
}
"""All others need nothing special; of these, some only in the cases of `_is_special`."""


def incapable(db: sqlite3.Cursor, command: AnyCommand, capabilities: frozenset[Capability]) -> Refused | None:
    """The command needs a capability that is not among these."""
    needed = NEEDS.get(type(command))
    if needed is None or needed in capabilities or not _is_special(db, command):
        return None
    name = type(command).__name__
    return refused(
        Scope.VM, f"{name} needs {needed}, which this hypervisor cannot; leave it out, or choose one that can"
    )


def _is_special(db: sqlite3.Cursor, command: AnyCommand) -> bool:
    """Whether the command, of a kind that may need a capability, does need it."""
    match command:
        case CreateVolume():
            return command.volume.clone == "linked"
        case StartDomain():
            return command.rules is not None
        case UnplugNic():
            return _has(db, "SELECT 1 FROM plugged_nic WHERE vm = ? AND nic = ?", command.vm_id, command.nic_id)
        case UnplugVolume():
            return _has(
                db, "SELECT 1 FROM plugged_volume WHERE vm = ? AND volume = ?", command.vm_id, command.volume_id
            )
        case _:
            return True


def _has(db: sqlite3.Cursor, query: str, *key: str) -> bool:
    return db.execute(query, key).fetchone() is not None
