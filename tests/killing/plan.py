"""What a round does, all of it from one number: the faults, the latency, what is asked, and when who dies.

A moment is named by what a process has done by then ("when 17 effects have begun, and 3 ms later"), so that the same
number gives nearly the same round on a slow machine as on a fast one; which of two tasks was faster stays chance.
Moments are spread over the whole life of a process by choosing the stage first.
"""

from __future__ import annotations

from random import Random

import msgspec

from interlock.drivers.simulator import Fault, FaultKind
from tests.killing.diary import Kind, Stage

IN_FLIGHT = 30
"""Operations that are in flight when a process counts as working."""
AT_ONCE = 40
"""Operations that it tries to keep in flight: while one is asked for, or looked at, it is not."""
ASKS, FEW_ASKS = 150, 40
"""Requests that it has accepted before it ends: more than it lives to see, but where it is to be killed at its end."""

FORWARD = ("StartDomain", "CreateVolume", "MigrateDomain", "RebootDomain", "PrepareNic", "ResizeVolume", "PlugNic")
"""Commands that may be refused for good: few undos send them. Where one does, that is Stuck, and counted."""
ANY_TIME = (
    *FORWARD,
    "StopDomain",
    "ReleaseNic",
    "DeleteVolume",
    "ScaleDomain",
    "UnplugNic",
    "PlugVolume",
    "ApplyRules",
)


class Moment(msgspec.Struct, frozen=True):
    """When a process is struck: in a stage, once `count` marks of a kind have come since it began, and a bit later."""

    stage: Stage
    kind: Kind = Kind.STAGE
    count: int = 0
    later: float = 0.0
    """Seconds."""

    def __str__(self) -> str:
        return f"{self.stage} + {self.count} {self.kind} + {self.later * 1000:.0f} ms"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One round."""

    seed: int
    fresh: bool
    """It begins with no database at all."""
    latency: float
    jitter: float
    faults: tuple[Fault, ...]
    deaths: tuple[Moment, ...]
    """When the first process is struck, its successor, …; the last one is not."""
    pause: Moment
    """When the other process is paused, where there are two."""
    outages: tuple[float, ...]
    """Where the server is struck: seconds after what is awaited, one for each time."""
    down: float
    """Seconds that it stays away."""

    @property
    def asks(self) -> int:
        """Requests that the first process is to have accepted."""
        return FEW_ASKS if self.fresh or self.deaths[0].stage is Stage.CLOSING else ASKS


def plan(seed: int) -> Plan:
    """The round of this number."""
    draw = Random(f"crash round {seed}")
    fresh = draw.random() < 0.08
    first = _making(draw) if fresh else _first(draw)
    again = tuple(_again(draw) for _ in range(draw.choice((0, 0, 1, 1, 2))))
    return Plan(
        seed=seed,
        fresh=fresh,
        latency=draw.choice((0.03, 0.08, 0.15)),
        jitter=draw.choice((0.02, 0.1)),
        faults=tuple(_fault(draw) for _ in range(draw.choice((0, 1, 2, 4, 6)))),
        deaths=(first, *again),
        pause=_pause(draw),
        outages=tuple(draw.uniform(0.0, 0.15) for _ in range(draw.choice((1, 1, 2)))),
        down=draw.uniform(0.0, 0.3),
    )


def _making(draw: Random) -> Moment:
    return Moment(Stage.MAKING, later=draw.uniform(0.0, 0.25))


def _first(draw: Random) -> Moment:
    kind = draw.choices(("opening", "asking", "working", "closing"), (10, 25, 53, 12))[0]
    return {"opening": _opening, "asking": _asking, "working": _working, "closing": _closing}[kind](draw)


def _opening(draw: Random) -> Moment:
    return Moment(Stage.OPENING, later=draw.uniform(0.0, 0.06))


def _asking(draw: Random) -> Moment:
    # By what is asked, not by what is answered: then a batch of answers may just be on its way.
    kind = draw.choice((Kind.ASKED, Kind.ACKED, Kind.COMMIT, Kind.COMMITTED))
    most = 4 if kind in (Kind.COMMIT, Kind.COMMITTED) else IN_FLIGHT - 1
    return Moment(Stage.ASKING, kind, draw.randint(0, most), draw.uniform(0.0, 0.005))


def _working(draw: Random) -> Moment:
    kind, most = draw.choice(((Kind.EFFECT, 90), (Kind.EFFECTED, 60), (Kind.COMMIT, 40), (Kind.COMMITTED, 40)))
    return Moment(Stage.WORKING, kind, draw.randint(0, most), draw.uniform(0.0, 0.005))


def _closing(draw: Random) -> Moment:
    return Moment(Stage.CLOSING, later=draw.uniform(0.0, 0.03))


def _again(draw: Random) -> Moment:
    """A successor dies too: while it opens, or while it carries on with what it found."""
    if draw.random() < 0.3:
        return _opening(draw)
    kind, most = draw.choice(((Kind.EFFECT, 40), (Kind.EFFECTED, 30), (Kind.COMMIT, 15), (Kind.COMMITTED, 15)))
    return Moment(Stage.RECOVERING, kind, draw.randint(0, most), draw.uniform(0.0, 0.005))


def _pause(draw: Random) -> Moment:
    """A paused process mostly has been told that all its requests are durable, so that nothing of it may come later."""
    if draw.random() < 0.25:
        return _asking(draw)
    return Moment(Stage.WORKING, draw.choice((Kind.EFFECT, Kind.COMMIT)), draw.randint(0, 15), draw.uniform(0.0, 0.01))


def _fault(draw: Random) -> Fault:
    kind = draw.choice(list(FaultKind))
    lasting = kind in (FaultKind.REFUSE, FaultKind.REFUSE_VM, FaultKind.OUT_OF_SPACE)
    command = draw.choice(FORWARD if lasting else ANY_TIME)
    return Fault(
        kind=kind,
        command="CreateVolume" if kind is FaultKind.OUT_OF_SPACE else command,
        times=1 if lasting or kind is FaultKind.HANG else draw.randint(1, 3),
        seconds=draw.uniform(0.0, 0.2) if kind is FaultKind.LATE else 0.0,
    )
