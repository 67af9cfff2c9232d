"""Writes a journal as lines: header, transitions as they come, trailer. Memory does not grow with the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

import interlock
from interlock.engine.core import lines
from interlock.schema.transition import Transition


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    count: int
    head: int
    """Number of the last transition."""
    root: str
    """Over all of them: the same for the same journal, wherever it is kept."""


async def export(pages: AsyncIterator[list[Transition]], write: Callable[[bytes], object]) -> Exported:
    """Write all lines of a journal.

    Args:
        pages: its transitions, from the first.
        write: is given some lines at a time.
    """
    first = lines.header(f"interlock {interlock.__version__}")
    write(first)
    count = head = 0
    root = lines.Root()
    async for page in pages:
        for row in page:
            write(lines.line_of(row))
        root.add(page)
        count, head = count + len(page), page[-1].seq
    write(lines.trailer(first, count, head, root))
    return Exported(count=count, head=head, root=str(root))
