"""Finds a VM, a disk or an operation in a journal by name or id, with all rows that tell of it.

For journals that are no database, and for what has left its database for an archive. The journal is read from its
beginning twice, for a disk three times, and only what is found is kept.

Promises: an id finds what it names; a name finds the VM that bore it last, else the disk. A VM comes before a disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Container
from typing import NamedTuple

from interlock.schema.transition import Transition

Pages = Callable[[], AsyncIterator[list[Transition]]]
"""Begins to read the journal again."""
MACHINES = ("vm", "volume", "operation")
"""What may be meant, the first before the others."""


class Found(NamedTuple):
    """What was meant, and its history."""

    machine: str
    entity_id: str
    rows: list[Transition]


async def find(pages: Pages, name: str) -> Found | None:
    """What bears a name or an id; None if nothing does."""
    known = await _ids(pages, name)
    for machine in MACHINES:
        if machine in known:
            return Found(machine, known[machine], await _rows(pages, machine, known[machine]))
    return None


async def _ids(pages: Pages, name: str) -> dict[str, str]:
    """The newest id that was meant, by machine."""
    known: dict[str, str] = {}
    async for page in pages():
        for row in page:
            if row.entity_id == name or (name in row.changes and row.changed.get("name") == name):
                known[row.machine] = row.entity_id
    return known


async def _rows(pages: Pages, machine: str, entity_id: str) -> list[Transition]:
    if machine == "vm":
        return [row async for page in pages() for row in page if row.vm_id == entity_id]
    if machine == "operation":
        return [row async for page in pages() for row in page if entity_id in (row.operation_id, row.entity_id)]
    own = await _of(pages, [entity_id])
    return await _of(pages, {entity_id, *(row.operation_id for row in own if row.operation_id)})


async def _of(pages: Pages, ids: Container[str]) -> list[Transition]:
    return [row async for page in pages() for row in page if row.entity_id in ids]
