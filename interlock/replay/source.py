"""Reads the transitions of a journal, in order, a page at a time, so that memory does not grow with the journal.

A page is read when it is asked for: what is committed meanwhile is in a later one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.transition import Transition

PAGE = 1000
"""Rows read at once. Too few: a statement's cost for each; too many: a page of long rows fills the memory."""


async def pages(store: Store, after: int = 0) -> AsyncIterator[list[Transition]]:
    """All committed transitions of a database with a number above `after`, the oldest first."""
    while page := await store.journal(queries.journal_after(after, PAGE)):
        yield page
        after = page[-1].seq
