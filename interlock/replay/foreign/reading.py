"""Makes facts of files, and counts every line.

A line that begins with time, level, logger and thread begins a record; the lines after it until the next record are
its continuation (stack traces, JSON over several lines). A record whose message is of a known format is understood, and
so is a continuation that tells of a refused transition which its record did not tell. Everything else is not
understood: it is counted by shape, which is its logger and how its message begins, with the first example of each.

Promises: lines = understood + not understood + continuation. Memory is that of the shapes, which are limited. No line
raises: bytes that are no UTF-8 become replacement characters.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from interlock.replay.foreign import layout
from interlock.replay.foreign.fact import Fact
from interlock.replay.foreign.format import Format, Kind
from interlock.replay.foreign.lines import CutOff, lines_of
from interlock.replay.foreign.lookup import BEGINNINGS, BY_NAME, INSIDE, understood

SHAPES = 5000
"""Kinds of lines not understood that are told apart. Too low: many fall under "others"; too high: memory."""
EXAMPLE = 300
"""Characters of a line that are kept as its shape's example."""
MESSAGE = 10_000
"""Characters of a message that are looked at: no message of the table is as long."""
NO_RECORD = b"\t \r\n}"
"""What no record's line begins with, unless its date comes next."""
OTHERS, NO_HEAD = b"(others)", b"(no time, level, logger and thread)"

_plain_words = re.compile(rb"[^\d\[\](){}=:\"'<>/|,\r\n]{0,48}").match


@dataclass(slots=True)
class Shape:
    """Lines not understood that look alike. `near` tells that they speak of a transition."""

    file: str
    line: int
    example: str
    near: bool
    count: int = 1


@dataclass
class Tally:
    """What became of the lines."""

    lines: int = 0
    understood: int = 0
    continuation: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    shapes: dict[bytes, Shape] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """What is wrong with files that could not be read to their end."""

    @property
    def unknown(self) -> int:
        """Lines not understood."""
        return sum(shape.count for shape in self.shapes.values())

    def listed(self) -> list[tuple[str, Shape]]:
        """The shapes by name: those that speak of a transition first, then by how many lines they have."""
        named = [(name.decode(errors="replace"), shape) for name, shape in self.shapes.items()]
        return sorted(named, key=lambda each: (not each[1].near, -each[1].count, each[0]))

    def add_unknown(self, shape: bytes, file: str, number: int, line: bytes) -> None:
        """Count a line that was not understood."""
        known = self.shapes.get(shape)
        if known is None and len(self.shapes) >= SHAPES:
            shape = OTHERS
            known = self.shapes.get(shape)
        if known is None:
            text = line[:EXAMPLE].decode(errors="replace").rstrip("\r\n")
            self.shapes[shape] = Shape(file, number, text, INSIDE in line)
        else:
            known.count += 1


def facts_of(name: str, tally: Tally) -> Iterator[Fact]:
    """The facts of one file, in its order; damage is noted in the tally.

    Raises:
        NotFound: there is no such file.
    """
    tally.files.append(name)
    try:
        yield from facts(lines_of(name), tally, name)
    except CutOff as error:
        tally.damaged.append(str(error))


def merged(names: Iterable[str], tally: Tally) -> Iterator[Fact]:
    """The facts of several files by their time: rotated files in any order, or those of several servers.

    Within a file the order stays. A fact without a time stands with the one before it.

    Raises:
        NotFound: there is no such file.
    """
    streams = [_timed(facts_of(name, tally)) for name in names]
    for _, fact in heapq.merge(*streams, key=itemgetter(0)):
        yield fact


def _timed(facts: Iterable[Fact]) -> Iterator[tuple[int, Fact]]:
    at = 0
    for fact in facts:
        at = fact.at if fact.at is not None else at
        yield at, fact


def facts(lines: Iterable[bytes], tally: Tally, name: str = "-") -> Iterator[Fact]:
    """The facts of lines, in their order; what becomes of each line is counted in the tally."""
    begins, head, record = layout.plain, layout.head, _Record(tally, name)
    for number, line in enumerate(lines, 1):
        tally.lines += 1
        found = begins(line) or (None if line[:1] in NO_RECORD else head(line))
        if found is None:
            fact = record.continued(line, number)
        elif line.startswith(BEGINNINGS, found.end()) or INSIDE in line:
            fact = record.begun(found, line, number)
        else:
            record.unknown(found, line, number)
            continue
        if fact is not None:
            yield fact


class _Record:
    """The record that a line belongs to."""

    def __init__(self, tally: Tally, name: str) -> None:
        self.tally, self.name = tally, name
        self.head: re.Match[bytes] | None = None
        self.said = False
        """Whether its refused transition, if it has one, was told."""

    def begun(self, head: re.Match[bytes], line: bytes, number: int) -> Fact | None:
        """A new record that may be of a known format."""
        message = line[head.end() : head.end() + MESSAGE].decode(errors="replace").rstrip("\r\n")
        found = understood(message)
        if found is None:
            self.unknown(head, line, number)
            return None
        self.head, self.said = head, found[0].kind is Kind.REFUSED
        return self._fact(*found, number)

    def unknown(self, head: re.Match[bytes], line: bytes, number: int) -> None:
        """A new record of no known format."""
        self.head, self.said = head, False
        words = _plain_words(line, head.end())
        shape = b"[" + head["logger"] + b"] " + (words[0] if words else b"")
        self.tally.add_unknown(shape, self.name, number, line)

    def continued(self, line: bytes, number: int) -> Fact | None:
        """A line that begins no record."""
        if self.head is None:
            self.tally.add_unknown(NO_HEAD, self.name, number, line)
            return None
        if not self.said and INSIDE in line:
            refusal = BY_NAME["refused"]
            found = refusal.match(line[:MESSAGE].decode(errors="replace"))
            if found:
                self.said = True
                return self._fact(refusal, dict(found.groupdict()), number)
        self.tally.continuation += 1
        return None

    def _fact(self, format: Format, said: dict[str, str], number: int) -> Fact:
        assert self.head is not None
        self.tally.understood += 1
        self.tally.formats[format.name] += 1
        thread = self.head["thread"].decode(errors="replace")
        return Fact(self.name, number, layout.written_at(self.head), format, said, thread)
