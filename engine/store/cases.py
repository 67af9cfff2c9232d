"""Cases: what operations are about, and who owns it, read for many at once.

An engine that takes over ten thousand operations reads each of them, its VM and what belongs to it; so does every
request about a VM that is there. What is asked at one moment is read together, with one statement for each table.

Promises: a case is what reading it alone would give, at some moment after it was asked for; its parts may be of
different moments, which whoever writes finds out by their versions. A row that cannot be understood is the trouble of
its own case only. Memory: a batch of cases, however many wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.engine.store import queries
from interlock.engine.store.gather import Gather
from interlock.schema.errors import NotFound
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.schema.rows import reader

BATCH = 256
"""Cases read together at most. Too low: more round trips; too high: memory, and the first waits for the last."""

Row = Any
Rows = Mapping[str, Sequence[Row]]
"""By id of what they are, or of the VM that they belong to."""
Read = Callable[[Select[Any]], Awaitable[Sequence[Row]]]
_operation, _vm, _nic, _volume = reader(Operation), reader(Vm), reader(Nic), reader(Volume)


class Case(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an operation is about, as the database has it."""

    operation: Operation | None
    vm: Vm | None
    nics: tuple[Nic, ...]
    volumes: tuple[Volume, ...]
    """Those of the VM, and the one the operation is about, wherever that is."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whose case; of an operation it says which VM and volume."""

    operation_id: str | None = None
    vm_id: str | None = None
    volume_id: str | None = None


class Cases:
    """Reads them.

    Args:
        reading: a connection for reads.
    """

    def __init__(self, reading: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        self._reading = reading
        self._gather = Gather(self._read, BATCH, "interlock reader")
        self._owners = Gather(self._read_owners, BATCH, "interlock reader of owners")

    async def of_operation(self, operation_id: str) -> Case:
        """An operation with its VM, what of it still lives, and its volume.

        Raises:
            NotFound: there is no such operation.
        """
        return await self._ask(Wanted(operation_id=operation_id))

    async def of_subject(self, vm_id: str | None, volume_id: str | None) -> Case:
        """What a request or an operation is about: a VM, a volume with the VM it belongs to, or both.

        Raises:
            NotFound: one of them is not there.
        """
        return await self._ask(Wanted(vm_id=vm_id, volume_id=volume_id))

    async def owners(self, vm_id: str | None, volume_id: str | None) -> Sequence[Operation]:
        """The operations that own a VM or a volume, at most one each."""
        wanted = Wanted(vm_id=vm_id, volume_id=volume_id)
        return await self._owners.ask(wanted) if _may_be_there(wanted) else ()

    async def close(self) -> None:
        """Return when nobody waits any more."""
        await self._gather.close()
        await self._owners.close()

    async def _ask(self, wanted: Wanted) -> Case:
        if not _may_be_there(wanted):
            raise _not_there(wanted)  # a database that cannot even be asked for it would fail all the others
        return await self._gather.ask(wanted)

    async def _read(self, wanted: Sequence[Wanted]) -> Sequence[Case | Exception]:
        async with self._reading() as connection:
            found = await _found(wanted, partial(_rows, connection))
        return [_made(each, found) for each in wanted]

    async def _read_owners(self, wanted: Sequence[Wanted]) -> Sequence[Sequence[Operation] | Exception]:
        async with self._reading() as connection:
            read = partial(_rows, connection)
            of_vms = await _owning("vm_id", [each.vm_id for each in wanted], read)
            of_volumes = await _owning("volume_id", [each.volume_id for each in wanted], read)
        return [
            _each_once(of_vms.get(each.vm_id or "", []) + of_volumes.get(each.volume_id or "", [])) for each in wanted
        ]


async def _rows(connection: AsyncConnection, query: Select[Any]) -> Sequence[Row]:
    found: Sequence[Row] = (await connection.execute(query)).all()
    return found


async def _owning(column: str, ids: Iterable[str | None], read: Read) -> dict[str, list[Row]]:
    known = queries.padded(id for id in ids if id is not None)
    return _by(column, await read(queries.active_on(column, known))) if known else {}


def _each_once(rows: Sequence[Row]) -> Sequence[Operation] | Exception:
    try:
        return tuple({row.id: _operation(row) for row in rows}.values())
    except Exception as error:
        return error


class _Found(msgspec.Struct, frozen=True, gc=False):
    operations: Rows
    volumes: Rows
    """Those that were asked for."""
    vms: Rows
    nics_of: Rows
    volumes_of: Rows


async def _found(wanted: Sequence[Wanted], read: Read) -> _Found:
    async def rows(query: Callable[[str, Sequence[str]], Select[Any]], machine: str, ids: Iterable[str | None]) -> Rows:
        known = queries.padded(id for id in ids if id is not None)
        return _by("vm_id" if query is queries.living else "id", await read(query(machine, known))) if known else {}

    operations = await rows(queries.entities, "operation", (each.operation_id for each in wanted))
    about = [*wanted, *(row for [row] in operations.values())]
    volumes = await rows(queries.entities, "volume", (each.volume_id for each in about))
    vm_ids = [each.vm_id for each in (*about, *(row for [row] in volumes.values()))]
    return _Found(
        operations,
        volumes,
        vms=await rows(queries.entities, "vm", vm_ids),
        nics_of=await rows(queries.living, "nic", vm_ids),
        volumes_of=await rows(queries.living, "volume", vm_ids),
    )


def _by(column: str, rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(getattr(row, column), []).append(row)
    return found


def _made(wanted: Wanted, found: _Found) -> Case | Exception:
    try:
        if wanted.operation_id is None:
            return _subject(wanted, found)
        [row] = found.operations.get(wanted.operation_id) or _missing(wanted)
        operation = _operation(row)
        about = Wanted(vm_id=operation.vm_id, volume_id=operation.volume_id)
        return msgspec.structs.replace(_subject(about, found), operation=operation)
    except Exception as error:
        return error


def _subject(wanted: Wanted, found: _Found) -> Case:
    volume, vm_id = None, wanted.vm_id
    if wanted.volume_id is not None:
        [row] = found.volumes.get(wanted.volume_id) or _missing(Wanted(volume_id=wanted.volume_id))
        volume = _volume(row)
        vm_id = vm_id or volume.vm_id
    case = _of_vm(vm_id, found) if vm_id else Case(operation=None, vm=None, nics=(), volumes=())
    if volume is None or volume.id in {each.id for each in case.volumes}:
        return case
    return msgspec.structs.replace(case, volumes=(*case.volumes, volume))


def _of_vm(vm_id: str, found: _Found) -> Case:
    [row] = found.vms.get(vm_id) or _missing(Wanted(vm_id=vm_id))
    return Case(
        operation=None,
        vm=_vm(row),
        nics=tuple(map(_nic, found.nics_of.get(vm_id, ()))),
        volumes=tuple(map(_volume, found.volumes_of.get(vm_id, ()))),
    )


def _may_be_there(wanted: Wanted) -> bool:
    return all(id.isascii() and id.isprintable() for id in msgspec.structs.astuple(wanted) if id is not None)


def _missing(wanted: Wanted) -> Sequence[Row]:
    raise _not_there(wanted)


def _not_there(wanted: Wanted) -> NotFound:
    if wanted.operation_id is not None:
        return NotFound(f"there is no operation {wanted.operation_id!r}")
    if wanted.volume_id is not None:
        return NotFound(f"there is no disk {wanted.volume_id!r}; `interlock disks` lists them")
    return NotFound(f"there is no VM {wanted.vm_id!r}; `interlock ps` lists them")
