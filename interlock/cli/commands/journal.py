"""journal: the record of all transitions, as a file and as something to be checked. Each command has a file beside."""

from __future__ import annotations

from interlock.cli.commands.journal_archive import archive
from interlock.cli.commands.journal_export import export
from interlock.cli.commands.journal_import import import_
from interlock.cli.commands.journal_schema import schema
from interlock.cli.commands.journal_to_test import to_test
from interlock.cli.commands.journal_verify import verify
from interlock.cli.exits import Exit
from interlock.cli.face import Face, group
from interlock.cli.layout import DIM
from interlock.cli.times import iso


@group("journal")
async def journal(face: Face) -> Exit:
    """Say how long the journal is. Its commands write it to a file, and check it."""
    from interlock.engine.store import queries
    from interlock.replay.source import store_at

    async with store_at(face.db) as store:
        [[head]] = await store.rows(queries.journal_head())
        ends = [
            *await store.journal(queries.journal_after(0, 1)),
            *await store.journal(queries.journal_after(head - 1, 1)),
        ]
    times = {"first_at": ends[0].at, "last_at": ends[-1].at} if ends else {}
    if face.out.json:
        face.out.document({"head": head, **times})
    else:
        face.out.line(f"{head} transitions")
        if ends:
            face.out.line([(f"{iso(ends[0].at)} to {iso(ends[-1].at)}", DIM)])
    return Exit.OK


for _each in (export, import_, verify, archive, schema, to_test):
    journal.add_command(_each)
