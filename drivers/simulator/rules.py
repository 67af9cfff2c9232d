"""Which rule carries out which command; what all rules promise, and when the world refuses.

The rules stand by what they are about: nics.py, volumes.py, guests.py, plugs.py. What they look at first is in
looks.py.

Promises: a rule looks first and writes last, so a refusal leaves nothing behind. Every rule but
RebootDomain's is idempotent by itself, also under another token.

What is refused as permanent, and the scope to avoid:

    at a host or pool that was never attached    its host or pool    (undoing there is Done: nothing is there)
    no room left                                 its host or pool    of a migration: the host it goes to
    a NIC is not ready on the host               the host            elsewhere it would be prepared again
    a volume is not in its pool                  the VM              no other place has the data
    the guest is defined on another host         the VM              one VM never has two guests
    a volume is there, but of another make       the VM
    a guest to reboot, migrate, scale or plug
    something into that does not run there       the VM
    rules for a guest that is not there          the VM
    a guest that runs, to be removed unless it
    does                                         the VM
    what this hypervisor cannot                  the VM              (capabilities.py, before any rule is asked)

Never looked at: whether a disk or NIC is in use when it is removed, whether a disk is plugged into two guests or a
device number taken twice, whether the host a guest goes to reaches its pools. A hypervisor does not know all of that
either, and a world that hides such an error of the engine would be a worse test than one that shows it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from interlock.drivers.simulator import guests, nics, plugs, volumes
from interlock.schema import commands
from interlock.schema.commands import AnyCommand, AtPool, Command, Outcome, Scope

RULES: Mapping[type[Command], Callable[[sqlite3.Cursor, Any], Outcome]] = {
    commands.PrepareNic: nics.prepare_nic,
    commands.ReleaseNic: nics.release_nic,
    commands.CreateVolume: volumes.create_volume,
    commands.DeleteVolume: volumes.delete_volume,
    commands.ResizeVolume: volumes.resize_volume,
    commands.StartDomain: guests.start_domain,
    commands.StopDomain: guests.stop_domain,
    commands.RebootDomain: guests.reboot_domain,
    commands.MigrateDomain: guests.migrate_domain,
    commands.ScaleDomain: guests.scale_domain,
    commands.PlugNic: plugs.plug_nic,
    commands.UnplugNic: plugs.unplug_nic,
    commands.PlugVolume: plugs.plug_volume,
    commands.UnplugVolume: plugs.unplug_volume,
    commands.ApplyRules: plugs.apply_rules,
    commands.LookForDomain: guests.look_for_domain,
    commands.QuarantineDomain: guests.quarantine_domain,
}


def carry_out(db: sqlite3.Cursor, command: AnyCommand) -> Outcome:
    """Do what the command says, or refuse."""
    return RULES[type(command)](db, command)


def place_of(command: AnyCommand) -> Scope:
    """What `command.at` is."""
    return Scope.POOL if isinstance(command, AtPool) else Scope.HOST
