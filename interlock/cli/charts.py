"""Timelines in a terminal: the same models as the SVG pictures, in characters.

Promises: no line is wider than it is told. What a state is can be read without colours: by its name where there is
room, and by the character that fills its span. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

from interlock.cli.layout import BAD, DIM, HEAD, PLAIN, Line, printable, state
from interlock.cli.times import clock
from interlock.pictures.axis import Axis, about, axis, ticks
from interlock.pictures.fleet import FULL, shown, stacked
from interlock.pictures.lifelines import SAID
from interlock.pictures.sheet import between, cut
from interlock.pictures.thinning import gathered, thinned
from interlock.pictures.tones import FILLS, MEANING, STYLES, Tone, tone
from interlock.replay.census import Picture
from interlock.replay.lanes import Kind, Lane, Span, Timeline

NAMES = 22
"""Characters of a name at most."""
PIPED = 120
"""Characters of a line where there is no terminal."""
LISTED = 12
"""Marks told in words below the lanes. Too many: the picture is scrolled away."""
SIGNS = {Kind.FAULT: "▲", Kind.RETRY: "○", Kind.REPORT: "◆", Kind.STUCK: "■"}
STYLE = {Kind.FAULT: BAD, Kind.RETRY: "yellow", Kind.REPORT: "blue", Kind.STUCK: "bold red"}
EIGHTHS = " ▁▂▃▄▅▆▇█"
BROKEN = 0.09
"""The part of a line that an idle time gets: a state's name should fit."""
LABEL = 14
"""Characters that a label of the axis takes."""


def lifelines(timeline: Timeline, zone: tzinfo, width: int | None) -> list[Line]:
    """The timeline of a VM or an operation.

    Args:
        zone: on whose clock.
        width: of the terminal; None: there is none.
    """
    names = [cut(lane.name, NAMES) for lane in timeline.lanes]
    left = max(map(len, names)) + 2
    cells = max((width or PIPED) - left, LABEL)
    whole = axis(timeline.begin, timeline.end, cells, timeline.idle, BROKEN)
    lines: list[Line] = [[(timeline.title, HEAD)], [(between(timeline.begin, timeline.end, zone), DIM)]]
    for lane, name in zip(timeline.lanes, names, strict=True):
        lines.append([(f"{name:<{left}}", PLAIN), *_cells(lane, whole, cells)])
        if lane.marks:
            lines.append([(" " * left, PLAIN), *_signs(lane, whole, cells)])
    lines.append([(" " * left + _ticks(whole, cells, zone), DIM)])
    lines += _breaks(whole, left, cells)
    if timeline.more:
        lines.append([(f"{timeline.more} more lanes are left out", DIM)])
    lines += [*_key(timeline), *_told(timeline)]
    lines = [printable(line) for line in lines]
    return lines if width is None else [_shortened(line, width) for line in lines]


def _shortened(line: Line, width: int) -> Line:
    """The line, its last words cut where it is too wide."""
    before = sum(len(words) for words, _ in line[:-1])
    return [*line[:-1], (cut(line[-1][0], max(width - before, 1)), line[-1][1])] if line else line


def _cells(lane: Lane, whole: Axis, cells: int) -> Iterator[tuple[str, str]]:
    drawn: list[tuple[str, str]] = [(" ", PLAIN)] * cells
    for span in thinned((each for each in lane.spans if each.end > each.begin), whole, 1.0):
        begin, end = int(whole.x(span.begin)), int(whole.x(span.end))
        for place, each in enumerate(_span(span, max(end - begin, 1)), min(begin, cells - 1)):
            if place < cells:
                drawn[place] = each
    return _joined(drawn)


def _span(span: Span, width: int) -> list[tuple[str, str]]:
    shown_as = tone(span.machine, span.state)
    label = next((each for each in (span.label, span.state) if len(each) < width), "") if span.states == 1 else ""
    return [(char, STYLES[shown_as]) for char in label.ljust(width, FILLS[shown_as])]


def _joined(drawn: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Neighbours of one style as one."""
    words, style = "", PLAIN
    for char, own in drawn:
        if own != style and words:
            yield words, style
            words = ""
        words, style = words + char, own
    yield words, style


def _signs(lane: Lane, whole: Axis, cells: int) -> Iterator[tuple[str, str]]:
    drawn: list[tuple[str, str]] = [(" ", PLAIN)] * cells
    free = 0
    for mark in gathered(lane.marks, whole, 1.0):
        place = max(int(whole.x(mark.at)), free)
        if place < cells:
            drawn[place] = (SIGNS[mark.kind], STYLE[mark.kind])
            free = place + 1
    return _joined(drawn)


def _ticks(whole: Axis, cells: int, zone: tzinfo) -> str:
    line = ""
    for at, label in ticks(whole, LABEL, zone):
        place = min(int(at), cells - len(label) - 1)
        if place >= len(line):
            line = line.ljust(place) + f"|{label}"
    return line[:cells]


def _breaks(whole: Axis, left: int, cells: int) -> Iterator[Line]:
    line = ""
    for piece in whole.breaks:
        words = f"~{about(piece.end - piece.begin)}~"
        line = line.ljust(max(min(int(piece.left), cells - len(words)), len(line) + 1)) + words
    if line:
        yield [(" " * left + line, DIM)]


def _key(timeline: Timeline) -> Iterator[Line]:
    met = {tone(span.machine, span.state) for lane in timeline.lanes for span in lane.spans}
    kinds = {mark.kind for lane in timeline.lanes for mark in lane.marks}
    signs = [(f"{FILLS[each] * 2} {MEANING[each]}   ", STYLES[each]) for each in Tone if each in met]
    yield signs
    if kinds:
        yield [(f"{SIGNS[kind]} {SAID[kind]}   ", STYLE[kind]) for kind in Kind if kind in kinds]


def _told(timeline: Timeline) -> Iterator[Line]:
    marks = sorted((mark for lane in timeline.lanes for mark in lane.marks), key=lambda mark: mark.at)
    for mark in marks[-LISTED:]:
        yield [(f"{clock(mark.at)}  ", DIM), (f"{SIGNS[mark.kind]} ", STYLE[mark.kind]), (mark.words, PLAIN)]
    if len(marks) > LISTED:
        yield [(f"{len(marks) - LISTED} earlier marks are not told", DIM)]


# The fleet


def fleet(picture: Picture, zone: tzinfo, width: int | None) -> list[Line]:
    """The fleet over time. Args: as `lifelines`."""
    left, right = NAMES - 6, 7
    cells = max((width or PIPED) - left - right, LABEL)
    pieces = len(picture.states)
    end = max(picture.end, picture.begin + picture.width * pieces)
    columns = _columns(pieces, cells)
    about_it = f"{between(picture.begin, picture.end, zone)}, {picture.rows} transitions"
    lines: list[Line] = [[(picture.title, HEAD)], [(about_it, DIM)], _heading("VMS", "now", left, cells)]
    most = max(picture.most_vms, 1)
    for name in stacked(picture.names):
        counts = [each.get(name, 0) for each in picture.states]
        bars = _bars([count / most for count in counts], columns)
        lines.append([(f"{name:<{left}}", PLAIN), (bars, state(name)[1]), (f"{counts[-1]:>{right}}", PLAIN)])
    worst = max(picture.failed, default=0)
    bars = _bars([count / max(worst, 1) for count in picture.failed], columns)
    lines.append([(f"{'failed':<{left}}", PLAIN), (bars, BAD), (f"{sum(picture.failed):>{right}}", PLAIN)])
    lines.append(_heading("MEMORY HELD", "now", left, cells))
    hosts: Mapping[str, Sequence[float]] = {"all hosts": picture.all_hosts, **shown(picture.hosts)}
    for host, shares in hosts.items():
        style = BAD if shares[-1] >= FULL else "cyan"
        name = f"{cut(host, left - 1):<{left}}"
        lines.append([(name, PLAIN), (_bars(shares, columns), style), (f"{shares[-1]:>{right}.0%}", PLAIN)])
    if len(hosts) <= len(picture.hosts):
        lines.append([(f"the {len(hosts) - 1} fullest of {len(picture.hosts)} hosts", DIM)])
    lines.append([(" " * left + _ticks(axis(picture.begin, end, cells), cells, zone), DIM)])
    return [printable(line) for line in lines]


def _heading(title: str, last: str, left: int, cells: int) -> Line:
    return [(f"{title:<{left + cells}}{last:>7}", DIM)]


def _columns(pieces: int, cells: int) -> list[range]:
    """Which pieces of time each character stands for: at least one."""
    begins = [place * pieces // cells for place in range(cells)]
    return [range(begin, max(begin + 1, (place + 1) * pieces // cells)) for place, begin in enumerate(begins)]


def _bars(shares: Sequence[float], columns: Sequence[range]) -> str:
    """The highest of each column; what is not nothing is seen."""
    highest = (max(shares[piece] for piece in each) for each in columns)
    return "".join(EIGHTHS[max(int(share > 0), min(round(share * 8), 8))] for share in highest)
