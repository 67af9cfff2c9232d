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
from interlock.schema.errors import NotFound

if TYPE_CHECKING:
    from interlock.embed.engine import Engine
    from interlock.replay.census import Picture
    from interlock.replay.lanes import Timeline

FORMS = ("text", "svg")


@command("timeline")
@click.argument("name", required=False, metavar="[VM|DISK|OPERATION]")
@click.option("--format", "form", type=click.Choice(FORMS), help="text (default), or svg, a picture.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write there.")
async def timeline(face: Face, name: str | None, form: str | None, output: str | None) -> Exit:
    """Draw what happened to a VM, a disk or an operation; without a name, to the whole fleet.

    Of a VM: a lane each for it, its NICs, its disks and its operations, and marks for what was refused, tried again or
    reported.
    Of the fleet: VMs by state, failed operations, and how full its hosts were. A FILE that ends in .svg is a picture.
    """
    if face.out.json:
        raise click.UsageError("a timeline has no JSON; `interlock why --json` and `interlock history --json` have")
    async with face.looking() as engine:
        model = await _fleet(engine, face.shown_db) if name is None else await _entity(engine, name)
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


async def _entity(engine: Engine, name: str) -> Timeline:
    from interlock.cli.commands.why import found
    from interlock.cli.times import microseconds_now
    from interlock.replay import lanes

    machine, entity_id, rows = await found(engine, name)
    until = None if machine == "operation" else microseconds_now()
    shown = f"{machine} {name}" + (f" ({entity_id})" if entity_id != name else "")
    return lanes.timeline(rows, shown, until)


async def _fleet(engine: Engine, db: str) -> Picture:
    """One pass over the journal."""
    from interlock.replay.census import Census
    from interlock.schema.cloud import Host

    counted = Census()
    async for page in engine.journal():
        for row in page:
            counted.add(row)
    if not counted.rows:
        raise NotFound("the journal has no transition yet; `interlock deploy` writes the first")
    places = await engine.places()
    return counted.picture(
        f"Fleet of {db}", {each.id: each.memory_mib for each in places["host"] if isinstance(each, Host)}
    )


def _svg(model: Timeline | Picture, zone: tzinfo) -> str:
    from interlock.pictures import fleet, lifelines
    from interlock.replay.census import Picture

    return fleet.as_svg(model, zone) if isinstance(model, Picture) else lifelines.as_svg(model, zone)


def _lines(model: Timeline | Picture, zone: tzinfo, width: int | None) -> list[Line]:
    from interlock.cli import charts
    from interlock.replay.census import Picture

    return charts.fleet(model, zone, width) if isinstance(model, Picture) else charts.lifelines(model, zone, width)
