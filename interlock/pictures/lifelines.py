"""The timeline of a VM or an operation as SVG: a lane for each entity, spans of its states, marks for what befell it.

Tones and borders tell states apart for those who see no colours, too: what is under way is striped and dashed, what
needs somebody has a thick border. Every span and mark says more where the pointer rests. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo

from interlock.pictures.axis import Axis, axis
from interlock.pictures.ink import ADVANCE, SMALL, number, text
from interlock.pictures.sheet import (
    FOOT,
    HEAD,
    MARGIN,
    NAMES_MOST,
    PATTERNS,
    WIDTH,
    between,
    clean,
    cut,
    legend,
    sheet,
    time_axis,
    tip,
)
from interlock.pictures.thinning import gathered, thinned
from interlock.pictures.tones import EDGES, GROUNDS, MEANING, Tone, tone
from interlock.replay.lanes import Kind, Lane, Mark, Span, Timeline

LANE = 38.0
"""A lane's height, with the room for marks below its spans."""
SPAN = 20.0
CELL = 3.0
"""Pixels that are told apart."""
SIGN = 12.0
"""A mark's width: the next one stands beside it."""
LEAST = 1.5
"""Pixels of what would have none."""
SIGNS = {
    Kind.FAULT: '<path d="M0 -6L6 5H-6Z" fill="#b91c1c" stroke="#fff"/>',
    Kind.RETRY: '<circle r="4.5" fill="#fde68a" stroke="#b45309" stroke-width="2.5"/>',
    Kind.REPORT: '<path d="M0 -6L6 0L0 6L-6 0Z" fill="#1d4ed8" stroke="#fff"/>',
    Kind.STUCK: '<rect x="-6" y="-6" width="12" height="12" fill="#fff" stroke="#b91c1c" stroke-width="3"/>',
}
SAID = {
    Kind.FAULT: "refused, or no answer",
    Kind.RETRY: "tries again",
    Kind.REPORT: "a host reported",
    Kind.STUCK: "Stuck",
}


def as_svg(timeline: Timeline, zone: tzinfo = UTC) -> str:
    """The picture, as one SVG document.

    Args:
        zone: on whose clock.
    """
    names = [cut(lane.name, NAMES_MOST) for lane in timeline.lanes]
    left = MARGIN + max(map(len, names)) * SMALL * ADVANCE + 14
    whole = axis(timeline.begin, timeline.end, WIDTH - MARGIN - left, timeline.idle)
    bottom = HEAD + len(names) * LANE
    parts = [PATTERNS, *time_axis(whole, left, HEAD - 4, bottom, zone)]
    for row, (lane, name) in enumerate(zip(timeline.lanes, names, strict=True)):
        parts += _lane(lane, name, whole, left, HEAD + row * LANE)
    parts += legend((MARGIN, bottom + FOOT + 18), _key())
    more = f"; {timeline.more} more lanes are left out" if timeline.more else ""
    below = between(timeline.begin, timeline.end, zone) + more
    return sheet(timeline.title, below, bottom + FOOT + 54, parts, timeline=timeline.title)


def _lane(lane: Lane, name: str, whole: Axis, left: float, top: float) -> Iterator[str]:
    yield text((MARGIN, top + 14), SMALL, clean(name))
    for span in thinned((each for each in lane.spans if each.end > each.begin), whole, CELL):
        yield _span(span, left + whole.x(span.begin), left + whole.x(span.end), top)
    beside = 0.0
    for mark in gathered(lane.marks, whole, 3 * CELL):
        beside = max(left + whole.x(mark.at), beside)
        yield _mark(mark, beside, top + SPAN + 6)
        beside += SIGN


def _span(span: Span, left: float, right: float, top: float) -> str:
    width, shown = max(right - left, LEAST), tone(span.machine, span.state)
    place = f'x="{number(left)}" y="{number(top)}" width="{number(width)}" height="{number(SPAN)}"'
    room = int((width - 6) / (SMALL * ADVANCE))
    labels = (span.label, span.state) if span.states == 1 else (f"{span.states} states",)
    label = next((each for each in labels if len(each) <= room), "")
    words = text((left + 4, top + 14), SMALL, clean(label)) if label else ""
    return f"<g>{tip(span.words)}<rect {place} {style(shown, thin=width < 8)}/>{words}</g>"


def style(shown: Tone, *, thin: bool = False) -> str:
    """Of a span; a thin one would be nothing but border."""
    moving = shown is Tone.MOVING
    fill = "url(#moving)" if moving and not thin else GROUNDS[shown] if not thin else EDGES[shown]
    if thin:
        return f'fill="{fill}"'
    dashes = ' stroke-dasharray="4 2"' if moving else ""
    return f'rx="3" fill="{fill}" stroke="{EDGES[shown]}" stroke-width="{2 if shown is Tone.BAD else 1}"{dashes}'


def _mark(mark: Mark, x: float, y: float) -> str:
    many = f" (×{mark.count})" if mark.count > 1 else ""
    place = f'transform="translate({number(x)} {number(y)})"'
    return f'<g class="{mark.kind}" {place}>{tip(mark.words + many)}{SIGNS[mark.kind]}</g>'


def _key() -> Sequence[tuple[str, str]]:
    spans = [(f'<rect x="-7" y="-6" width="14" height="12" {style(each)}/>', MEANING[each]) for each in Tone]
    idle = '<rect x="-7" y="-6" width="14" height="12" fill="url(#idle)"/>'
    return [*spans, *((SIGNS[kind], SAID[kind]) for kind in Kind), (idle, "~ nothing under way, cut short ~")]
