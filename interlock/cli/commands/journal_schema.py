"""journal schema: what a line of an exported journal looks like, as JSON Schema. Needs no database."""

from __future__ import annotations

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command


@command("schema")
async def schema(face: Face) -> Exit:
    """Print the JSON Schema of the lines that `export` writes."""
    from interlock.schema.exported import json_schema

    face.out.document(json_schema())
    return Exit.OK
