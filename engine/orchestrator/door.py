"""The door for requests: so many at once are let in to be decided and written, all others wait outside, first come.

What waits outside is the caller's coroutine and nothing of ours; what is inside is a decision with its records and
rows. So memory is bounded however many call at once, and whoever calls faster than the database writes, or than drivers
act, is slowed down to that.

Promises: nothing that goes on with an operation passes here, so new requests never hold up what ends old ones; there is
no deadlock, since nobody inside waits for somebody outside. A caller that is cancelled leaves at once, and takes
nobody's place. Closing wakes all who wait with `EngineClosed`. No timer, no task.

Races considered. A caller is let in and cancelled at the same moment: its place goes to the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from interlock.schema.errors import EngineClosed

REQUESTS = 512
"""Requests that are decided or written at once. Too low: batches are small, and the disk waits; too high: memory, some
20 KiB each, and the last of them is decided long before it is written, on figures that are old by then."""
UNDER_WAY = 100_000
"""Operations that are accepted and have not ended, beyond which requests wait. Too low: callers wait though drivers
could be handed more; too high: memory, about 1 KiB each, and callers who hear after hours that there was no room."""


class Door:
    """One per engine, on one event loop.

    Args:
        under_way: how many operations are accepted and have not ended.
    """

    def __init__(self, under_way: Callable[[], int]) -> None:
        self._under_way = under_way
        self._inside = 0
        self._outside: dict[asyncio.Future[None], None] = {}
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many callers wait outside."""
        return len(self._outside)

    @property
    def inside(self) -> int:
        """How many requests are being decided or written."""
        return self._inside

    async def enter(self) -> None:
        """Wait to be let in; whoever was, calls `leave` once.

        Raises:
            EngineClosed: it closed before there was room.
        """
        if self._closed:
            raise _is_closed()
        if not self._outside and self._has_room():
            self._inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outside[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            self._outside.pop(turn, None)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """A request that was let in has been written, or refused."""
        self._inside -= 1
        self.look()

    def look(self) -> None:
        """There may be room: let in those who have waited longest."""
        while self._outside and self._has_room():
            turn = next(iter(self._outside))
            del self._outside[turn]
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True
        for turn in self._outside:
            if not turn.done():
                turn.set_exception(_is_closed())
        self._outside.clear()

    def _has_room(self) -> bool:
        return self._inside < REQUESTS and self._under_way() < UNDER_WAY


def _is_closed() -> EngineClosed:
    return EngineClosed("the engine is closed; open it again and ask once more: nothing of this was written")
