"""journal export: all transitions as JSON Lines, to standard output or to a file that is whole or not there.

What is committed after the command began is not in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command

if TYPE_CHECKING:
    from interlock.engine.store.store import Store
    from interlock.replay.export import Exported
    from interlock.schema.transition import Transition


@command("export")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write here; .zst packs.")
async def export(face: Face, output: Path | None) -> Exit:
    """Write the journal as JSON Lines: a header, a line for each transition, a trailer with the root over all.

    Without -o, to standard output. A file is written beside its name and gets it when it is whole.
    """
    from interlock.replay.source import store_at

    async with store_at(face.db) as store:
        if output is None:
            await _to_stdout(face, store)
        else:
            _tell(face, output, await _to_file(output, store))
    return Exit.OK


async def _to_stdout(face: Face, store: Store) -> None:
    from interlock.replay.export import export as written
    from interlock.replay.source import committed

    await written(_while_read(face, committed(store)), face.out.raw)


async def _while_read(face: Face, pages: AsyncIterator[list[Transition]]) -> AsyncIterator[list[Transition]]:
    async for page in pages:
        if face.out.gone:
            return
        yield page


async def _to_file(output: Path, store: Store) -> Exported:
    from interlock.engine.store import files
    from interlock.replay.export import export as written
    from interlock.replay.source import committed

    with files.written(output) as write:
        return await written(committed(store), write)


def _tell(face: Face, output: Path, done: Exported) -> None:
    if face.out.json:
        face.out.document({"file": str(output), "count": done.count, "head": done.head, "root": done.root})
    else:
        face.out.line(f"{done.count} transitions in {output}")
        face.out.line(f"root {done.root}")
