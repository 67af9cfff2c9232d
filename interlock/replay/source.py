"""Reads the transitions of a journal, in order, a page at a time, so that memory does not grow with the journal.

`opened` takes any journal: a database by URL or path, a file of lines, plain or packed, or `-` for standard input.

Promises: a page of a database is read when it is asked for: what is committed meanwhile is in a later one. A file is
held to what it says of itself while it is read: the first line that was changed ends the reading with an error that
names it, and so does a file that was cut off, at its end. `interlock journal verify` looks further.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.engine.core import lines
from interlock.engine.core.decision import seal
from interlock.engine.store import files, queries
from interlock.schema.errors import JournalDamaged, StoreError
from interlock.schema.exported import Header
from interlock.schema.transition import Transition

if TYPE_CHECKING:
    from interlock.engine.store.store import Store

PAGE = 1000
"""Rows read at once. Too few: a statement's cost for each; too many: a page of long rows fills the memory."""
STDIN = "-"
_SQLITE = b"SQLite format 3\0"


async def pages(store: Store, after: int = 0) -> AsyncIterator[list[Transition]]:
    """All committed transitions of a database with a number above `after`, archived ones as well, the oldest first."""
    from interlock.replay.archives import all_pages

    async for page in all_pages(store, after):
        yield page


async def committed(store: Store) -> AsyncIterator[list[Transition]]:
    """All transitions that are committed now: those that come while they are read are left out."""
    [[head]] = await store.rows(queries.journal_head())
    async for page in pages(store):
        if kept := [row for row in page if row.seq <= head]:
            yield kept
        if page[-1].seq >= head:
            return


@asynccontextmanager
async def opened(source: str, after: int = 0) -> AsyncIterator[AsyncIterator[list[Transition]]]:
    """Pages of the transitions of a journal.

    Args:
        source: a path or URL of a database, the path of a file, or `-`.
        after: only those with a higher number.

    Raises:
        StoreError: there is no such journal, or it cannot be read.
        JournalDamaged: (while it is read) the file is not as it was written.
    """
    if is_file(source):
        with file_at(source) as file:
            yield _file_pages(file, source, after)
        return
    async with store_at(source) as store:
        yield pages(store, after)


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[Store]:
    """The database of a path or URL, open to be read.

    Raises:
        StoreError: it is not there, or is none.
    """
    from interlock.engine.store.store import Store

    store = await Store.open(url, create=False)
    try:
        yield store
    finally:
        await store.close()


def is_file(source: str) -> bool:
    """Whether a source is a file of lines, and not a database.

    Raises:
        StoreError: it is neither a URL, nor is there a file of that name.
    """
    if source == STDIN:
        return True
    if "://" in source:
        return False
    with file_at(source) as file:
        return file.peek(len(_SQLITE))[: len(_SQLITE)] != _SQLITE


def file_at(path: str) -> BufferedReader:
    """A file, open for reading.

    Raises:
        StoreError: it is not there, or cannot be read.
    """
    try:
        if path == STDIN:
            return open(sys.stdin.fileno(), "rb", closefd=False)
        return Path(path).open("rb")
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error


async def _file_pages(file: BufferedReader, name: str, after: int) -> AsyncIterator[list[Transition]]:
    page: list[Transition] = []
    for row in read(file, name):
        if row.seq > after:
            page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def read(file: BufferedReader, name: str, root: str | None = None) -> Iterator[Transition]:
    """The transitions of an open file.

    Args:
        name: what errors call it.
        root: what its root must be, if that is known.

    Raises:
        JournalDamaged: it is not as it was written; the message names the line.
        StoreError: it is packed, and cannot be unpacked here.
    """
    number = 0
    reader = Reader()
    try:
        for line in files.lines(file):
            number += 1
            row = reader.take(line)
            if row is not None:
                yield row
        number += 1
        reader.end(root)
    except (lines.LineBroken, files.FileBroken) as error:
        raise JournalDamaged(f"{name}, line {number}: {error}; `interlock journal verify` says more") from error


class Reader:
    """What was read of a file so far, and whether the next line can follow."""

    def __init__(self) -> None:
        self._begun: Header | None = None
        self._ended = False
        self._root = lines.Root()
        self._count = self._head = 0

    def take(self, line: bytes) -> Transition | None:
        """The next line's transition; None if it is the header or the trailer.

        Raises:
            LineBroken: it cannot follow.
        """
        if self._begun is None:
            self._begun = lines.header_of(line)
            return None
        if self._ended:
            raise lines.LineBroken("it comes after the end")
        if lines.is_trailer(line):
            lines.check_trailer(lines.trailer_of(line), self._begun, self._count, self._head, self._root)
            self._ended = True
            return None
        return self._row(line)

    def _row(self, line: bytes) -> Transition:
        row = lines.row_of(line)
        if row.seq != self._head + 1 and not (self._gaps and row.seq > self._head):
            raise lines.LineBroken(f"transition {row.seq} comes after transition {self._head}")
        if seal(row) != row.hash:
            raise lines.LineBroken(f"transition {row.seq} was edited: it does not give its hash")
        self._root.add([row])
        self._count, self._head = self._count + 1, row.seq
        return row

    @property
    def _gaps(self) -> bool:
        return self._begun is not None and self._begun.gaps

    def end(self, root: str | None = None) -> None:
        """There are no more lines.

        Raises:
            LineBroken: there should be; or the root is not the one that is known.
        """
        if not self._ended:
            raise lines.LineBroken("the trailer is missing: the file was cut off")
        if root is not None and root != str(self._root):
            raise lines.LineBroken("the file ends here, and is another one than was archived: it has another root")
