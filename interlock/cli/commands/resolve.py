"""resolve: a person takes a way out for a Stuck operation. cancel: an operation that nobody drives is undone.

Both are journaled with who asked; both wait until the operation has come to rest.
"""

from __future__ import annotations

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.report import document, reporter
from interlock.cli.work import HOPED, Work, working
from interlock.embed.handle import Handle

UNDONE = ("Failed", "Cancelled")
"""How an operation ends whose undo was asked for."""


@command("resolve")
@click.argument("operation", metavar="OPERATION")
@click.option("--retry", "way", flag_value="retry", help="Do again what it was doing.")
@click.option("--undo", "way", flag_value="undo", help="Go on undoing it.")
@click.option("--accept", "way", flag_value="accept", help="Vouch that the world is as the undo would leave it.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; goes into the journal with your name.")
async def resolve(face: Face, operation: str, way: str | None, reason: str) -> Exit:
    """Take a way out for the Stuck operation OPERATION, an id as `show` and `doctor` print it."""
    from interlock.engine.core.events import Way

    if way is None:
        raise click.UsageError("say which way: --retry, --undo or --accept")
    async with working(face, reporter(face.out, "resolve")) as work:
        handle = await work.engine.handle(operation)
        hoped = HOPED if way == "retry" else UNDONE
        work.ask(handle.subject, handle.kind, lambda: work.engine.resolve(operation, Way(way), reason), hoped=hoped)
    return _told(face, work)


@command("cancel")
@click.argument("operation", metavar="OPERATION")
async def cancel(face: Face, operation: str) -> Exit:
    """Have the operation OPERATION undone: one that an interrupted command left under way.

    What another process drives is refused: interrupt it there first.
    """
    async with working(face, reporter(face.out, "cancel")) as work:
        handle = await work.engine.handle(operation)

        async def cancelled() -> Handle:
            await handle.cancel()
            return handle

        work.ask(handle.subject, handle.kind, cancelled, hoped=("Cancelled",))
    return _told(face, work)


def _told(face: Face, work: Work) -> Exit:
    if face.out.json:
        face.out.document(document(work))
    return work.exit
