"""Where the commands of `replay` have their history from: the cloud a journal begins with, and its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.schema.cloud import Place
    from interlock.schema.transition import Transition


@asynccontextmanager
async def history(name: str) -> AsyncIterator[tuple[list[Place], AsyncIterator[list[Transition]]]]:
    """The cloud that a journal begins with, and its pages."""
    from interlock.engine.store.store import Store
    from interlock.replay.source import pages

    store = await Store.open(name, create=False)
    try:
        places = [place for found in (await store.places()).values() for place in found]
        yield places, pages(store)
    finally:
        await store.close()
