"""Stories that have ended leave the database for a file: rows of the tables, and all their journal rows.

A story is what ended together: an Expunged VM with its NICs, its volumes and all operations on them; or a disk that
belonged to no VM, with its operations; or an operation that was about neither. It is ripe when all of it has ended, its
root before a given time, and none of it holds the journal's last row, which says what number comes next.

Promises: the file is written, durable and under its name before the first row goes; all rows go in one transaction that
also writes what the file is (table `archive`), and that fails if any of them is not there any more. So a crash at any
moment leaves the rows, or the rows and a file that nobody knows, or the file that is known; done again, it is finished.
Guards let rows go only in such a transaction. The journal with its archives (`interlock/replay/source.py`) has all
numbers and the root it would have without.

Races considered. Two engines archive the same stories: both files are the same, the second transaction finds rows
missing and is rolled back. An operation begins on what is ripe: nothing can, of what has ended. Somebody reads the
journal meanwhile: a page before has the rows, a page after does not, and the reader looks into the archives then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Select, bindparam, delete, exists, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.engine.core import lines
from interlock.engine.store import files
from interlock.engine.store.queries import journal_head, one_of
from interlock.engine.store.snapshot import Snapshot
from interlock.engine.store.store import Store
from interlock.schema.errors import StoreError
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.tables import metadata
from interlock.schema.tables.history import archive, archiving, journal
from interlock.schema.tables.records import OVER, nic, operation, vm, volume
from interlock.schema.transition import Transition

BATCH = 200
"""Stories of one file. Too few: many files; too many: whoever commits waits while they leave, and memory is taken."""
NOBODY = "interlock"
"""Who made a file that an engine wrote by itself."""
_AT_ONCE = 500
"""Ids in one statement. Too few: many statements; too many: more than a database takes."""
_LEAVE = ("operation", "nic", "volume", "vm")
"""The order in which rows go: those that refer to others first."""
_EXPUNGED_VM = (one_of(vm.c.state, OVER), vm.c.state == "Expunged")
"""Said so that the index of what is over answers it."""
_OVER = {name: machine.names(Stability.TERMINAL) for name, machine in MACHINES.items()}


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """One file, and what is in it: a row of table `archive`."""

    id: str
    folder: str
    count: int
    first: int
    last: int
    root: str
    archived_at: int

    @property
    def path(self) -> Path:
        """Where it was written."""
        return Path(self.folder) / self.id


def archives() -> Select[Any]:
    """All there are, those first that begin first."""
    return select(archive).order_by(archive.c.first)


async def archive_ripe(store: Store, folder: Path, *, before: int, at: int, made_by: str) -> Archived | None:
    """Archive a batch of stories; None if none is ripe.

    Args:
        folder: where the file goes; it must be there, and stay there.
        before: only stories that ended before this time (µs since 1970).
        at: the present time.
        made_by: what the file says of who wrote it.

    Raises:
        StoreError: the file or the database cannot be written; nothing was removed.
    """
    async with store.snapshot() as snapshot:
        stories = await _ripe(snapshot, before)
        ids = list(dict.fromkeys(each for story in stories for some in story.values() for each in some))
        rows = await _rows(snapshot, ids)
    if not rows:
        return None
    known = _written(folder, rows, made_by, at)
    async with store.locked() as connection:
        await _leave(connection, known, ids)
    return known


def oldest_ended() -> Select[Any]:
    """When the VM ended that ended first of all that are there."""
    return select(vm.c.since).where(*_EXPUNGED_VM).order_by(vm.c.since).limit(1)


Story = dict[str, list[str]]
"""Ids by machine."""


async def _ripe(snapshot: Snapshot, before: int) -> list[Story]:
    roots = [
        *[("vm", each) for (each,) in await snapshot.rows(_ended_vms(before))],
        *[("volume", each) for (each,) in await snapshot.rows(_ended_disks(before))],
        *[("operation", each) for (each,) in await snapshot.rows(_ended_operations(before))],
    ][:BATCH]
    [[head]] = await snapshot.rows(journal_head())
    last = {each for (each,) in await snapshot.rows(select(journal.c.entity_id).where(journal.c.seq == head))}
    stories = [await _story(snapshot, machine, root) for machine, root in roots]
    return [story for story in stories if last.isdisjoint(each for ids in story.values() for each in ids)]


def _ended_vms(before: int) -> Select[Any]:
    disks = select(volume.c.id).where(volume.c.vm_id == vm.c.id)
    met = (
        *_EXPUNGED_VM,
        vm.c.since < before,
        ~exists().where(nic.c.vm_id == vm.c.id, nic.c.state.not_in(_OVER["nic"])),
        ~exists().where(volume.c.vm_id == vm.c.id, volume.c.state.not_in(_OVER["volume"])),
        ~exists().where(operation.c.vm_id == vm.c.id, operation.c.state.not_in(_OVER["operation"])),
        ~exists().where(operation.c.volume_id.in_(disks), operation.c.state.not_in(_OVER["operation"])),
    )
    return select(vm.c.id).where(*met).order_by(vm.c.since).limit(BATCH)


def _ended_disks(before: int) -> Select[Any]:
    met = (
        volume.c.vm_id.is_(None),
        volume.c.state == bindparam(None, "Expunged", literal_execute=True),
        volume.c.since < before,
        ~exists().where(operation.c.volume_id == volume.c.id, operation.c.state.not_in(_OVER["operation"])),
    )
    return select(volume.c.id).where(*met).order_by(volume.c.since).limit(BATCH)


def _ended_operations(before: int) -> Select[Any]:
    neither = (operation.c.vm_id.is_(None), operation.c.volume_id.is_(None))
    met = (*neither, operation.c.state.in_(_OVER["operation"]), operation.c.since < before)
    return select(operation.c.id).where(*met).order_by(operation.c.since).limit(BATCH)


async def _story(snapshot: Snapshot, machine: str, root: str) -> Story:
    story: Story = {name: [] for name in _LEAVE}
    story[machine].append(root)
    if machine == "vm":
        story["nic"] = await _ids(snapshot, select(nic.c.id).where(nic.c.vm_id == root))
        story["volume"] = await _ids(snapshot, select(volume.c.id).where(volume.c.vm_id == root))
    if machine != "operation":
        theirs = or_(operation.c.vm_id == root, operation.c.volume_id.in_(story["volume"]))
        story["operation"] = await _ids(snapshot, select(operation.c.id).where(theirs))
    return story


async def _ids(snapshot: Snapshot, query: Select[Any]) -> list[str]:
    return [row[0] for row in await snapshot.rows(query)]


async def _rows(snapshot: Snapshot, ids: Sequence[str]) -> list[Transition]:
    found: list[Transition] = []
    for some in _parts(ids):
        found += await snapshot.journal(select(journal).where(journal.c.entity_id.in_(some)))
    return sorted(found, key=lambda row: row.seq)


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[begin : begin + _AT_ONCE] for begin in range(0, len(ids), _AT_ONCE))


def _written(folder: Path, rows: Sequence[Transition], made_by: str, at: int) -> Archived:
    root = lines.Root()
    root.add(rows)
    first, last = rows[0].seq, rows[-1].seq
    name = f"journal-{first}-{last}-{str(root)[:12]}.jsonl.zst"
    header = lines.header(made_by, gaps=True)
    with files.written(folder / name) as write:
        write(header)
        for row in rows:
            write(lines.line_of(row))
        write(lines.trailer(header, len(rows), last, root))
    where = str(folder.resolve())
    return Archived(id=name, folder=where, count=len(rows), first=first, last=last, root=str(root), archived_at=at)


async def _leave(connection: AsyncConnection, known: Archived, ids: Sequence[str]) -> None:
    """Remove the rows, and say where they are.

    Raises:
        StoreError: not all of them are there.
    """
    await connection.execute(insert(archive).values(**msgspec.structs.asdict(known)))
    leaving = [{"entity_id": each, "archive_id": known.id} for each in ids]
    await connection.execute(insert(archiving), leaving)
    chosen = select(archiving.c.entity_id)
    left = 0
    for name in _LEAVE:
        table = metadata.tables[name]
        left += (await connection.execute(delete(table).where(table.c.id.in_(chosen)))).rowcount
    rows = (await connection.execute(delete(journal).where(journal.c.entity_id.in_(chosen)))).rowcount
    if (rows, left) != (known.count, len(ids)):
        raise StoreError("what was to be archived has changed; somebody else has archived it, or will")
    await connection.execute(delete(archiving))
