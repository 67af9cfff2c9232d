"""why: the chain from a request to the present state of a VM, a disk or an operation, as the journal tells it."""

from __future__ import annotations

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.past import found, searched_file
from interlock.cli.times import microseconds_now


@command("why")
@click.argument("name", metavar="VM|DISK|OPERATION")
@click.option("--full", "in_full", is_flag=True, help="With every transition, candidate and call, on many screens.")
@searched_file
async def why(face: Face, name: str, in_full: bool, file: str | None) -> Exit:
    """Say why a VM, a disk or an operation is as it is: one screen, what matters most first.

    Who asked for it, what was decided and why not otherwise, what drivers were asked, how long it took and what they
    answered, what was tried again, and the ways out where it waits for a person. A name or an id will do.
    """
    from interlock.cli.telling import full, short
    from interlock.replay import why as replay

    machine, entity_id, rows = await found(face, file, name)
    answer = replay.why(rows, machine, entity_id)
    now = microseconds_now()
    if face.out.json:
        face.out.document(replay.document(answer))
        return Exit.OK
    for line in full(answer, now) if in_full else short(answer, now, face.out.width):
        face.out.line(line)
    return Exit.OK
