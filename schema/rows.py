"""Rows to records and back: the one place that knows which columns are kept as JSON text.

Promises: `record(row_of(x)) == x`. Text is canonical (sorted keys), because hashes cover it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from interlock.schema.cloud import Place
from interlock.schema.records import Avoided, Entity, Operation

R = TypeVar("R", bound=Entity | Place)

_encode = msgspec.json.Encoder(order="sorted").encode
_JSON: dict[str, Any] = {
    "request": dict[str, Any],
    "made": tuple[str, ...],
    "avoid": tuple[Avoided, ...],
    "reasons": tuple[tuple[str, str], ...],
}
_decoders = {name: msgspec.json.Decoder(kind).decode for name, kind in _JSON.items()}


def text_of(value: Any) -> str:
    """Canonical JSON."""
    return _encode(value).decode()


def row_of(record: Entity | Place) -> tuple[Any, ...]:
    """The record's columns, in order, as the database keeps them."""
    values = msgspec.structs.astuple(record)
    if type(record) is not Operation:
        return values
    fields = record.__struct_fields__
    return tuple(text_of(value) if name in _JSON else value for name, value in zip(fields, values, strict=True))


def reader(kind: type[R]) -> Callable[[Sequence[Any]], R]:
    """A function from a row (columns in order) to a record of `kind`."""
    fields = kind.__struct_fields__
    coders = [(number, _decoders[name]) for number, name in enumerate(fields) if name in _JSON]
    flags = [number for number, name in enumerate(fields) if kind.__annotations__.get(name) == "bool"]

    def read(row: Sequence[Any]) -> R:
        values = list(row)
        for number, decode in coders:
            values[number] = decode(values[number])
        for number in flags:
            values[number] = bool(values[number])  # SQLite has no booleans of its own
        return kind(**dict(zip(fields, values, strict=True)))

    return read
