"""worker: drives what others ask for, until it is told to end.

SIGTERM and Ctrl-C drain it: it takes nothing more, lets the effects under way answer and commits what came of them, and
gives up its lease, so that other workers go on with the rest at once. A second signal ends it like `kill -9`; then the
others go on when its lease ends.
"""

from __future__ import annotations

import asyncio

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.output import note


@command("worker")
@click.option(
    "--in-flight",
    metavar="N",
    type=click.IntRange(min=1),
    help="Operations driven at once; others wait.  [default: 512]",
)
async def worker(face: Face, in_flight: int | None) -> Exit:
    """Drive what others ask for, until Ctrl-C; needs PostgreSQL.

    Run as many as you like, on any machine from which the hosts can be reached.
    """
    async with face.serving(in_flight) as engine:
        note(f"worker {engine.worker_id} serves {face.shown_db}")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            under_way = _operations(engine.under_way())
            note(f"ending: {under_way} under way; their effects are waited for, others go on with the rest")
    note(f"worker {engine.worker_id} has ended")
    return Exit.OK


def _operations(count: int) -> str:
    return f"{count} operation{'' if count == 1 else 's'}"
