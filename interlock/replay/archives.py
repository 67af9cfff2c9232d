"""The journal of a database with what was archived of it: all rows in order, as if none had ever left.

Promises: a row that is not in the database is looked for in the archives it knows of, which are read side by side, each
from when it is due; so memory follows from how many overlap. An archive is held to what the database says it is; one
that is missing or another is an error that names it. What leaves while it is read is found where it went.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Protocol

from sqlalchemy import Select

from interlock.engine.store import queries
from interlock.engine.store.archive import Archived, archives
from interlock.replay.source import PAGE, file_at, read
from interlock.schema.transition import Transition


class Reads(Protocol):
    """A store, or a snapshot of it."""

    async def rows(self, query: Select[Any]) -> Sequence[Any]:
        """What a query finds."""
        ...

    async def journal(self, query: Select[Any]) -> list[Transition]:
        """The journal rows that a query finds."""
        ...


async def all_pages(reads: Reads, after: int = 0) -> AsyncIterator[list[Transition]]:
    """All transitions with a number above `after`, the oldest first.

    Raises:
        StoreError: the database or an archive cannot be read.
        JournalDamaged: an archive is not as it was written.
    """
    last, away = after, _Away(reads)
    while page := await reads.journal(queries.journal_after(last, PAGE)):
        whole: list[Transition] = []
        for row in page:
            if row.seq != last + 1:
                whole += await away.between(last, row.seq)
            whole.append(row)
            last = row.seq
        yield whole


class _Away:
    """What is in archives."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._rows: Iterator[Transition] = iter(())
        self._next: Transition | None = None

    async def between(self, last: int, number: int) -> list[Transition]:
        """The rows after one number and before another, as far as there are any."""
        if self._next is None or self._next.seq != last + 1:
            # At the beginning; or some have left since, or are nowhere.
            await self._look(last)
        found = []
        while self._next is not None and self._next.seq < number:
            found.append(self._next)
            self._next = next(self._rows, None)
        return found

    async def _look(self, last: int) -> None:
        known = [Archived(**row._mapping) for row in await self._reads.rows(archives())]
        self._rows = _merged([each for each in known if each.last > last], last)
        self._next = next(self._rows, None)


def _merged(known: Sequence[Archived], last: int) -> Iterator[Transition]:
    """The rows of all archives in order; each is opened when its first row is due."""
    waiting, due = list(reversed(known)), list[tuple[int, int, Transition, Iterator[Transition]]]()
    while waiting or due:
        while waiting and (not due or waiting[-1].first <= due[0][0]):
            _push(due, len(waiting), _rows(waiting.pop(), last))
        if due:
            _, tie, row, rows = heapq.heappop(due)
            yield row
            _push(due, tie, rows)


def _push(due: list[tuple[int, int, Transition, Iterator[Transition]]], tie: int, rows: Iterator[Transition]) -> None:
    if (row := next(rows, None)) is not None:
        heapq.heappush(due, (row.seq, tie, row, rows))


def _rows(known: Archived, last: int) -> Iterator[Transition]:
    with file_at(str(known.path)) as file:
        for row in read(file, str(known.path), known.root):
            if row.seq > last:
                yield row
