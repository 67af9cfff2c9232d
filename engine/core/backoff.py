"""How long to wait before asking again: doubling, bounded, with jitter that follows from the operation's own id.

Jitter from the id instead of chance keeps replay exact and still spreads operations that failed together.
"""

from __future__ import annotations

import hashlib

from interlock.engine.core.snapshot import Policy

SECOND = 1_000_000
"""In the unit of all times here: microseconds."""
_DOUBLINGS = 60
"""More make no difference to any bound, and would not fit into a float some day."""


def wait(policy: Policy, operation_id: str, tries: int) -> int:
    """Microseconds to wait after the `tries`-th failure: between half and all of the doubled backoff."""
    return doubled(policy.backoff, policy.backoff_most, operation_id, tries)


def doubled(first: float, most: float, seed: str, times: int) -> int:
    """Microseconds to wait the `times`-th time: between half and all of `first` seconds doubled so often, or `most`."""
    longest = min(first * 2 ** min(times - 1, _DOUBLINGS), most) * SECOND
    digest = hashlib.blake2b(f"{seed}/{times}".encode(), digest_size=2).digest()
    share = int.from_bytes(digest, "big") / 0xFFFF
    return int(longest * (0.5 + share / 2))
