"""What the colours and borders of an SVG picture mean, for somebody who sees one for the first time."""

from __future__ import annotations

from interlock.pictures.ink import GROUND, HUES, LEADING, SMALL, rectangle, state_style, text, text_size
from interlock.pictures.layers import Size
from interlock.pictures.placing import Box, Point
from interlock.schema.machine import Stability

KEY: tuple[tuple[Stability | None, str], ...] = (
    (Stability.STABLE, "stable: stays until somebody asks"),
    (
        Stability.TRANSITIONAL,
        "transitional: an operation is under way; its deadline, then what happens to it:",
    ),
    (None, "unwind = it is undone, stick = it becomes Stuck and waits for a person"),
    (Stability.TERMINAL, "terminal: the end, nothing is held any more"),
    (None, "a line has the colour of the state it leaves, its events stand on it"),
    (None, '"stays on" lists events that change nothing'),
)
INDENT = 48.0
PADDING = 10.0


def legend_size() -> Size:
    """How much room it takes."""
    size = text_size([words for _, words in KEY], SMALL)
    return Size(INDENT + size.width + PADDING, size.height + 2 * PADDING)


def legend(at: Point) -> str:
    """The legend, with its upper left corner at a point."""
    size = legend_size()
    ground = Box(at[0] + size.width / 2, at[1] + size.height / 2, size.width, size.height)
    parts = [rectangle(ground, f'rx="6" fill="{GROUND}"')]
    for index, (stability, words) in enumerate(KEY):
        base = at[1] + PADDING + SMALL * (LEADING * index + 1)
        if stability:
            parts.append(rectangle(Box(at[0] + 26, base - 4, 26.0, 9.0), state_style(stability, HUES[0])))
        parts.append(text((at[0] + INDENT, base), SMALL, words))
    return f'<g class="legend">{"".join(parts)}</g>'
