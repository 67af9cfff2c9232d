"""What of VMs is counted as it changes, so that nobody has to count: how many are in a state, by zone and by account.

Counted are the states in which a VM stays. Those that every VM only passes through, on its way to where it stays, are
left out: as many are in them as operations are under way, whoever asks counts them by the index of states, and a deploy
does not pay for it (docs/decisions/0029-lists.md).

From this table derive: the triggers that keep `vm_tally` (`guards/rules.py`), the queries that read it, and the recount
of `doctor`.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.schema.machine import Stability
from interlock.schema.vm import VM

TALLIED_BY: Mapping[str, str] = {"zone": "zone_id", "account": "account_id"}
"""By what is counted, and the column that says it. A total is the sum over all zones: these are few."""
STAYS: tuple[str, ...] = tuple(
    name for name in (*VM.names(Stability.STABLE), *VM.names(Stability.TERMINAL)) if name != VM.initial
)
"""The states that are counted."""
PASSES: tuple[str, ...] = tuple(name for name in VM.states if name not in STAYS)
"""The states that are not."""
