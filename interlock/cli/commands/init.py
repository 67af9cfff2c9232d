"""init: make the database, or bring it to this release, and load a cloud description; may be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.report import reporter
from interlock.cli.work import working

KINDS = {
    "zone": "zone",
    "host": "host",
    "storage_pool": "pool",
    "network": "network",
    "offering": "offering",
    "template": "template",
}
"""What a person wants counted, and its word."""


@command("init")
@click.argument("cloud", metavar="CLOUD.toml", type=click.Path(path_type=Path))
async def init(face: Face, cloud: Path) -> Exit:
    """Make the database and load a cloud description into it.

    Repeatable: what is new in the description is added, what changed is changed, nothing is removed.
    """
    from interlock.embed.cloud import CloudDescription

    description = CloudDescription.read(cloud)
    async with working(face, reporter(face.out, "init"), cloud=description) as work:
        places = await work.engine.places()
    counts = {kind: len(found) for kind, found in places.items()}
    if face.out.json:
        face.out.document({"database": face.shown_db, "cloud": str(cloud), "places": counts})
    else:
        face.out.line(f"{cloud} is loaded into {face.shown_db}:")
        face.out.line(f"  {places_counted(counts)}")
    return Exit.OK


def places_counted(counts: Mapping[str, int]) -> str:
    """`2 zones, 6 hosts, …`"""
    return ", ".join(f"{counts[kind]} {word}{'s' * (counts[kind] != 1)}" for kind, word in KINDS.items())
