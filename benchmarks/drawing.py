"""A curve as an SVG picture: sizes against figures, with its floors and what would be ideal.

What is measured is a line with points, and a bar from the least to the most of the rounds; floors and peers are dashed,
what is ideal is dotted and grey. The whole is a light ground of its own, so that a page may be dark. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from benchmarks.result import Curve, Line, Point
from interlock.pictures.ink import ADVANCE, BOLD, FONT, GROUND, HUES, LARGE, MIDDLED, SMALL, data, number, text
from interlock.pictures.sheet import RULE, muted

WIDTH, HEIGHT = 760.0, 400.0
LEFT, RIGHT, BOTTOM = 84.0, 28.0, 56.0
HEAD = 76.0
"""For the title, and the name of the upright axis below the legend."""
ROW = 18.0
"""Of the legend."""
TICKS = 6
"""At most so many labels on an axis that is not logarithmic, or a little more."""
DECADES = 3
"""A logarithmic axis of more decades than that has its labels at the powers of ten alone."""
APART = 44.0
"""Pixels between two labels. Too few: they run into each other."""
IDEAL = "#7c8798"
DASHES = {
    "measured": "",
    "floor": ' stroke-dasharray="7 4"',
    "peer": ' stroke-dasharray="12 3 3 3"',
    "ideal": ' stroke-dasharray="2 4"',
}


class Scale(NamedTuple):
    """Where values stand along an axis; pixels grow from `begin` to `end`."""

    least: float
    most: float
    begin: float
    end: float
    log: bool

    def at(self, value: float) -> float:
        """The pixel."""
        least, most, value = (math.log10(each) if self.log else each for each in (self.least, self.most, value))
        return self.begin + (value - least) / (most - least) * (self.end - self.begin)


def as_svg(curve: Curve) -> str:
    """The picture, as one SVG document.

    Raises:
        ValueError: the curve has no point, or one that is not over nought on a logarithmic axis.
    """
    legend = list(_legend(curve.lines))
    top, bottom = HEAD + ROW * len(legend), HEIGHT + ROW * len(legend) - BOTTOM
    points = [point for line in curve.lines for point in line.points]
    across = _scale([point.x for point in points], LEFT + ROW, WIDTH - RIGHT - ROW, curve.log_x)
    heights = [value for point in points for value in (point.y.least, point.y.most)]
    upright = _rounded(_scale(heights if curve.log_y else [0.0, *heights], bottom, top, curve.log_y))
    high = number(HEIGHT + ROW * len(legend))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(WIDTH)} {high}" width="{number(WIDTH)}" '
        f'height="{high}" role="img" aria-label={quoteattr(curve.title)} font-family={quoteattr(FONT)}'
        f"{data(curve=curve.name)}>"
    )
    parts = [
        head,
        f'<rect width="{number(WIDTH)}" height="{high}" rx="8" fill="{GROUND}"/>',
        text((20, 30), LARGE, curve.title, BOLD),
        *legend,
        muted((20, top - 12), curve.y),
        *_across(across, sorted({point.x for point in points}), top, bottom),
        *_upright(upright),
        muted(((LEFT + WIDTH - RIGHT) / 2, bottom + 40), curve.x, MIDDLED),
    ]
    for line, hue in _hues(curve.lines):
        parts += _drawn(line, hue, across, upright)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _scale(values: Sequence[float], begin: float, end: float, log: bool) -> Scale:
    """An axis that has room for all of them."""
    least, most = min(values), max(values)
    if log and least <= 0:
        raise ValueError(f"{least} cannot stand on a logarithmic axis")
    if most == least:
        most = least * 2 if log else least + 1
    return Scale(least, most, begin, end, log)


def _rounded(scale: Scale) -> Scale:
    """The same with a tick at each end."""
    if scale.log:
        return scale._replace(
            least=10 ** math.floor(math.log10(scale.least)), most=10 ** math.ceil(math.log10(scale.most))
        )
    step = _step(scale)
    return scale._replace(least=math.floor(scale.least / step) * step, most=math.ceil(scale.most / step) * step)


def ticks(scale: Scale) -> list[float]:
    """Round values along an axis: 1, 2, 5 times a power of ten, or such powers alone where they are many."""
    if scale.log:
        return _decades(scale)
    step = _step(scale)
    first = math.ceil(scale.least / step - 0.001)
    return [number * step for number in range(first, math.floor(scale.most / step + 0.001) + 1)]


def _step(scale: Scale) -> float:
    wide = (scale.most - scale.least) / TICKS
    power = 10.0 ** math.floor(math.log10(wide))
    return next(power * part for part in (1, 2, 5, 10) if power * part >= wide * 0.999)


def _decades(scale: Scale) -> list[float]:
    low, high = math.floor(math.log10(scale.least)), math.ceil(math.log10(scale.most))
    parts = (1, 2, 5) if high - low <= DECADES else (1,)
    found = [part * 10.0**power for power in range(low, high + 1) for part in parts]
    return [value for value in found if scale.least * 0.999 <= value <= scale.most * 1.001]


def label(value: float) -> str:
    """A tick's value: `250`, `20k`, `1M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):g}{unit}"
    return f"{value:,g}" if value < 1e4 else f"{value:g}"


def _across(scale: Scale, sizes: Sequence[float], top: float, bottom: float) -> Iterator[str]:
    """The sizes that were measured, when there is room for their labels; else round values."""
    apart = min((scale.at(after) - scale.at(before) for before, after in pairwise(sizes)), default=APART)
    for value in sizes if apart >= APART else ticks(scale):
        x = scale.at(value)
        yield f'<path d="M{number(x)} {number(top)}V{number(bottom + 4)}" stroke="{RULE}"/>'
        yield muted((x, bottom + 19), label(value), MIDDLED)


def _upright(scale: Scale) -> Iterator[str]:
    for value in ticks(scale):
        y = scale.at(value)
        yield f'<path d="M{number(LEFT - 4)} {number(y)}H{number(WIDTH - RIGHT)}" stroke="{RULE}"/>'
        yield muted((LEFT - 10, y + 4), label(value), ' text-anchor="end"')


def _hues(lines: Sequence[Line]) -> list[tuple[Line, str]]:
    hues = iter(HUES * len(lines))
    return [(line, IDEAL if line.kind == "ideal" else next(hues)) for line in lines]


def _legend(lines: Sequence[Line]) -> Iterator[str]:
    """A row for each line, so that no name is too long."""
    for row, (line, hue) in enumerate(_hues(lines)):
        y = 52 + ROW * row
        sign = f'<path d="M20 {number(y - 4)}h34" stroke="{hue}" stroke-width="2"{DASHES[line.kind]}/>'
        words = f"{line.name} ({line.kind})" if line.kind != "measured" else line.name
        most = int((WIDTH - 80) / (SMALL * ADVANCE))
        yield sign + text((62, y), SMALL, words[:most])


def _drawn(line: Line, hue: str, across: Scale, upright: Scale) -> Iterator[str]:
    points = [(across.at(point.x), upright.at(point.y.median)) for point in line.points]
    path = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    values = data(line=line.name, kind=line.kind)
    yield f'<path d="M{path}" fill="none" stroke="{hue}" stroke-width="2"{DASHES[line.kind]}{values}/>'
    if line.kind != "ideal":
        for point, (x, y) in zip(line.points, points, strict=True):
            yield _mark(point, hue, x, y, upright)


def _mark(point: Point, hue: str, x: float, y: float, upright: Scale) -> str:
    low, high = (number(upright.at(value)) for value in (point.y.least, point.y.most))
    bar = f'<path d="M{number(x)} {low}V{high}" stroke="{hue}" stroke-width="1.4"/>' if low != high else ""
    values = data(x=f"{point.x:.12g}", y=f"{point.y.median:.6g}")
    return f'{bar}<circle cx="{number(x)}" cy="{number(y)}" r="3.4" fill="{hue}"{values}/>'
