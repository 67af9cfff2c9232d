"""journal import: a new database that is what a journal tells, and nothing else."""

from __future__ import annotations

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command


@command("import")
@click.argument("source", metavar="SOURCE")
async def import_(face: Face, source: str) -> Exit:
    """Fill a new database with a journal: --db is made, and equals table by table the one SOURCE is the journal of.

    SOURCE is a database, a SQLite file or a SQLAlchemy URL; or an exported file, packed or not; or -. Each row is
    checked; one that cannot follow those before it, or a database that is not empty, is refused, and nothing is
    written. Options of drivers are in no journal: `interlock init` tells them.
    """
    from interlock.cli.running import whole
    from interlock.engine.store.refill import refill
    from interlock.engine.store.store import Store
    from interlock.replay.source import opened

    async with opened(source) as pages:
        target = await whole(Store.open(face.db))
        try:
            rebuilt = await refill(target, pages)
        finally:
            await target.close()
    records = {name: len(found) for name, found in rebuilt.records.items()}
    if face.out.json:
        face.out.document({"database": face.shown_db, "transitions": rebuilt.head, "records": records})
    else:
        counts = ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in records.items())
        face.out.line(f"{rebuilt.head} transitions are in {face.shown_db}: {counts}")
    return Exit.OK
