"""timeline: what happened as a picture: to a VM, a disk or an operation, or to the whole fleet."""

from __future__ import annotations

from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import Line
from interlock.cli.output import Out
from interlock.cli.past import found, heard, rows, searched_file
from interlock.engine.core.rebuild import Rebuild
from interlock.schema.cloud import Host
from interlock.schema.errors import NotFound
from interlock.schema.transition import CLOUD

if TYPE_CHECKING:
    from interlock.replay.census import Picture
    from interlock.replay.lanes import Timeline

FORMS = ("text", "svg")


@command("timeline")
@click.argument("name", required=False, metavar="[VM|DISK|OPERATION]")
@click.option("--format", "form", type=click.Choice(FORMS), help="text (default), or svg, a picture.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write there.")
@searched_file
async def timeline(face: Face, name: str | None, form: str | None, output: str | None, file: str | None) -> Exit:
    """Draw what happened to a VM, a disk or an operation; without a name, to the whole fleet.

    Of a VM: a lane each for it, its NICs, its disks and its operations, and marks for what was refused, tried again or
    reported.
    Of the fleet: VMs by state, failed operations, and how full its hosts were. A FILE that ends in .svg is a picture.
    """
    if face.out.json:
        raise click.UsageError("a timeline has no JSON; `interlock why --json` and `interlock history --json` have")
    model = await _fleet(face, file) if name is None else await _entity(face, file, name)
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    draw(face.out, model, zone, form, output)
    return Exit.OK


def draw(out: Out, model: Timeline | Picture, zone: tzinfo, form: str | None, output: str | None) -> None:
    """Show a timeline, or write it to a file. `form` is one of `FORMS`; None: as the file's name says, else text."""
    form = form or ("svg" if output and output.endswith(".svg") else "text")
    lines = [] if form == "svg" else _lines(model, zone, None if output else out.width)
    text = _svg(model, zone) if form == "svg" else "".join(map(_plain, lines))
    if output:
        _written(Path(output), text)
    elif form == "svg":
        out.text(text)
    else:
        for line in lines:
            out.line(line)


def _written(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(file), error.strerror) from error


def _plain(line: Line) -> str:
    return "".join(words for words, _ in line).rstrip() + "\n"


async def _entity(face: Face, file: str | None, name: str) -> Timeline:
    from interlock.cli.times import microseconds_now
    from interlock.replay import lanes

    machine, entity_id, history = await found(face, file, name)
    until = None if machine == "operation" or file else microseconds_now()
    shown = f"{machine} {name}" + (f" ({entity_id})" if entity_id != name else "")
    return lanes.timeline(history, shown, until)


async def _fleet(face: Face, file: str | None) -> Picture:
    """One pass over the journal."""
    from interlock.replay.census import Census

    counted, cloud = Census(), Rebuild()
    with heard():
        async for row in rows(face, file):
            counted.add(row)
            if row.machine == CLOUD:
                cloud.describe(row)
    if not counted.rows:
        raise NotFound("the journal has no transition yet; `interlock deploy` writes the first")
    return counted.picture(
        f"Fleet of {file or face.shown_db}",
        {each.id: each.memory_mib for each in cloud.places["host"].values() if isinstance(each, Host)},
    )


def _svg(model: Timeline | Picture, zone: tzinfo) -> str:
    from interlock.pictures import fleet, lifelines
    from interlock.replay.census import Picture

    return fleet.as_svg(model, zone) if isinstance(model, Picture) else lifelines.as_svg(model, zone)


def _lines(model: Timeline | Picture, zone: tzinfo, width: int | None) -> list[Line]:
    from interlock.cli import charts
    from interlock.replay.census import Picture

    return charts.fleet(model, zone, width) if isinstance(model, Picture) else charts.lifelines(model, zone, width)
