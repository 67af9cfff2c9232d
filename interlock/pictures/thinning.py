"""What is too short to be seen: spans and marks that fall into one cell of a picture are one, which says how many.

Promises: a lane has at most two spans and one mark of each kind for each cell, however long its history. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from interlock.pictures.axis import Axis
from interlock.replay.lanes import Kind, Mark, Span


def thinned(spans: Iterable[Span], whole: Axis, cell: float) -> list[Span]:
    """The spans in order; those that begin and end in one cell are one, in the last one's state.

    Args:
        cell: its width, in the axis's own measure.
    """
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        if last is None or int(whole.x(last.begin) / cell) != int(whole.x(span.end) / cell):
            found.append(span)
        else:
            count = last.states + span.states
            words = f"{count} states, the last one {span.words}"
            found[-1] = replace(span, begin=last.begin, words=words, states=count)
    return found


def gathered(marks: Iterable[Mark], whole: Axis, cell: float) -> list[Mark]:
    """The marks in order; those of one kind in one cell are the first of them."""
    found: dict[tuple[Kind, int], Mark] = {}
    for mark in marks:
        key = mark.kind, int(whole.x(mark.at) / cell)
        found[key] = replace(found[key], count=found[key].count + mark.count) if key in found else mark
    return sorted(found.values(), key=lambda mark: (mark.at, mark.kind))
