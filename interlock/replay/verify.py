"""Verifies files: every line, each beside the lines before it, and the whole beside its root.

Promises: one changed byte anywhere in a file is found, and told with its line: in the header, a transition, the
trailer, between them, or in what packs them. So are lines that were added, removed, moved or cut off. After a finding
the check goes on, up to `MOST` of them; what follows only from an earlier finding may be told as well, but after it.
Memory follows from what lives at one moment of the journal, not from its length.

What a file cannot tell of itself: that it was made anew as a whole, with hashes that fit. Its root is there to be kept
elsewhere and compared.

This is one process; `crew.py` does the same in several, and finds the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BufferedReader
from typing import Protocol

import msgspec

from interlock.engine.core import lines
from interlock.engine.core.verify import Finding, Verifier
from interlock.engine.store import files
from interlock.schema.exported import Header
from interlock.schema.transition import Transition

MOST = 100
"""Findings told at most. Too few: the cause may be missed; too many: nobody reads them, and memory is taken."""
ROOT = "root"
"""The flaw of a trailer that is whole, but of other lines."""
BLOCK = 2000
"""Lines handed on at once. Too few: handing costs more than checking; too many: several blocks fill the memory."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    count: int
    """Transitions that could be read."""
    head: int
    root: str
    findings: list[Finding]
    more: bool
    """Whether there are more findings than are told."""


class Checker(Protocol):
    """Who checks rows."""

    @property
    def count(self) -> int:
        """Rows that could be read."""
        ...

    @property
    def head(self) -> int:
        """The number of the last one."""
        ...

    @property
    def root(self) -> lines.Root:
        """Over all of them."""
        ...

    def allow_gaps(self) -> None:
        """Numbers may be left out."""
        ...

    def check(self, first: int, block: list[bytes]) -> list[Finding]:
        """Check the next lines; what is wrong with these, or with some before. `first`: the number of their first."""
        ...


class Alone:
    """Checks rows in this process."""

    def __init__(self) -> None:
        self._verifier = Verifier()
        self.count = 0
        self.root = lines.Root()

    @property
    def head(self) -> int:
        """The number of the last row."""
        return self._verifier.rebuild.head

    def allow_gaps(self) -> None:
        """Numbers may be left out."""
        self._verifier.gaps = True

    def check(self, first: int, block: list[bytes]) -> list[Finding]:
        """Check the next lines."""
        found: list[Finding] = []
        rows: list[Transition] = []
        for number, line in enumerate(block, first):
            row, wrong = read(line)
            if row is None:
                self._verifier.rebuild.head += 1
            else:
                rows.append(row)
                wrong = [*wrong, *self._verifier.add(row)]
            found += [msgspec.structs.replace(each, line=number) for each in wrong]
        self.root.add(rows)
        self.count += len(rows)
        return found


def read(line: bytes) -> tuple[Transition | None, Iterable[Finding]]:
    """A line as far as it can be read, and what is wrong with the line itself."""
    try:
        return lines.row_of(line), ()
    except lines.LineBroken as broken:
        found, row = Finding(flaw="line", reason=str(broken)), broken.row
        if row is not None:
            found = msgspec.structs.replace(found, seq=row.seq, machine=row.machine, entity_id=row.entity_id)
        return row, (found,)


class Lines:
    """The lines of one file: which is what, and in which order."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._block: list[bytes] = []
        self._number = 0
        self._begun: Header | None = None
        self._ended = False

    def take(self, line: bytes) -> list[Finding]:
        """Check the next line; what is wrong with it, or with some before."""
        self._number += 1
        if self._number > 1 and not self._ended and not lines.is_trailer(line):
            self._block.append(line)
            return self._handed_on() if len(self._block) == BLOCK else []
        if self._number == 1:
            return self._header(line)
        if self._ended:
            return [Finding(flaw="added", reason="it comes after the end", line=self._number)]
        self._ended = True
        return [*self._rest(self._number), *self._trailer(line)]

    def end(self) -> list[Finding]:
        """There are no more lines; what is wrong with that."""
        if self._ended:
            return []
        return [
            *self._rest(self._number + 1),
            Finding(flaw="cut off", reason="the trailer is missing", line=self._number + 1),
        ]

    def stopped(self, reason: str) -> list[Finding]:
        """The lines cannot be read any further."""
        rest = [] if self._ended else self._rest(self._number + 1)
        self._ended = True
        return [*rest, Finding(flaw="bytes", reason=reason, line=self._number + 1)]

    def _handed_on(self) -> list[Finding]:
        block, self._block = self._block, []
        return self._checker.check(self._number + 1 - len(block), block)

    def _rest(self, following: int) -> list[Finding]:
        block, self._block = self._block, []
        return self._checker.check(following - len(block), block)

    def _header(self, line: bytes) -> list[Finding]:
        try:
            self._begun = lines.header_of(line)
        except lines.LineBroken as broken:
            return [Finding(flaw="header", reason=str(broken), line=1)]
        if self._begun.gaps:
            self._checker.allow_gaps()
        return []

    def _trailer(self, line: bytes) -> list[Finding]:
        try:
            found = lines.trailer_of(line)
        except lines.LineBroken as broken:
            return [Finding(flaw="trailer", reason=str(broken), line=self._number)]
        checker = self._checker
        try:
            if self._begun is not None:
                lines.check_trailer(found, self._begun, checker.count, checker.head, checker.root)
        except lines.LineBroken as broken:
            return [Finding(flaw=ROOT, reason=str(broken), line=self._number)]
        return []


def verify_file(file: BufferedReader) -> Verified:
    """Verify a file.

    Raises:
        StoreError: it is packed, and cannot be unpacked here.
    """
    alone = Alone()
    found, more = bounded(fitting(all_findings(file, Lines(alone))))
    return Verified(count=alone.count, head=alone.head, root=str(alone.root), findings=found, more=more)


def all_findings(file: BufferedReader, checked: Lines) -> Iterator[Finding]:
    """What is wrong with a file, in order."""
    try:
        for line in files.lines(file):
            yield from checked.take(line)
    except files.FileBroken as broken:
        yield from checked.stopped(str(broken))
    yield from checked.end()


def fitting(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Without a root that does not fit where something else is wrong: it cannot fit then."""
    clean = True
    for each in findings:
        if clean or each.flaw != ROOT:
            yield each
        clean = False


def bounded(findings: Iterable[Finding]) -> tuple[list[Finding], bool]:
    """The first findings, and whether there are more."""
    found: list[Finding] = []
    for each in findings:
        if len(found) == MOST:
            return found, True
        found.append(each)
    return found, False
