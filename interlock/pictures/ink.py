"""The marks an SVG picture is made of: rectangles, texts and arrow heads, as strings; and how large text is.

Text is measured by counting: the fonts are monospaced, so a picture needs no font file to be laid out.
Colours keep apart from white and from dark pages; all text stands on a light ground of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

from interlock.pictures.layers import Size
from interlock.pictures.placing import Box, Line, Point
from interlock.pictures.words import COLOURS
from interlock.schema.machine import Stability

FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
ADVANCE = 0.605
"""The width of a character of these fonts, in ems."""
LARGE, SMALL = 14.0, 11.0
LEADING = 1.3

HUES = (
    "#2563eb",
    "#ea580c",
    "#059669",
    "#c026d3",
    "#0891b2",
    "#dc2626",
    "#65a30d",
    "#7c3aed",
    "#92613a",
    "#64748b",
    "#ec4899",
    "#8a7d00",
)
"""Of lines. Neighbours in this list are easy to tell apart."""
INK = "#0f172a"
GROUND = "#f8fafc"
MIDDLE = "#7c8798"
"""For the few marks that stand on the page itself."""


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def point(at: Point) -> str:
    """A coordinate pair of a path."""
    return f"{number(at[0])} {number(at[1])}"


def text_size(lines: Sequence[str], size: float) -> Size:
    """How much room stacked lines of text take."""
    width = max((len(line) for line in lines), default=0) * size * ADVANCE
    return Size(width, len(lines) * size * LEADING)


def text(at: Point, size: float, words: str, attributes: str = "") -> str:
    """One line of text; `at` is the left end of its base line, or its middle with `MIDDLED`."""
    x, y = number(at[0]), number(at[1])
    return f'<text x="{x}" y="{y}" font-size="{number(size)}" fill="{INK}"{attributes}>{escape(words)}</text>'


MIDDLED = ' text-anchor="middle"'
BOLD = ' font-weight="bold"'


def data(**values: str) -> str:
    """Attributes for programs that read the picture: `data(source="A")` gives ` data-source="A"`."""
    return "".join(f" data-{name}={quoteattr(value)}" for name, value in values.items())


def rectangle(box: Box, style: str) -> str:
    """A box as placed, in a style."""
    return (
        f'<rect x="{number(box.x - box.width / 2)}" y="{number(box.y - box.height / 2)}" '
        f'width="{number(box.width)}" height="{number(box.height)}" {style}/>'
    )


def label_style(hue: str) -> str:
    """Of the ground that the events of an arrow stand on."""
    return f'rx="3" fill="{GROUND}" stroke="{hue}" stroke-width="0.8"'


def state_style(stability: Stability, hue: str) -> str:
    """Of a state's box: the class shows in the filling and in the border, for those who see no colours."""
    dashes = ' stroke-dasharray="6 3"' if stability is Stability.TRANSITIONAL else ""
    width = "4" if stability is Stability.TERMINAL else "2"
    return f'rx="8" fill="{COLOURS[stability]}" stroke="{hue}" stroke-width="{width}"{dashes}'


def heads(hues: Iterable[str]) -> str:
    """Arrow heads, one for each colour: markers do not take the colour of their line in every viewer."""
    markers = "".join(
        f'<marker id="head-{hue[1:]}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M 0 1 L 10 5 L 0 9 z" fill="{hue}"/></marker>\n'
        for hue in sorted(set(hues))
    )
    return f"<defs>\n{markers}</defs>"


def stroke(path: str, hue: str) -> str:
    """An arrow along a path."""
    return f'<path d="{path}" fill="none" stroke="{hue}" stroke-width="1.6" marker-end="url(#head-{hue[1:]})"/>'


def path(line: Line) -> str:
    """The straight pieces of a line, joined by curves that leave and arrive in their direction."""
    first, *others = line.pieces
    parts = [f"M {point(first.start)} L {point(first.end)}"]
    before = first
    for after in others:
        half = (after.start[1] - before.end[1]) / 2
        leaving = (before.end[0] + before.lean * half, before.end[1] + half)
        arriving = (after.start[0] - after.lean * half, after.start[1] - half)
        parts.append(f"C {point(leaving)} {point(arriving)} {point(after.start)} L {point(after.end)}")
        before = after
    return " ".join(parts)
