"""What a journal looks like as a file: JSON Lines, one a transition, a header before them and a trailer after.

This is the published contract; docs/journal.schema.json is made from these structs, and a test holds it equal. A file
is canonical: each line is the very bytes that `engine/core/lines.py` writes, so any other spelling of the same thing
is a change that is found. `VERSION` rises when the lines change, and then a function that brings a line of the old
version to the new one goes into that file; columns that came later are no change of version (`engine/core/rebuild.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from interlock.schema.holdings import Movement

FORMAT: Final = "interlock-journal"
VERSION = 1
"""Of the lines. A file of a newer version is refused, because this release does not know what it says."""

_Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Micros = Annotated[int, Meta(description="µs since 1970 UTC.")]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: Literal["interlock-journal"] = FORMAT
    version: Annotated[int, Meta(description="Of the lines.")] = VERSION
    made_by: Annotated[str, Meta(description="The program that wrote the file, and its release.")]
    tables: Annotated[int, Meta(description="Version of that program's transition tables.")]
    gaps: Annotated[
        bool, Meta(description="Whether numbers are left out: an archive, whose rows stood among others.")
    ] = False
    hash: Annotated[_Hash, Meta(description="SHA-256 of this line with an empty `hash`.")]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A transition: the columns of table `journal`. Of the three JSON columns the very bytes are hashed."""

    seq: Annotated[int, Meta(ge=1, description="Number of the transition; no gaps.")]
    at: Annotated[_Micros, Meta(description="When it was decided.")]
    machine: Annotated[str, Meta(description="Which kind of entity moved.")]
    entity_id: Annotated[str, Meta(description="The entity that moved.")]
    vm_id: Annotated[str | None, Meta(description="The VM it belongs to.")]
    version: Annotated[int, Meta(ge=1, description="The entity's version after it.")]
    event: Annotated[str, Meta(description="What happened.")]
    source: Annotated[str, Meta(description="State before; empty for a new entity.")]
    destination: Annotated[str, Meta(description="State after.")]
    operation_id: Annotated[str | None, Meta(description="The operation that moved it.")]
    actor: Annotated[str, Meta(description="Who asked for that operation.")]
    cause: Annotated[str | None, Meta(description="Why, in words, where the event alone does not say.")]
    changes: Annotated[dict[str, Any], Meta(description="The attributes that changed, with their new values.")]
    ledger: Annotated[list[Movement], Meta(description="What changed hands: thing, where, giver, taker, amount.")]
    detail: Annotated[dict[str, Any] | None, Meta(description="What was decided on.")]
    tables: Annotated[int, Meta(description="Version of the transition tables it was made under.")]
    prev: Annotated[str, Meta(description="Hash of the entity's previous transition; empty for the first.")]
    hash: Annotated[_Hash, Meta(description="SHA-256 over all columns but `seq` and itself.")]


class Trailer(msgspec.Struct, frozen=True, kw_only=True):
    """The last line: without it the file was cut off."""

    end: Literal["interlock-journal"] = FORMAT
    count: Annotated[int, Meta(ge=0, description="Transitions in the file.")]
    head: Annotated[int, Meta(ge=0, description="Number of the last one.")]
    root: Annotated[_Hash, Meta(description="SHA-256 over `SEQ HASH` and a line feed for each transition.")]
    header: Annotated[_Hash, Meta(description="The header's `hash`.")]
    hash: Annotated[_Hash, Meta(description="SHA-256 of this line with an empty `hash`.")]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a line: one of the three."""
    # msgspec takes no union of untagged structs, so the three are put together here.
    lines, parts = msgspec.json.schema_components((Header, Row, Trailer), ref_template="#/$defs/{name}")
    for each in (Header, Row, Trailer):
        parts[each.__name__]["additionalProperties"] = False
        parts[each.__name__]["required"] = list(each.__struct_fields__)
    kind = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": kind, "title": "A line of a journal", "oneOf": list(lines), "$defs": parts}
