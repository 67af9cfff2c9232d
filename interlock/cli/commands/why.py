"""why: the chain from a request to the present state of a VM, a disk or an operation, as the journal tells it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.times import microseconds_now
from interlock.schema.errors import NotFound
from interlock.schema.transition import Transition

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

Found = tuple[str, str, list[Transition]]
"""What was meant: machine, id, and its history."""


@command("why")
@click.argument("name", metavar="VM|DISK|OPERATION")
@click.option("--full", "in_full", is_flag=True, help="With every transition, candidate and call, on many screens.")
async def why(face: Face, name: str, in_full: bool) -> Exit:
    """Say why a VM, a disk or an operation is as it is: one screen, what matters most first.

    Who asked for it, what was decided and why not otherwise, what drivers were asked, how long it took and what they
    answered, what was tried again, and the ways out where it waits for a person. A name or an id will do.
    """
    from interlock.cli.telling import full, short
    from interlock.replay import why as replay

    async with face.looking() as engine:
        machine, entity_id, rows = await found(engine, name)
    answer = replay.why(rows, machine, entity_id)
    now = microseconds_now()
    if face.out.json:
        face.out.document(replay.document(answer))
        return Exit.OK
    for line in full(answer, now) if in_full else short(answer, now, face.out.width):
        face.out.line(line)
    return Exit.OK


async def found(engine: Engine, name: str) -> Found:
    """The history of what is meant: a VM before a disk before an operation.

    Raises:
        NotFound: there is none of that name or id.
        InvalidRequest: several live under that name.
    """
    with suppress(NotFound):
        vm = await engine.vm(name)
        return "vm", vm.id, await engine.history(vm.id)
    with suppress(NotFound):
        disk = await engine.disk(name)
        return "volume", disk.id, await _of_disk(engine, disk.id)
    if rows := await _of_operation(engine, name):
        return "operation", name, rows
    raise NotFound(f"there is no VM, disk or operation {name!r}; `interlock ps --all` and `interlock disks --all` list")


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
