"""journal archive: what has ended leaves the database for packed files, which all of the journal's tools still read."""

from __future__ import annotations

from pathlib import Path

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM
from interlock.cli.times import SECOND, microseconds_now

DAY = 86_400 * SECOND


@command("archive")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--days", type=click.FloatRange(0), default=30.0, show_default=True, help="Only what ended before that.")
async def archive(face: Face, folder: Path, days: float) -> Exit:
    """Move what has ended from the database to FOLDER: Expunged VMs and disks with all that belonged to them.

    Each file is whole and on the disk before a row goes. FOLDER must stay where it is.
    """
    import interlock
    from interlock.engine.store.archive import archive_ripe
    from interlock.replay.source import store_at

    at = microseconds_now()
    before, made_by = at - int(days * DAY), f"interlock {interlock.__version__}"
    done = []
    async with store_at(face.db) as store:
        while (made := await archive_ripe(store, folder, before=before, at=at, made_by=made_by)) is not None:
            done.append(made)
    if face.out.json:
        face.out.document(done)
        return Exit.OK
    for each in done:
        face.out.line([(f"{each.count} transitions in {each.path}", ""), (f"  root {each.root}", DIM)])
    if not done:
        face.out.line("nothing is ripe")
    return Exit.OK
