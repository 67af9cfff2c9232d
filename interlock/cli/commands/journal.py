"""journal: the record of all transitions, taken elsewhere. Each command has a file beside."""

from __future__ import annotations

import click

from interlock.cli.commands.journal_import import import_
from interlock.cli.exits import Exit
from interlock.cli.face import Face, group


@group("journal")
async def journal(face: Face) -> Exit:
    """The record of all transitions: one of the commands beneath."""
    face.out.text(click.get_current_context().get_help() + "\n")
    return Exit.OK


journal.add_command(import_)
