"""Finds the format of a message: quick where it has none, which is what most messages have.

Whoever reads lines asks first whether a message begins with one of `BEGINNINGS` or holds `INSIDE`, without decoding it.
Pure functions over the table of `formats.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.replay.foreign.format import Format
from interlock.replay.foreign.formats import FORMATS

BY_NAME: Mapping[str, Format] = {each.name: each for each in FORMATS}
BEGINNINGS = tuple(begins.encode() for each in FORMATS for begins in each.begins)
INSIDE = b"ransit"
"""What is in every message that is known by what it holds, and in whatever else speaks of a transition."""


_FIRST = 3
"""Characters by which formats are looked up; none begins with fewer."""
_ANYWHERE = tuple(each for each in FORMATS if each.holds)
_BY_START = {
    start: tuple(each for each in FORMATS if each.holds or any(begins[:_FIRST] == start for begins in each.begins))
    for start in {begins[:_FIRST] for each in FORMATS for begins in each.begins}
}


def understood(message: str) -> tuple[Format, dict[str, str]] | None:
    """The format of a message, and what it says, without what it leaves out; None: it is of no format."""
    for each in _BY_START.get(message[:_FIRST], _ANYWHERE):
        if found := each.match(message):
            return each, {name: value for name, value in found.groupdict().items() if value is not None}
    return None
