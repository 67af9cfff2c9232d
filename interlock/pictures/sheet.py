"""What the pictures of a journal share: the sheet with its title, the time axis below, and the legend of a timeline.

The whole sheet is a light ground of its own, so that a page may be dark. Whatever came from a journal (names, causes)
is escaped here or in `ink`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from xml.sax.saxutils import escape, quoteattr

from interlock.pictures.axis import Axis, about, local, ticks
from interlock.pictures.ink import ADVANCE, BOLD, FONT, GROUND, INK, LARGE, MIDDLED, SMALL, number, text

WIDTH = 1200.0
"""Of a picture, in pixels."""
MARGIN = 20.0
HEAD = 68.0
"""For the title and the line below it."""
FOOT = 34.0
"""For what is written below the axis."""
RULE = "#cbd5e1"
MUTED = "#475569"
NAMES_MOST = 30
"""Characters of a lane's name. Too many: no room for the lane; too few: names cannot be told apart."""
LABEL = 12 * SMALL * ADVANCE + 16
"""Room of a label of the axis."""
UNPRINTABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535, *range(55296, 57344)), " ")
"""What XML does not allow, not even escaped."""


def clean(words: str) -> str:
    """Words that an XML document may have, once they are escaped."""
    return words.translate(UNPRINTABLE)


def cut(words: str, most: int) -> str:
    """Words, not longer than that."""
    return words if len(words) <= most else words[: most - 1] + "…"


def sheet(title: str, below: str, height: float, parts: Iterable[str], **named: str) -> str:
    """An SVG document.

    Args:
        title: of the picture.
        below: a line beneath it.
        height: of all, in pixels.
        parts: what is drawn.
        named: attributes for programs.
    """
    wide, high = number(WIDTH), number(height)
    data = "".join(f" data-{name}={quoteattr(clean(value))}" for name, value in named.items())
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        f'role="img" aria-label={quoteattr(clean(title))} font-family={quoteattr(FONT)}{data}>'
    )
    ground = f'<rect width="{wide}" height="{high}" rx="8" fill="{GROUND}"/>'
    titles = [
        text((MARGIN, MARGIN + LARGE), LARGE, clean(cut(title, 130)), BOLD),
        muted((MARGIN, MARGIN + LARGE + 18), clean(cut(below, 170))),
    ]
    return "\n".join([head, ground, *titles, *parts, "</svg>"]) + "\n"


def muted(at: tuple[float, float], words: str, attributes: str = "") -> str:
    """A small line of text that stands back."""
    return text(at, SMALL, words, attributes).replace(INK, MUTED, 1)


def tip(words: str) -> str:
    """What is shown where the pointer rests."""
    return f"<title>{escape(clean(words))}</title>"


def time_axis(whole: Axis, left: float, top: float, bottom: float, zone: tzinfo) -> list[str]:
    """Lines through the picture at round times, what they are, and how long each idle time is."""
    parts = []
    for at, label in ticks(whole, LABEL, zone):
        x = number(left + at)
        parts.append(f'<path d="M{x} {number(top)}V{number(bottom + 4)}" stroke="{RULE}"/>')
        # A label at the very end would be cut off.
        if left + at + len(label) * SMALL * ADVANCE / 2 <= WIDTH:
            parts.append(muted((left + at, bottom + 17), label, MIDDLED))
    for piece in whole.breaks:
        parts += _break(left + piece.left, left + piece.right, top, bottom, about(piece.end - piece.begin))
    return parts


def _break(left: float, right: float, top: float, bottom: float, words: str) -> list[str]:
    """An idle time that is broken out: a striped column, and its length."""
    wide, high = number(right - left), number(bottom - top)
    place = f'x="{number(left)}" y="{number(top)}" width="{wide}" height="{high}"'
    at = ((left + right) / 2, bottom + 30)
    return [f'<rect {place} fill="url(#idle)"/>', muted(at, f"~{words}~", MIDDLED)]


PATTERNS = (
    "<defs>"
    '<pattern id="idle" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="2" height="6" fill="#e2e8f0"/></pattern>'
    '<pattern id="moving" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="7" height="7" fill="#fef3c7"/><rect width="3" height="7" fill="#fde68a"/></pattern>'
    "</defs>"
)


def between(begin: int, end: int, zone: tzinfo) -> str:
    """`2026-07-26 14:05:09 to 14:08:00 (+02:00), 3 min`"""
    first, last = local(begin, zone), local(end, zone)
    same = first.date() == last.date()
    until = f"{last:%H:%M:%S}" if same else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {until} ({first:%z}), {about(max(end - begin, 1000))}"


def legend(at: tuple[float, float], entries: Sequence[tuple[str, str]]) -> list[str]:
    """Signs with their meanings in a row, as far as there is room, then in the next.

    Args:
        at: the left end of the first base line.
        entries: each the marks that draw the sign 14 pixels wide around 0 0, and what it means.
    """
    parts, (x, y) = [], at
    for sign, words in entries:
        room = 30 + len(words) * SMALL * ADVANCE
        if x + room > WIDTH - MARGIN:
            x, y = at[0], y + 18
        parts.append(f'<g transform="translate({number(x + 7)} {number(y - 4)})">{sign}</g>')
        parts.append(text((x + 20, y), SMALL, words))
        x += room
    return parts
