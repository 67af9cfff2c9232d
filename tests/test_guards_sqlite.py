"""What the guards cost on SQLite, as far as its plan tells: a list after IN is a table, made anew for each row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from interlock.engine.store.statements import Statement, statements

COMPILED = statements("sqlite")
Opcodes = Sequence[str]


def programs(database: sqlite3.Connection, statement: Statement) -> Iterator[Opcodes]:
    """What SQLite runs: the statement itself, then each trigger; the addresses of each begin with 0."""
    some: list[str] = []
    for address, opcode, *_ in database.execute(f"EXPLAIN {statement.sql}", [None] * len(statement.order)):
        if address == 0 and some:
            yield some
            some = []
        some.append(opcode)
    yield some


@pytest.mark.parametrize(
    "statement",
    [COMPILED.journal, COMPILED.inserts["operation"], COMPILED.updates["operation"], COMPILED.rewrites["operation"]],
    ids=["a journal row", "a new operation", "its step", "its change"],
)
def test_a_guard_that_asks_only_of_its_own_row_makes_no_table(files: Path, statement: Statement) -> None:
    with closing(sqlite3.connect(files / "current")) as database:
        _, *triggers = programs(database, statement)
    assert triggers, "none was fired: this test sees nothing"
    assert not [opcode for trigger in triggers for opcode in trigger if opcode == "OpenEphemeral"]
