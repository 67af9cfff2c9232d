"""Times and durations as people read them. Times are stored as microseconds since 1970 and shown in local time."""

from __future__ import annotations

import time
from datetime import datetime

SECOND = 1_000_000
_STEPS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def local(at: int) -> datetime:
    """The moment, in local time."""
    return datetime.fromtimestamp(at // SECOND).astimezone().replace(microsecond=at % SECOND)


def iso(at: int) -> str:
    """`2026-07-26T14:05:09.123+02:00`"""
    return local(at).isoformat(timespec="milliseconds")


def clock(at: int) -> str:
    """`14:05:09.123`"""
    return iso(at)[11:23]


def day(at: int) -> str:
    """`2026-07-26, UTC+02:00`"""
    return f"{iso(at)[:10]}, UTC{iso(at)[23:]}"


def duration(microseconds: int) -> str:
    """`0.4ms`, `24.5ms`, `1.23s`, `2m5s`, `3h20m`, `2d4h`: one word, so that `awk` can count columns."""
    if microseconds < SECOND:
        return f"{microseconds / 1000:.1f}ms"
    if microseconds < 60 * SECOND:
        return f"{microseconds / SECOND:.2f}s"
    return age(microseconds)


def age(microseconds: int) -> str:
    """The same in whole seconds, for what is not measured but just goes on."""
    seconds = microseconds // SECOND
    if seconds < 60:
        return f"{seconds}s"
    size, large, part, small = next(step for step in _STEPS if seconds >= step[0])
    return f"{seconds // size}{large}{seconds % size // part}{small}"


def microseconds_now() -> int:
    """The present moment, as times are stored."""
    return time.time_ns() // 1000
