"""The two answers that rules give: it is so, or nothing happened and asking again is pointless.

Transient and unknown refusals are no rule's: only ordered faults (faults.py) give them.
"""

from __future__ import annotations

from interlock.schema.commands import Done, Refusal, Refused, Scope

DONE = Done()


def refused(scope: Scope, reason: str) -> Refused:
    """Nothing happened, and asking again is pointless."""
    return Refused(kind=Refusal.PERMANENT, scope=scope, reason=reason)
