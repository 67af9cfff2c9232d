"""Where commands that look back read: the journal of a database, with what was archived of it, or a file of lines.

What lives in the database is looked up there, by its indexes. Only what has left for an archive, and what is in a file,
is searched for from the journal's beginning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import click

from interlock.cli.face import Face
from interlock.engine.core.rebuild import JournalBroken
from interlock.replay.finding import Found, find
from interlock.replay.rewind import Play
from interlock.replay.source import opened
from interlock.schema.errors import NotFound, StoreError
from interlock.schema.transition import Transition

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

journal_file = click.option(
    "--journal", "file", metavar="FILE", help="Read an exported journal, not a database. `-`: standard input."
)
searched_file = click.option("--journal", "file", metavar="FILE", help="Search an exported journal, not a database.")
"""As `journal_file`, where the file is read more than once."""


@asynccontextmanager
async def playing(face: Face, file: str | None) -> AsyncIterator[Play]:
    """A journal to be played from its first row.

    Raises:
        StoreError: it cannot be read, or a row cannot follow those before it.
    """
    if file is not None:
        async with opened(file) as pages:
            with heard():
                yield Play(pages, {})
        return
    async with face.looking() as engine:
        with heard():
            yield Play(engine.journal(), await engine.places())


@contextmanager
def heard() -> Iterator[None]:
    """Say in a person's words that a row cannot follow those before it."""
    try:
        yield
    except JournalBroken as broken:
        raise StoreError(f"the journal cannot be played: {broken}") from broken


async def rows(face: Face, file: str | None) -> AsyncIterator[Transition]:
    """A journal's rows in order, as they are."""
    if file is not None:
        async for page in _read(file):
            for row in page:
                yield row
        return
    async with face.looking() as engine:
        async for page in engine.journal():
            for row in page:
                yield row


async def found(face: Face, file: str | None, name: str) -> Found:
    """What is meant by a name or an id, with its history: a VM before a disk before an operation.

    Raises:
        NotFound: there is none.
        InvalidRequest: several live under that name.
    """
    if file is not None:
        hit = await find(lambda: _read(file), name)
    else:
        async with face.looking() as engine:
            hit = await _known(engine, name) or (await find(engine.journal, name) if await engine.archived() else None)
    if hit is None:
        raise NotFound(f"there is no VM, disk or operation {name!r}{_hint(file)}")
    return hit


def _hint(file: str | None) -> str:
    return f" in {file}" if file else "; `interlock ps --all` and `interlock disks --all` list"


async def _read(file: str) -> AsyncIterator[list[Transition]]:
    async with opened(file) as pages:
        async for page in pages:
            yield page


async def _known(engine: Engine, name: str) -> Found | None:
    """What is in the database."""
    with suppress(NotFound):
        vm = await engine.vm(name)
        return Found("vm", vm.id, await engine.history(vm.id))
    with suppress(NotFound):
        disk = await engine.disk(name)
        return Found("volume", disk.id, await _of_disk(engine, disk.id))
    rows = await _of_operation(engine, name)
    return Found("operation", name, rows) if rows else None


async def _of_disk(engine: Engine, disk_id: str) -> list[Transition]:
    """Its rows, and those of the operations that wrote them: they may be of several VMs, or of none."""
    own = await engine.history_of([disk_id])
    return await engine.history_of([disk_id, *dict.fromkeys(row.operation_id for row in own if row.operation_id)])


async def _of_operation(engine: Engine, operation_id: str) -> list[Transition]:
    own = await engine.history_of([operation_id])
    if not own or own[0].machine != "operation":
        return []
    if own[0].vm_id is None:
        disk_id = own[0].changed.get("volume_id")
        rows = await engine.history_of([operation_id, *([disk_id] if disk_id else [])])
    else:
        rows = await engine.history(own[0].vm_id)
    return [row for row in rows if operation_id in (row.operation_id, row.entity_id)]
