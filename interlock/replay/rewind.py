"""Rewind: the fleet as it stood at a moment, played from the journal's first row.

A moment is a row's number, or a time. **At row N**: rows 1 to N are written, no other. **At time T**: all rows before
the first that was decided after T. The journal has the time of each decision, not of its commit, and the commits'
order; so times need not rise from row to row: a decision may wait for its commit while a later one passes it, and
workers' clocks differ. A row that follows one that was decided after T was itself written after T, whatever its own
time says; so, as far as clocks are right, what is left out was written after T, and no more could be. What was decided
by T and was still being committed at T is in. All rows of one decision have one time, so none is torn apart by a T.
Several decisions of one microsecond are in or out together; a number tells them apart.

Promises: what is given stood so in the tables, all of them together, once row N was written (a number in the middle of
a decision gives what its transaction saw); a later time never gives fewer rows. Memory is that of the records.

Never guesses: a row that cannot follow those before it ends the play with `JournalBroken`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping

import msgspec

from interlock.replay.fleet import Fleet
from interlock.schema.cloud import Place
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.transition import Transition

Pages = AsyncIterator[list[Transition]]
"""A journal from its first row, as `source.py` reads it."""
Places = Mapping[str, Iterable[Place]]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A number or a time, µs since 1970; with neither, the end of the journal."""

    seq: int | None = None
    at: int | None = None

    def includes(self, row: Transition) -> bool:
        """Whether a row is in, if all before it are."""
        if self.seq is not None:
            return row.seq <= self.seq
        return self.at is None or row.at <= self.at


class Play:
    """A journal that is played forward on a fleet.

    Args:
        pages: the journal.
        places: what VMs run on, as `Fleet` takes them.
    """

    def __init__(self, pages: Pages, places: Places) -> None:
        self.fleet = Fleet(places)
        self._rows = _rows(pages)
        self._ahead: Transition | None = None

    async def next(self) -> Transition | None:
        """The row that comes next, which is not played yet; None at the journal's end."""
        if self._ahead is None:
            self._ahead = await anext(self._rows, None)
        return self._ahead

    async def step(self) -> None:
        """Play the row that comes next, if there is one.

        Raises:
            JournalBroken: it cannot follow the rows before it.
        """
        if (row := await self.next()) is not None:
            self._ahead = None
            self.fleet.add(row)

    async def to(self, moment: Moment) -> Fleet:
        """Play up to a moment.

        Raises:
            InvalidRequest: more was played already: there is no way back.
            NotFound: the journal has no row of that number yet.
            JournalBroken: a row cannot follow the rows before it.
        """
        if self.fleet.last is not None and self._is_over(moment):
            raise InvalidRequest(f"that is before transition {self.fleet.seq}; name the earlier moment first")
        while (row := await self.next()) is not None and moment.includes(row):
            await self.step()
        if moment.seq is not None and self.fleet.seq < moment.seq:
            raise NotFound(f"there is no transition {moment.seq}; the journal ends with {self.fleet.seq}")
        return self.fleet

    def _is_over(self, moment: Moment) -> bool:
        if moment.seq is not None:
            return moment.seq < self.fleet.seq
        return moment.at is not None and moment.at < self.fleet.time


async def rewound(pages: Pages, places: Places, moment: Moment) -> Fleet:
    """The fleet as it stood at a moment.

    Raises:
        NotFound: the journal has no row of that number yet.
        JournalBroken: a row cannot follow the rows before it.
    """
    return await Play(pages, places).to(moment)


async def _rows(pages: Pages) -> AsyncIterator[Transition]:
    async for page in pages:
        for row in page:
            yield row
