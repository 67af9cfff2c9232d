"""Checks the rows of a file in several processes. An entity's rows all go to one of them, in order; what concerns all
entities stays here: the numbers, the root, and who has what only one can have.

Promises: it finds what `verify.Alone` finds, in the same order. At most `AHEAD` blocks are on the way to each process,
so memory does not grow with the file. Processes are new ones, not forks: whoever calls may have threads.

A line is not decoded here but cut: its number is the one that is due, its entity and its hash stand where they always
stand. Whoever gets the line decodes it and says if that was wrong; the number is then read from what it says.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from operator import attrgetter
from typing import TypeAlias
from zlib import crc32

import msgspec

from interlock.engine.core import lines
from interlock.engine.core.verify import Finding, Owners, Took, Verifier, numbered
from interlock.replay.verify import read

AHEAD = 3
"""Blocks on the way. Too few: processes wait for each other; too many: memory."""
_ENTITY = b'"entity_id":"'
_SEARCHED = 200
"""Bytes from the beginning of a line within which its entity is named, where the line is as it should be."""
_HASH = slice(-67, -3)
"""Where the hash of a line stands."""

Cut: TypeAlias = list[tuple[int, bytes]]
"""Lines with their numbers in the file."""


class Checked(msgspec.Struct, frozen=True):
    """What came of some lines."""

    findings: list[Finding]
    took: list[Took]
    doubtful: set[str]


class Crew:
    """Checks rows in `jobs` processes."""

    def __init__(self, jobs: int) -> None:
        context = get_context("spawn")
        self._pools = [ProcessPoolExecutor(1, mp_context=context) for _ in range(jobs)]
        self._under_way: deque[tuple[list[Finding], list[Future[Checked]]]] = deque()
        self._owners = Owners()
        self.count = self.head = 0
        self.root = lines.Root()
        self._gaps = False

    def allow_gaps(self) -> None:
        """Numbers may be left out."""
        self._gaps = True

    def check(self, first: int, block: list[bytes]) -> list[Finding]:
        """Hand the next lines out; what was found of earlier ones."""
        parts: list[Cut] = [[] for _ in self._pools]
        found: list[Finding] = []
        hashes: list[str] = []
        for number, line in enumerate(block, first):
            if not line.startswith(b'{"seq":%d,"' % (self.head + 1)):
                found += self._numbered(number, line)
            else:
                self.head += 1
                self.count += 1
            hashes.append(f"{self.head} {line[_HASH].decode(errors='replace')}\n")
            parts[self._whose(line)].append((number, line))
        self.root.update("".join(hashes))
        asked = [pool.submit(_check, part) for pool, part in zip(self._pools, parts, strict=True)]
        self._under_way.append((found, asked))
        return self._come() if len(self._under_way) > AHEAD else []

    def finish(self) -> list[Finding]:
        """Wait for all."""
        found: list[Finding] = []
        while self._under_way:
            found += self._come()
        return found

    def close(self) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def _whose(self, line: bytes) -> int:
        begin = line.find(_ENTITY, 0, _SEARCHED) + len(_ENTITY)
        return crc32(line[begin : line.find(b'"', begin)]) % len(self._pools)

    def _numbered(self, number: int, line: bytes) -> list[Finding]:
        """A line that is not the one that is due."""
        row, _ = read(line)
        if row is None:
            self.head += 1
            return []
        head, self.head = self.head, row.seq
        self.count += 1
        if self._gaps and row.seq > head:
            return []
        return [msgspec.structs.replace(each, line=number) for each in numbered(row, head)]

    def _come(self) -> list[Finding]:
        """What was found of the oldest block."""
        found, asked = self._under_way.popleft()
        took: list[Took] = []
        for each in asked:
            checked = each.result()
            found += checked.findings
            took += checked.took
            self._owners.doubtful |= checked.doubtful
        for one in sorted(took, key=attrgetter("seq")):
            found += [msgspec.structs.replace(each, line=one.line) for each in self._owners.take(one)]
        return sorted(found, key=attrgetter("line"))


# --- in a process of the crew

_verifier = Verifier()
"""Of this process: the rows of its entities, and no others."""


def _check(part: Cut) -> Checked:
    found: list[Finding] = []
    took: list[Took] = []
    for number, line in part:
        row, wrong = read(line)
        if row is not None:
            _verifier.skip(row.seq - 1)
            more, taken = _verifier.check(row)
            if taken is not None:
                took.append(msgspec.structs.replace(taken, line=number))
            if more:
                wrong = [*wrong, *more]
        found += [msgspec.structs.replace(each, line=number) for each in wrong]
    return Checked(found, took, _verifier.doubtful if found else set())
