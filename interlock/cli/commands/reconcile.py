"""reconcile: compares what hosts have with what is recorded, and has the records say what is so."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM
from interlock.cli.report import document, reporter
from interlock.cli.work import Work, working

if TYPE_CHECKING:
    from interlock.embed.handle import Handle


@command("reconcile")
@click.argument("name", required=False, metavar="[VM|HOST]")
async def reconcile(face: Face, name: str | None) -> Exit:
    """Compare what hosts have with what is recorded, and have the records say what is so.

    Without a name, all hosts. Of a host, all that is recorded there and all it has; of a VM, by name or id, its host is
    asked, whether or not anything differs.
    """
    async with working(face, reporter(face.out, "reconcile"), listens=False) as work:
        if name is None or name in {host.id for host in (await work.engine.places())["host"]}:
            await _hosts(work, name)
        else:
            work.ask(name, "follow", partial(work.engine.follow, name), vm=name)
    if face.out.json:
        face.out.document(document(work))
    elif not work.results:
        face.out.line([("nothing differs", DIM)])
    return work.exit


async def _hosts(work: Work, host: str | None) -> None:
    for handle in await work.engine.reconcile(host):
        work.ask(handle.subject, handle.kind, partial(_asked, handle))


async def _asked(handle: Handle) -> Handle:
    """It has been asked for already."""
    return handle
