"""How full hosts are, before and after or here and there, as an SVG picture: a row a host, a bar a side.

The bar says how full the host is at the end, the mark behind it how full it was at most. Fleets of more than `NAMED`
hosts are drawn with thin rows, of which every tenth has its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from interlock.pictures.ink import BOLD, FONT, GROUND, HUES, INK, LARGE, LEADING, SMALL, data, number, text

MARGIN, GAP = 24.0, 28.0
BAR = 320.0
"""Pixels of a full host."""
NAMES = 150.0
NAMED = 60
THICK, THIN = 16.0, 5.0
"""Height of a row."""
LIGHT = "#e2e8f0"


class Side(NamedTuple):
    """One of the two of a host: shares of what it has."""

    share: float
    most: float


class Pair(NamedTuple):
    """A host on both sides."""

    host: str
    left: Side
    right: Side


def as_svg(title: str, remark: str, sides: tuple[str, str], pairs: Sequence[Pair]) -> str:
    """The picture, as one SVG document.

    Args:
        title: what it shows.
        remark: a line beneath.
        sides: the names of the two.
        pairs: the hosts, in order.
    """
    step = THICK if len(pairs) <= NAMED else THIN
    top = MARGIN + LARGE * LEADING + SMALL * LEADING * 2 + 10
    width = 2 * MARGIN + NAMES + 2 * BAR + GAP + 90
    height = top + step * len(pairs) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" role="img" aria-label={quoteattr(title)} '
        f"font-family={quoteattr(FONT)}>",
        f'<rect width="{number(width)}" height="{number(height)}" rx="8" fill="{GROUND}"/>',
        text((MARGIN, MARGIN + LARGE), LARGE, title, BOLD),
        text((MARGIN, MARGIN + LARGE * LEADING + SMALL), SMALL, remark),
        *(text((_left(side), top - 8), SMALL, name, BOLD) for side, name in enumerate(sides)),
    ]
    for row, pair in enumerate(pairs):
        parts += _row(pair, top + row * step, step, named=step == THICK or row % 10 == 0)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _left(side: int) -> float:
    return MARGIN + NAMES + side * (BAR + GAP + 45)


def _row(pair: Pair, y: float, step: float, *, named: bool) -> Iterable[str]:
    thick = step - (3 if step == THICK else 1)
    if named:
        yield text((MARGIN, y + SMALL), SMALL, pair.host)
    for side, (share, most) in enumerate((pair.left, pair.right)):
        x = _left(side)
        about = data(host=pair.host, side=str(side), share=f"{share:.4f}", most=f"{most:.4f}")
        yield _bar(x, y, BAR, thick, LIGHT)
        yield _bar(x, y, BAR * min(1.0, share), thick, HUES[side], about)
        if most > share:
            yield _bar(x + BAR * min(1.0, most) - 2, y, 2, thick, INK)
        if step == THICK:
            yield text((x + BAR + 6, y + SMALL), SMALL, f"{share:.0%}")


def _bar(x: float, y: float, width: float, height: float, hue: str, attributes: str = "") -> str:
    return (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}" '
        f'fill="{hue}"{attributes}/>'
    )
