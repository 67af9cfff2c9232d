"""Verifies a file in several processes. Each of them reads all of it and checks the rows of its own entities; the first
one looks after what concerns the file as a whole as well: its ends, the numbers, the root. Who has what only one can
have is found here, from what they tell.

Promises: it finds what `verify.Alone` finds, in the same order. They tell after each block of lines, and wait until
that is heard, so memory does not grow with the file. Processes are new ones, not forks: whoever calls may have threads.
None is left when this returns.

A line of somebody else's is not decoded but cut: its entity and its hash stand where they always stand. Whoever it
falls to decodes it, and says if that was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from operator import attrgetter
from zlib import crc32

import msgspec

from interlock.engine.core import lines
from interlock.engine.core.verify import Finding, Owners, Took, Verifier, numbered
from interlock.replay.source import file_at
from interlock.replay.verify import MOST, Lines, Verified, all_findings, bounded, fitting, read
from interlock.schema.errors import StoreError

_ENTITY = b'"entity_id":"'
_SEARCHED = 200
"""Bytes from the beginning of a line within which its entity is named, where the line is as it should be."""
_HASH = slice(-67, -3)
"""Where the hash of a line stands."""


class Told(msgspec.Struct, frozen=True):
    """What one process has found in one block."""

    findings: list[Finding]
    took: list[Took]
    doubtful: set[str]


class Sums(msgspec.Struct, frozen=True):
    """What the file is as a whole, told in the end by the first process. `late`: findings after the last block."""

    count: int
    head: int
    root: str
    late: list[Finding]


def verify_together(path: str, jobs: int) -> Verified:
    """Verify a file in `jobs` processes.

    Raises:
        StoreError: it cannot be read, or one of the processes was ended.
    """
    with file_at(path), _processes(path, jobs) as ends:
        heard = _Heard(ends)
        found, more = bounded(fitting(heard.findings()))
    sums = heard.sums or Sums(0, 0, "", [])
    return Verified(count=sums.count, head=sums.head, root=sums.root, findings=found, more=more)


@contextmanager
def _processes(path: str, jobs: int) -> Iterator[list[Connection]]:
    context = get_context("spawn")
    pairs = [context.Pipe(duplex=False) for _ in range(jobs)]
    workers = [
        context.Process(target=_work, args=(path, number, jobs, told), daemon=True)
        for number, (_, told) in enumerate(pairs)
    ]
    try:
        for worker, (_, told) in zip(workers, pairs, strict=True):
            worker.start()
            told.close()
        yield [heard for heard, _ in pairs]
    finally:
        for worker, (heard, _) in zip(workers, pairs, strict=True):
            heard.close()
            if worker.pid is not None:
                worker.terminate()
                worker.join()


class _Heard:
    """What the processes tell, put together."""

    def __init__(self, ends: list[Connection]) -> None:
        self._ends = ends
        self._owners = Owners()
        self.sums: Sums | None = None

    def findings(self) -> Iterator[Finding]:
        """All of them, block by block."""
        while True:
            block = [_heard(end) for end in self._ends]
            if isinstance(block[0], Sums):
                self.sums = block[0]
                yield from self.sums.late
                return
            yield from self._of_block([told for told in block if isinstance(told, Told)])

    def _of_block(self, block: list[Told]) -> list[Finding]:
        found = [finding for told in block for finding in told.findings]
        for told in block:
            self._owners.doubtful |= told.doubtful
        for one in sorted((each for told in block for each in told.took), key=attrgetter("seq")):
            found += [msgspec.structs.replace(each, line=one.line) for each in self._owners.take(one)]
        return sorted(found, key=attrgetter("line"))


def _heard(end: Connection) -> Told | Sums:
    try:
        told: Told | Sums | StoreError = end.recv()
    except EOFError:
        raise StoreError("a process that verifies was ended; verify with --jobs 1") from None
    if isinstance(told, StoreError):
        raise told
    return told


# --- in each process


def _work(path: str, number: int, jobs: int, told: Connection) -> None:
    share = Share(number, jobs, told)
    with suppress(BrokenPipeError, KeyboardInterrupt):  # nobody listens any more
        try:
            with file_at(path) as file:
                for found in all_findings(file, Lines(share)):
                    share.beside(found)
            told.send(share.sums())
        except StoreError as error:
            told.send(error)


class Share:
    """Checks the rows of one process's entities; the first one's has the numbers and the root as well."""

    def __init__(self, number: int, jobs: int, told: Connection) -> None:
        self._number, self._jobs = number, jobs
        self._told = told
        self._verifier = Verifier()
        self._late: list[Finding] = []
        self._gaps = False
        self.count = self.head = 0
        self.root = lines.Root()

    def allow_gaps(self) -> None:
        """Numbers may be left out."""
        self._gaps = True

    def beside(self, found: Finding) -> None:
        """Something was found that is no row's. The first one tells, and not without end."""
        if self._number == 0 and len(self._late) <= MOST:
            self._late.append(found)

    def sums(self) -> Sums:
        """What there is to tell in the end."""
        return Sums(self.count, self.head, str(self.root), self._late)

    def check(self, first: int, block: list[bytes]) -> list[Finding]:
        """Check what is ours of the next lines, and tell; Lines hears of nothing."""
        found, self._late = self._late, []
        if self._number == 0:
            found += self._sum(first, block)
        took: list[Took] = []
        for number, line in enumerate(block, first):
            if self._whose(line) == self._number:
                found += self._row(number, line, took)
        self._told.send(Told(found, took, self._verifier.doubtful if found else set()))
        return []

    def _whose(self, line: bytes) -> int:
        begin = line.find(_ENTITY, 0, _SEARCHED) + len(_ENTITY)
        return crc32(line[begin : line.find(b'"', begin)]) % self._jobs

    def _row(self, number: int, line: bytes, took: list[Took]) -> list[Finding]:
        row, wrong = read(line)
        found = list(wrong)
        if row is not None:
            self._verifier.skip(row.seq - 1)
            more, taken = self._verifier.check(row)
            found += more
            if taken is not None:
                took.append(msgspec.structs.replace(taken, line=number))
        return [msgspec.structs.replace(each, line=number) for each in found]

    def _sum(self, first: int, block: list[bytes]) -> list[Finding]:
        found: list[Finding] = []
        hashes: list[str] = []
        for number, line in enumerate(block, first):
            if line.startswith(b'{"seq":%d,"' % (self.head + 1)):
                self.head += 1
                self.count += 1
            else:
                found += self._numbered(number, line)
            hashes.append(f"{self.head} {line[_HASH].decode(errors='replace')}\n")
        self.root.update("".join(hashes))
        return found

    def _numbered(self, number: int, line: bytes) -> list[Finding]:
        """A line that is not the one that is due: its number is read from what it says."""
        row, _ = read(line)
        if row is None:
            self.head += 1
            return []
        head, self.head = self.head, row.seq
        self.count += 1
        if self._gaps and row.seq > head:
            return []
        return [msgspec.structs.replace(each, line=number) for each in numbered(row, head)]
