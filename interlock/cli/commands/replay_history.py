"""Where the commands of `replay` have their history from: the pages of a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.schema.transition import Transition


@asynccontextmanager
async def history(name: str) -> AsyncIterator[AsyncIterator[list[Transition]]]:
    """The pages of the journal of a database.

    Raises:
        StoreError: it is not there, or a row cannot follow those before it.
    """
    from interlock.engine.core.rebuild import JournalBroken
    from interlock.engine.store.store import Store
    from interlock.replay.source import pages
    from interlock.schema.errors import StoreError

    store = await Store.open(name, create=False)
    try:
        yield pages(store)
    except JournalBroken as broken:
        raise StoreError(f"the journal cannot be played: {broken}") from broken
    finally:
        await store.close()
