"""Rows and records are one thing in two forms: no value is lost on the way there and back, none changes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.store.statements import statements
from interlock.schema.cloud import PLACES, Place
from interlock.schema.records import CHANGEABLE, MOVED, RECORDS, USUAL, Avoided, Entity, Operation
from interlock.schema.rows import reader, row_of, text_of
from interlock.schema.tables import metadata
from interlock.schema.transition import Entry, Transition

every_record = pytest.mark.parametrize("name", [*RECORDS, *PLACES])
KINDS: dict[str, Any] = {**RECORDS, **PLACES}

plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


def records(name: str) -> st.SearchStrategy[Any]:
    """Any record of a kind. What an operation was asked and what it keeps are JSON; all else has its field's type."""
    free = dict.fromkeys(("request", "kept"), st.dictionaries(st.text(), values)) if name == "operation" else {}
    return st.builds(KINDS[name], **{**_typed(KINDS[name]), **free})


def _typed(kind: type[msgspec.Struct]) -> dict[str, st.SearchStrategy[Any]]:
    return {field.name: _of(field.type) for field in msgspec.structs.fields(kind)}


def _of(kind: Any) -> st.SearchStrategy[Any]:
    return st.floats(1, 100) if kind is float else st.from_type(kind)


@every_record
def test_the_fields_of_a_record_are_the_columns_of_its_table(name: str) -> None:
    assert list(KINDS[name].__struct_fields__) == list(metadata.tables[name].c.keys())


def test_the_fields_of_a_journal_row_are_the_columns_of_the_journal() -> None:
    columns = list(metadata.tables["journal"].c.keys())
    assert ["seq", *Entry.__struct_fields__] == columns
    assert set(Transition.__struct_fields__) == set(columns)


@every_record
@given(st.data())
def test_a_row_becomes_the_record_it_was(name: str, data: st.DataObject) -> None:
    record: Entity | Place = data.draw(records(name))
    assert reader(KINDS[name])(row_of(record)) == record


@every_record
@given(st.data())
def test_a_row_as_sqlite_gives_it_becomes_the_record_it_was(name: str, data: st.DataObject) -> None:
    """SQLite knows no booleans: it gives 0 and 1."""
    record: Entity | Place = data.draw(records(name))
    row = [int(each) if isinstance(each, bool) else each for each in row_of(record)]
    again = reader(KINDS[name])(row)
    assert again == record
    assert [type(each) for each in msgspec.structs.astuple(again)] == [
        type(each) for each in msgspec.structs.astuple(record)
    ]


@given(records("operation"))
def test_the_text_of_a_row_does_not_depend_on_the_order_of_its_words(operation: Operation) -> None:
    turned = msgspec.structs.replace(operation, request=dict(reversed(operation.request.items())))
    assert row_of(turned) == row_of(operation)


def test_json_is_kept_as_canonical_text() -> None:
    entry = Avoided(scope="host", id="h", cause="it is slow", until=1)
    assert text_of({"b": [entry], "a": None}) == (
        '{"a":null,"b":[{"cause":"it is slow","id":"h","scope":"host","until":1}]}'
    )


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("name", RECORDS)
def test_a_new_entity_is_written_whole_and_a_changed_one_where_it_may_change(name: str, dialect: str) -> None:
    columns = set(metadata.tables[name].c.keys())
    spoken = statements(dialect)
    assert set(spoken.inserts[name].order) == columns
    usual, all_of_them = (set(which[name].order) for which in (spoken.updates, spoken.rewrites))
    assert usual == {"id", *USUAL[name], *MOVED}
    assert all_of_them == {"id", *CHANGEABLE[name], *MOVED}
    assert usual <= all_of_them <= columns
