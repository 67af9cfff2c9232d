"""What is counted as it changes, so that nobody has to count it: how many VMs and volumes are in a state, by zone and
by account.

Counted are the states in which something stays. Those that every VM only passes through, on its way to where it stays,
are left out: as many are in them as operations are under way, whoever asks counts them by the index of states, and a
deploy does not pay for it (docs/decisions/0029-lists.md).

From this table derive: the triggers that keep `tally` (`guards/rules.py`), the queries that read it, and the recount
of `doctor`.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.schema.machine import Machine, Stability
from interlock.schema.machines import MACHINES

SCOPES: Mapping[str, str] = {"zone": "zone_id", "account": "account_id"}
"""By what is counted, and the column that says it. A total is the sum over all zones: these are few."""


def _stays(machine: Machine) -> tuple[str, ...]:
    states = (*machine.names(Stability.STABLE), *machine.names(Stability.TERMINAL))
    return tuple(name for name in states if name != machine.initial)


TALLIED: Mapping[str, tuple[str, ...]] = {name: _stays(MACHINES[name]) for name in ("vm", "volume")}
"""Machine to the states that are counted."""
