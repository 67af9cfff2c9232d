"""The fleet over time as SVG: VMs by state as stacked areas, failed operations, how full hosts are as rows of cells.

The size of the picture follows from the number of pieces of time (`interlock/replay/census.py`) and of hosts shown,
never from the length of the journal. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from itertools import groupby

from interlock.pictures.axis import Axis, axis
from interlock.pictures.ink import ADVANCE, SMALL, data, number, text
from interlock.pictures.sheet import (
    FOOT,
    HEAD,
    MARGIN,
    PATTERNS,
    RULE,
    WIDTH,
    between,
    clean,
    cut,
    legend,
    muted,
    sheet,
    time_axis,
    tip,
)
from interlock.replay.census import Picture

AREA = 170.0
"""Height of the states."""
ROW = 15.0
"""Height of a host."""
BARS = 34.0
"""Height of the failed operations."""
GAP = 26.0
HOSTS = 32
"""Hosts shown, the fullest ones. Too many: the picture is higher than a screen."""
LEFT = MARGIN + 22 * SMALL * ADVANCE
LEVELS = ("#f1f5f9", "#dbeafe", "#bfdbfe", "#93c5fd", "#60a5fa", "#3b82f6", "#2563eb", "#1d4ed8", "#1e3a8a", "#b91c1c")
"""Of how full a host is, by tenths; the last one has room for nothing."""
FULL = 0.95
FILLS = {
    "Running": "#4ade80",
    "Stopped": "#93c5fd",
    "Allocated": "#bfdbfe",
    "Destroyed": "#94a3b8",
    "Error": "#dc2626",
    "Unknown": "#c026d3",
    "Starting": "#facc15",
    "Stopping": "#fb923c",
    "Migrating": "#2dd4bf",
    "Restoring": "#a3e635",
    "Expunging": "#78716c",
}
OTHER = "#64748b"
LOWEST = ("Running", "Stopped", "Allocated", "Destroyed")
"""Stacked first, as most are in them: what needs somebody stands on top of them."""


def as_svg(picture: Picture, zone: tzinfo = UTC) -> str:
    """The picture, as one SVG document.

    Args:
        zone: on whose clock.
    """
    end = max(picture.end, picture.begin + picture.width * len(picture.states))
    whole = axis(picture.begin, end, WIDTH - MARGIN - LEFT)
    hosts = shown(picture.hosts)
    bars = HEAD + AREA + GAP
    rows = bars + BARS + GAP
    bottom = rows + ROW * (len(hosts) + 1)
    left_out = len(picture.hosts) - len(hosts)
    parts = [
        PATTERNS,
        *time_axis(whole, LEFT, HEAD - 4, bottom, zone),
        *_states(picture, whole),
        *_failed(picture, whole, bars),
        *_hosts({"all hosts": picture.all_hosts, **hosts}, picture, whole, rows),
        *legend((MARGIN, bottom + FOOT + 14), _key(picture)),
    ]
    more = f"; the {len(hosts)} fullest of {len(picture.hosts)} hosts" if left_out > 0 else ""
    below = f"{between(picture.begin, picture.end, zone)}, {picture.rows} transitions{more}"
    return sheet(picture.title, below, bottom + FOOT + 60, parts, fleet=picture.title)


def shown(hosts: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """The hosts that were fullest, in the order of their names."""
    fullest = sorted(hosts, key=lambda host: (-sum(hosts[host]), host))[:HOSTS]
    return {host: hosts[host] for host in sorted(fullest)}


def stacked(names: Sequence[str]) -> list[str]:
    """From the ground up."""
    return sorted(names, key=lambda state: (state not in LOWEST, LOWEST.index(state) if state in LOWEST else 0))


def _x(picture: Picture, whole: Axis, piece: int) -> float:
    return LEFT + whole.x(picture.begin + piece * picture.width)


def _states(picture: Picture, whole: Axis) -> Iterator[str]:
    most, base = max(picture.most_vms, 1), HEAD + AREA
    for share in (0.5, 1.0):
        y = base - AREA * share
        yield f'<path d="M{number(LEFT)} {number(y)}H{number(WIDTH - MARGIN)}" stroke="{RULE}"/>'
        if most * share == int(most * share):
            yield muted((LEFT - 6, y + 4), str(int(most * share)), ' text-anchor="end"')
    yield text((MARGIN, HEAD + 12), SMALL, "VMs by state")
    below = [0] * len(picture.states)
    for name in stacked(picture.names):
        above = [low + each.get(name, 0) for low, each in zip(below, picture.states, strict=True)]
        yield _area(picture, whole, (below, above), (name, base, AREA / most))
        below = above


def _area(picture: Picture, whole: Axis, bounds: tuple[list[int], list[int]], drawn: tuple[str, float, float]) -> str:
    """One state's area: steps, for a count holds for the whole piece."""
    (low, high), (name, base, unit) = bounds, drawn
    top = _steps(picture, whole, high, base, unit)
    back = _steps(picture, whole, low, base, unit)
    path = "L".join(f"{number(x)} {number(y)}" for x, y in (*top, *reversed(back)))
    most = max(after - before for before, after in zip(low, high, strict=True))
    words = f"{name}: at most {most}, at the end {high[-1] - low[-1]}"
    return f'<path d="M{path}Z" fill="{FILLS.get(name, OTHER)}"{data(state=clean(name))}>{tip(words)}</path>'


def _steps(picture: Picture, whole: Axis, counts: Sequence[int], base: float, unit: float) -> list[tuple[float, float]]:
    corners, piece = [], 0
    for count, same in groupby(counts):
        begins, piece = piece, piece + len(list(same))
        y = base - unit * count
        corners += [(_x(picture, whole, begins), y), (_x(picture, whole, piece), y)]
    return corners


def _failed(picture: Picture, whole: Axis, top: float) -> Iterator[str]:
    most = max(picture.failed, default=0)
    yield text((MARGIN, top + 12), SMALL, "failed or Stuck")
    yield muted((MARGIN, top + 26), f"{sum(picture.failed)} times")
    base = top + BARS
    yield f'<path d="M{number(LEFT)} {number(base)}H{number(WIDTH - MARGIN)}" stroke="{RULE}"/>'
    path = ""
    for piece, count in enumerate(picture.failed):
        if count:
            left, right = _x(picture, whole, piece), _x(picture, whole, piece + 1)
            high = number(max(BARS * count / most, 2.0))
            path += f"M{number(left)} {number(base)}v-{high}H{number(max(right, left + 1.5))}v{high}z"
    if path:
        yield f'<path d="{path}" fill="#b91c1c">{tip(f"at most {most} in one piece of time")}</path>'


def _hosts(rows: Mapping[str, Sequence[float]], picture: Picture, whole: Axis, top: float) -> Iterator[str]:
    """A row for each; cells of one level are one path, so that the picture stays small."""
    levels: dict[int, list[str]] = {}
    for row, (host, shares) in enumerate(rows.items()):
        y, piece = top + row * ROW, 0
        yield text((MARGIN, y + 11), SMALL, clean(cut(host, 15)))
        yield muted((LEFT - 6, y + 11), f"{shares[-1]:.0%}", ' text-anchor="end"')
        for level, same in groupby(map(level_of, shares)):
            begins, piece = piece, piece + len(list(same))
            left, right = _x(picture, whole, begins), _x(picture, whole, piece)
            levels.setdefault(level, []).append(
                f"M{number(left)} {number(y)}H{number(right)}v{ROW - 2:g}H{number(left)}z"
            )
    for level, cells in sorted(levels.items()):
        yield f'<path d="{"".join(cells)}" fill="{LEVELS[level]}">{tip(_said(level))}</path>'


def level_of(share: float) -> int:
    """Which of `LEVELS` a share is."""
    if share >= FULL:
        return len(LEVELS) - 1
    return max(0, min(int(share * 10 + 0.999), len(LEVELS) - 2))


def _said(level: int) -> str:
    if level == len(LEVELS) - 1:
        return f"memory: {FULL:.0%} held or more"
    return f"memory: up to {min(level * 10, 95)}% held" if level else "memory: nothing held"


def _key(picture: Picture) -> list[tuple[str, str]]:
    def square(fill: str) -> str:
        return f'<rect x="-7" y="-6" width="14" height="12" fill="{fill}" stroke="{RULE}"/>'

    states = [(square(FILLS.get(name, OTHER)), clean(name)) for name in stacked(picture.names)]
    fills = [(square(LEVELS[level]), f"{level * 10}%") for level in (0, 3, 6, 8)]
    full = (square(LEVELS[-1]), f"{FULL:.0%} of a host's memory held, or more")
    return [*states, *fills, full]
