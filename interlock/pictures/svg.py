"""A state machine as an SVG picture, in plain Python: no `dot`, nothing to install.

A layered drawing in three steps, each a module: `layers.py` (which layer), `ordering.py` (which order in a
layer), `placing.py` (where exactly). This module says how large things are and writes the result down.

How to read a picture: it begins at the dot and goes down; a line has the colour of the state it leaves; its
events stand on it. Events that change nothing are listed in the state's box ("stays on"), not drawn. It can
be read on white and on dark pages.

Every state and every transition carries data attributes, so that programs (and our tests) can read them
back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from interlock.pictures.ink import (
    BOLD,
    FONT,
    HUES,
    LARGE,
    LEADING,
    MIDDLE,
    MIDDLED,
    SMALL,
    data,
    heads,
    label_style,
    number,
    path,
    point,
    rectangle,
    state_style,
    stroke,
    text,
    text_size,
)
from interlock.pictures.layers import Arrow, Size, layered
from interlock.pictures.legend import legend, legend_size
from interlock.pictures.placing import Box, Line, Placed, placed
from interlock.pictures.words import arrows, deadline
from interlock.schema.machine import Machine, State

MARGIN = 24.0
HEAD = 36.0
"""Above the states: the dot where the picture begins, and its arrow."""
LEAST_WIDTH = 96.0
"""Of a state's box."""
LABEL_PADDING, BOX_PADDING = Size(10.0, 6.0), Size(24.0, 14.0)
INDENT = 14.0
"""Of the events below "stays on"."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """All that the parts of the picture need to know."""

    machine: Machine
    events: Mapping[Arrow, tuple[str, ...]]
    drawing: Placed
    hues: Mapping[str, str]

    def stays(self, state: State) -> tuple[str, ...]:
        return self.events.get((state.name, state.name), ())


def as_svg(machine: Machine) -> str:
    """The picture, as one SVG document."""
    sheet = _sheet(machine)
    key = legend_size()
    width = max(sheet.drawing.width, key.width) + 2 * MARGIN
    below = MARGIN + HEAD + sheet.drawing.height + MARGIN
    parts = [
        _opening(machine.name, Size(width, below + key.height + MARGIN)),
        heads([*sheet.hues.values(), MIDDLE]),
        f'<g transform="translate({number((width - sheet.drawing.width) / 2)} {number(MARGIN + HEAD)})">',
        _begin(sheet),
        *(_line(sheet, line) for line in sheet.drawing.lines),
        *(_label(sheet, arrow, box) for arrow, box in sheet.drawing.labels.items()),
        *(_box(sheet, state) for state in machine.states.values()),
        "</g>",
        legend((MARGIN, below)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _sheet(machine: Machine) -> _Sheet:
    events = arrows(machine)
    boxes = {
        state.name: _box_size(state, events.get((state.name, state.name), ())) for state in machine.states.values()
    }
    labels = {arrow: _label_size(names) for arrow, names in events.items() if arrow[0] != arrow[1]}
    hues = {name: HUES[index % len(HUES)] for index, name in enumerate(machine.states)}
    return _Sheet(machine, events, placed(layered(boxes, labels, machine.initial)), hues)


def _label_size(events: tuple[str, ...]) -> Size:
    size = text_size(events, SMALL)
    return Size(size.width + LABEL_PADDING.width, size.height + LABEL_PADDING.height)


def _box_size(state: State, stays: tuple[str, ...]) -> Size:
    head = text_size([state.name], LARGE)
    remarks = text_size(_remarks(state, stays), SMALL)
    events = text_size(stays, SMALL)
    width = max(head.width, remarks.width, events.width + INDENT, LEAST_WIDTH)
    height = head.height + remarks.height + events.height
    return Size(width + BOX_PADDING.width, height + BOX_PADDING.height)


def _remarks(state: State, stays: tuple[str, ...]) -> list[str]:
    """What stands below a state's name, without the events it stays on."""
    return [words for words in (deadline(state), "stays on:" if stays else "") if words]


def _opening(name: str, size: Size) -> str:
    width, height = number(size.width), number(size.height)
    title = f"State machine: {name}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label={quoteattr(title)} font-family={quoteattr(FONT)}'
        f"{data(machine=name)}>"
    )


def _begin(sheet: _Sheet) -> str:
    """The dot, and the arrow to the initial state."""
    box = sheet.drawing.states[sheet.machine.initial]
    top = box.y - box.height / 2
    dot = f'<circle cx="{number(box.x)}" cy="{number(top - 30)}" r="6" fill="{MIDDLE}"/>'
    line = stroke(f"M {point((box.x, top - 24))} L {point((box.x, top))}", MIDDLE)
    return f'<g class="initial"{data(initial=sheet.machine.initial)}>{dot}{line}</g>'


def _line(sheet: _Sheet, line: Line) -> str:
    return stroke(path(line), sheet.hues[line.arrow[0]])


def _label(sheet: _Sheet, arrow: Arrow, box: Box) -> str:
    """The events of one arrow, stacked in the middle of its line."""
    source, destination = arrow
    parts = [rectangle(box, label_style(sheet.hues[source]))]
    top = box.y - box.height / 2 + LABEL_PADDING.height / 2
    for index, event in enumerate(sheet.events[arrow]):
        transition = data(source=source, event=event, destination=destination)
        at = (box.x, top + SMALL * (LEADING * index + 1))
        parts.append(text(at, SMALL, event, MIDDLED + transition))
    return f'<g class="arrow">{"".join(parts)}</g>'


def _box(sheet: _Sheet, state: State) -> str:
    """One state: name, deadline, and the events it stays on."""
    box = sheet.drawing.states[state.name]
    stays = sheet.stays(state)
    left, top = box.x - (box.width - BOX_PADDING.width) / 2, box.y - (box.height - BOX_PADDING.height) / 2
    parts = [
        rectangle(box, state_style(state.stability, sheet.hues[state.name])),
        text((box.x, top + LARGE), LARGE, state.name, MIDDLED + BOLD),
    ]
    base = top + LARGE * LEADING + SMALL + 2
    for words in _remarks(state, stays):
        parts.append(text((left, base), SMALL, words))
        base += SMALL * LEADING
    for event in stays:
        transition = data(source=state.name, event=event, destination=state.name)
        parts.append(text((left + INDENT, base), SMALL, event, transition))
        base += SMALL * LEADING
    attributes = data(state=state.name, stability=state.stability.value, deadline=deadline(state))
    return f'<g class="state"{attributes}>{"".join(parts)}</g>'
