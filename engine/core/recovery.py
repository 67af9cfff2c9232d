"""Which operations an engine takes over, which it leaves alone, and when it looks again.

    driven here already                                left
    its drive broke off here, its wait is not over     left until then
    nobody's: no worker, or one whose row is gone      taken
    its worker's lease ran out, or it is known dead    taken
    its worker lives                                   left until the lease ends

Promises: what is left is looked at again at the time that is given; with nothing left there is no such time. Taking is
only an intention: of several engines that come to the same answer one wins the commit, and the others leave it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import msgspec

from interlock.engine.core.backoff import doubled

STRANDED, STRANDED_MOST = 5.0, 300.0
"""Seconds after which an operation whose drive broke off is looked for; doubled each time it breaks off again, up to
the second. Too low: a defect or a sick store is asked for the same without end; too high: it waits when all is well."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that a worker should be driving."""

    operation_id: str
    worker_id: str | None
    """None: no worker, or one that has given up its lease."""
    lease_until: int
    """µs since 1970; without worker it says nothing."""


class Takeover(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    take: tuple[str, ...]
    """Operations, in the order in which they stood."""
    look_at: int | None
    """When to look again, µs since 1970; None: nothing was left."""


def take_over(
    standing: Iterable[Standing],
    at: int,
    *,
    driven: Container[str],
    dead: Container[str],
    resting: Mapping[str, int],
) -> Takeover:
    """What to take over.

    Args:
        standing: the operations that somebody should be driving.
        at: now, µs since 1970.
        driven: the operations that are driven here.
        dead: the workers that are known to be gone, whatever their lease says; our own is among them, for what it
            should be driving and does not was left by a trouble.
        resting: of operations whose drive broke off here, until when they are left alone.
    """
    take: list[str] = []
    later: list[int] = []
    for each in standing:
        if each.operation_id in driven:
            continue
        until = max(resting.get(each.operation_id, at), _held_until(each, at, dead))
        if until > at:
            later.append(until)
        else:
            take.append(each.operation_id)
    return Takeover(take=tuple(take), look_at=min(later, default=None))


def _held_until(each: Standing, at: int, dead: Container[str]) -> int:
    return at if each.worker_id is None or each.worker_id in dead else each.lease_until


def rest_after(operation_id: str, times: int) -> int:
    """Microseconds to leave an operation alone whose drive has broken off here `times` times in a row."""
    return doubled(STRANDED, STRANDED_MOST, operation_id, times)
