"""The time axis of a picture: where a moment stands, and which moments are written below it.

Long idle times would leave no room for what happened between them: those that are named are broken out, and stand as
one narrow piece each, whatever their length. Ticks are round times of the reader's own clock. Pure; the width is in
pixels or in characters, whatever is drawn with it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

SECOND = 1_000_000
DAY = 86_400 * SECOND
STEPS = (
    *(unit * part for unit in (1_000, 10_000, 100_000) for part in (1, 2, 5)),
    *(seconds * SECOND for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)),
    *(hours * 3600 * SECOND for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 7, 14, 28, 56, 112, 364, 728, 1820, 3640)),
)
"""Distances of ticks, µs."""
BREAK = 0.067
"""The part of the width that an idle time gets. Too low: nobody sees it; too high: nothing is left for the rest."""
BREAKS = 6
"""Idle times that are broken out; the longest ones."""
LONG = 0.25
"""Of all that is not idle: a shorter idle time is drawn as it is."""
UNITS = ((DAY, "d"), (3600 * SECOND, "h"), (60 * SECOND, "min"), (SECOND, "s"), (1_000, "ms"))


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time and where it stands; an idle one is broken out."""

    begin: int
    end: int
    left: float
    right: float
    idle: bool

    def at(self, moment: int) -> float:
        """Where a moment of it stands."""
        if self.end <= self.begin:
            return self.left
        share = (min(max(moment, self.begin), self.end) - self.begin) / (self.end - self.begin)
        return self.left + share * (self.right - self.left)


@dataclass(frozen=True, slots=True)
class Axis:
    """From `pieces[0].begin` to `pieces[-1].end`."""

    pieces: tuple[Piece, ...]

    def x(self, moment: int) -> float:
        """Where a moment stands; what is outside stands at the end."""
        number = bisect_right(self.pieces, moment, key=lambda piece: piece.begin) - 1
        return self.pieces[max(number, 0)].at(moment)

    @property
    def breaks(self) -> list[Piece]:
        """The idle times that are broken out."""
        return [piece for piece in self.pieces if piece.idle]


def axis(begin: int, end: int, width: float, idle: Iterable[tuple[int, int]] = (), share: float = BREAK) -> Axis:
    """An axis.

    Args:
        begin: µs since 1970.
        end: not before it.
        width: of the whole.
        idle: times, in order and apart, in which nothing happens.
        share: of the width, that each of them gets which is broken out.
    """
    broken = _broken(begin, end, idle)
    busy = max(end - begin - sum(after - before for before, after in broken), 1)
    room = width * (1 - share * len(broken))
    pieces: list[Piece] = []
    left, now = 0.0, begin
    for before, after in (*broken, (end, end)):
        right = left + room * (before - now) / busy
        pieces.append(Piece(now, before, left, right, idle=False))
        left, now = right, after
        if after > before:
            pieces.append(Piece(before, after, left, left + width * share, idle=True))
            left += width * share
    return Axis(tuple(piece for piece in pieces if piece.end > piece.begin) or (Piece(begin, end, 0.0, width, False),))


def _broken(begin: int, end: int, idle: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    inside = [(max(begin, before), min(end, after)) for before, after in idle if before < end and after > begin]
    busy = end - begin - sum(after - before for before, after in inside)
    long = [each for each in inside if each[1] - each[0] > LONG * busy]
    return sorted(sorted(long, key=lambda each: each[0] - each[1])[:BREAKS])


def ticks(whole: Axis, room: float, zone: tzinfo = UTC) -> list[tuple[float, str]]:
    """Where something is written below the axis, and what: a round time, or where a piece begins.

    Args:
        room: that a label takes; none is nearer to the next.
        zone: whose clock.
    """
    found: list[tuple[float, str]] = []
    for piece in whole.pieces:
        if piece.idle:
            continue
        for moment, step in _round(piece, room, zone):
            at = piece.at(moment)
            if not found or at - found[-1][0] >= room:
                found.append((at, _label(moment, step, zone)))
    return found


def _round(piece: Piece, room: float, zone: tzinfo) -> Iterator[tuple[int, int]]:
    """The round times of a piece, each with their distance; of one that is too short for any, its beginning."""
    span, wide = piece.end - piece.begin, piece.right - piece.left
    step = next((each for each in STEPS if wide and span / each * room <= wide), STEPS[-1])
    offset = int((local(piece.begin, zone).utcoffset() or timedelta()).total_seconds()) * SECOND
    first = -(-(piece.begin + offset) // step) * step - offset
    moments: Sequence[int] = range(first, piece.end + 1, step)
    # A piece with less than one tick says at least when it begins.
    yield from ((moment, step) for moment in moments) if moments else ((piece.begin, min(step, SECOND)),)


def local(moment: int, zone: tzinfo) -> datetime:
    """A moment on somebody's clock."""
    return datetime.fromtimestamp(moment // SECOND, zone).replace(microsecond=moment % SECOND)


def _label(moment: int, step: int, zone: tzinfo) -> str:
    at = local(moment, zone)
    if step >= DAY:
        return f"{at:%Y-%m-%d}"
    if step >= 60 * SECOND:
        return f"{at:%H:%M}"
    return f"{at:%H:%M:%S}" + (f".{at.microsecond // 1000:03}" if step < SECOND else "")


def about(time: int) -> str:
    """A time in its largest unit: `1.2 h`."""
    size, unit = next((each for each in UNITS if time >= each[0]), UNITS[-1])
    return f"{time / size:.3g} {unit}"
