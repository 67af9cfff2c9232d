"""Verifies journals: every line of a file, every row of a database, and the database's tables beside its journal.

Promises: one changed byte anywhere in a file is found, and told with its line: in the header, a transition, the
trailer, between them, or in what packs them. So are lines that were added, removed, moved or cut off. After a finding
the check goes on, up to `MOST` of them; what follows only from an earlier finding may be told as well, but after it.
A database is read in one snapshot, so an engine that works on it meanwhile does not disturb.

What a file cannot tell of itself: that it was made anew as a whole, with hashes that fit. Its root is there to be kept
elsewhere and compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BufferedReader

import msgspec

from interlock.engine.core import lines
from interlock.engine.core.verify import Finding, Verifier
from interlock.engine.store import files
from interlock.schema.exported import Header
from interlock.schema.transition import Transition

MOST = 100
"""Findings told at most. Too few: the cause may be missed; too many: nobody reads them, and memory is taken."""
BLOCK = 500
"""Rows whose root is computed at once."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    count: int
    """Transitions that could be read."""
    head: int
    root: str
    findings: list[Finding]
    more: bool
    """Whether there are more findings than are told."""


class Lines:
    """The lines of one file, checked one after the other."""

    def __init__(self) -> None:
        self.verifier = Verifier()
        self.count = 0
        self.root = lines.Root()
        self._waiting: list[Transition] = []
        self._number = 0
        self._begun: Header | None = None
        self._ended = self._flawed = False

    def take(self, line: bytes) -> list[Finding]:
        """Check the next line; what is wrong with it."""
        self._number += 1
        try:
            found = self._taken(line)
        except lines.LineBroken as broken:
            found = self._broken(broken)
        if found:
            self._flawed = True
            return [msgspec.structs.replace(each, line=self._number) for each in found]
        return found

    def _taken(self, line: bytes) -> list[Finding]:
        if self._number > 1 and not self._ended and not lines.is_trailer(line):
            return self._row(lines.row_of(line))
        if self._number == 1:
            self._begun = lines.header_of(line)
        elif self._ended:
            return [Finding(flaw="added", reason="it comes after the end")]
        else:
            self._ended = True
            self._trailer(line)
        return []

    def _row(self, row: Transition) -> list[Finding]:
        self.count += 1
        self._waiting.append(row)
        if len(self._waiting) == BLOCK:
            self._add_to_root()
        return self.verifier.add(row)

    def _add_to_root(self) -> None:
        self.root.add(self._waiting)
        self._waiting.clear()

    def _broken(self, broken: lines.LineBroken) -> list[Finding]:
        if self._number == 1 or self._ended:
            return [Finding(flaw="header" if self._number == 1 else "trailer", reason=str(broken))]
        found = Finding(flaw="line", reason=str(broken))
        if broken.row is not None:
            row = broken.row
            found = msgspec.structs.replace(found, seq=row.seq, machine=row.machine, entity_id=row.entity_id)
            return [found, *self._row(row)]
        self.verifier.skip(self.verifier.rebuild.head + 1)
        return [found]

    def _trailer(self, line: bytes) -> None:
        self._add_to_root()
        lines.trailer_of(line)
        if self._begun is not None and not self._flawed:
            lines.check_trailer(lines.trailer_of(line), self._begun, self.count, self.verifier.rebuild.head, self.root)

    def end(self) -> list[Finding]:
        """There are no more lines; what is wrong with that."""
        self._add_to_root()
        if self._ended:
            return []
        return [Finding(flaw="cut off", reason="the trailer is missing", line=self._number + 1)]

    def stopped(self, reason: str) -> list[Finding]:
        """The lines cannot be read any further."""
        self._ended = True
        return [Finding(flaw="bytes", reason=reason, line=self._number + 1)]


def verify_file(file: BufferedReader) -> Verified:
    """Verify a file.

    Raises:
        StoreError: it is packed, and cannot be unpacked here.
    """
    checked = Lines()
    found, more = _bounded(_all(file, checked))
    return Verified(
        count=checked.count, head=checked.verifier.rebuild.head, root=str(checked.root), findings=found, more=more
    )


def _all(file: BufferedReader, checked: Lines) -> Iterator[Finding]:
    try:
        for line in files.lines(file):
            yield from checked.take(line)
    except files.FileBroken as broken:
        yield from checked.stopped(str(broken))
    yield from checked.end()


def _bounded(findings: Iterable[Finding]) -> tuple[list[Finding], bool]:
    found: list[Finding] = []
    for each in findings:
        if len(found) == MOST:
            return found, True
        found.append(each)
    return found, False
