"""Time and fresh ids: the only place that reads the clock and chance for the engine."""

from __future__ import annotations

import secrets
import time

from uuid_utils import uuid7


def now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def chance() -> int:
    """A large number that no other engine has."""
    return 1 + secrets.randbits(40)


def fresh_ids(count: int) -> tuple[str, ...]:
    """Ids nobody else has, rising with time."""
    return tuple(str(uuid7()) for _ in range(count))


def is_id(text: str) -> bool:
    """Whether it has the form of such an id. No VM or disk can be named so: names begin with a letter."""
    return len(text) == 36 and text[0].isdigit() and text.count("-") == 4
