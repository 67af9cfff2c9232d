"""How long to wait before asking again: doubling, bounded, with jitter that follows from the operation's own id.

Jitter from the id instead of chance keeps replay exact and still spreads operations that failed together.
"""

from __future__ import annotations

import hashlib

from interlock.engine.core.snapshot import Policy

SECOND = 1_000_000
"""In the unit of all times here: microseconds."""


def wait(policy: Policy, operation_id: str, tries: int) -> int:
    """Microseconds to wait after the `tries`-th failure: between half and all of the doubled backoff."""
    longest = min(policy.backoff * 2 ** (tries - 1), policy.backoff_most) * SECOND
    digest = hashlib.blake2b(f"{operation_id}/{tries}".encode(), digest_size=2).digest()
    share = int.from_bytes(digest, "big") / 0xFFFF
    return int(longest * (0.5 + share / 2))
