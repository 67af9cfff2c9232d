"""Rows to records and back: the one place that knows which columns are kept as JSON text.

Promises: `record(row_of(x)) == x`. Text is canonical (sorted keys), because hashes cover it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from interlock.schema.cloud import PLACES, Place
from interlock.schema.holdings import COUNTERS
from interlock.schema.records import RECORDS, Entity

R = TypeVar("R", bound=Entity | Place)

DESCRIBED: dict[str, tuple[str, ...]] = {
    name: tuple(field for field in kind.__struct_fields__ if field not in COUNTERS.get(name, ()))
    for name, kind in PLACES.items()
}
"""The columns of each place that people describe: all but the counters, which the database keeps itself."""

_encode = msgspec.json.Encoder(order="sorted").encode


def text_of(value: Any) -> str:
    """Canonical JSON."""
    return _encode(value).decode()


def _kept_as_text(kind: type[Any]) -> dict[str, Any]:
    """The fields of a record that a column cannot hold, with their types."""
    return {name: hint for name, hint in get_type_hints(kind).items() if get_origin(hint) in (tuple, dict)}


def _flags(kind: type[Any]) -> tuple[str, ...]:
    return tuple(name for name, hint in get_type_hints(kind).items() if hint is bool or bool in get_args(hint))


_TEXT: dict[type[Any], dict[str, Any]] = {kind: _kept_as_text(kind) for kind in (*RECORDS.values(), *PLACES.values())}


def columns_of(record: Entity | Place, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Some columns of a record, in the order asked for, as the database keeps them."""
    get, texts = _getter(type(record), names)
    values = list(get(record))
    for number in texts:
        values[number] = _encode(values[number]).decode()
    return tuple(values)


@cache
def _getter(kind: type[Any], names: tuple[str, ...]) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[int, ...]]:
    """What gets these attributes (there are several), and which of them are kept as text."""
    return attrgetter(*names), tuple(number for number, name in enumerate(names) if name in _TEXT[kind])


def as_rows(table: str, places: Iterable[Place]) -> list[dict[str, Any]]:
    """Places as the database keeps them, without what it keeps itself."""
    names = DESCRIBED[table]
    return [dict(zip(names, columns_of(place, names), strict=True)) for place in places]


def place_of(table: str, row: Mapping[str, Any]) -> Place:
    """The place that a row of named columns describes; what it does not name is as it is by default."""
    kind = PLACES[table]
    text = _TEXT[kind]
    return kind(
        **{name: msgspec.json.decode(value, type=text[name]) if name in text else value for name, value in row.items()}
    )


def row_of(record: Entity | Place) -> tuple[Any, ...]:
    """All columns of a record, in order."""
    return columns_of(record, record.__struct_fields__)


@cache  # the types of its fields are looked up, which takes a millisecond a kind, and many modules ask
def reader(kind: type[R]) -> Callable[[Sequence[Any]], R]:
    """A function from a row (columns in order) to a record of `kind`."""
    fields = kind.__struct_fields__
    coders = [(fields.index(name), msgspec.json.Decoder(hint).decode) for name, hint in _TEXT[kind].items()]
    flags = [fields.index(name) for name in _flags(kind)]

    def read(row: Sequence[Any]) -> R:
        values = list(row)
        for number, decode in coders:
            values[number] = decode(values[number])
        for number in flags:
            values[number] = bool(values[number])  # SQLite has no booleans of its own
        return kind(**dict(zip(fields, values, strict=True)))

    return read
