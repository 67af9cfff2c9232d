"""Where the commands of `replay` have their history from: the pages of a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.schema.transition import Transition


@asynccontextmanager
async def history(source: str) -> AsyncIterator[AsyncIterator[list[Transition]]]:
    """The pages of a journal, of a database or a file.

    Raises:
        StoreError: it is not there, or a row cannot follow those before it.
    """
    from interlock.engine.core.rebuild import JournalBroken
    from interlock.replay.source import opened
    from interlock.schema.errors import StoreError

    try:
        async with opened(source) as pages:
            yield pages
    except JournalBroken as broken:
        raise StoreError(f"the journal cannot be played: {broken}") from broken
