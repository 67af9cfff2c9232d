"""What the commands that play a journal share: where it is read from, and what becomes of one that is broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from interlock.cli.face import Face
from interlock.engine.core.rebuild import JournalBroken
from interlock.replay.rewind import Play
from interlock.schema.errors import StoreError


@asynccontextmanager
async def playing(face: Face) -> AsyncIterator[Play]:
    """The journal of the command's database, from its first row.

    Raises:
        StoreError: a row cannot follow those before it.
    """
    async with face.looking() as engine:
        try:
            yield Play(engine.journal(), await engine.places())
        except JournalBroken as broken:
            raise StoreError(f"the journal cannot be played: {broken}") from broken
