"""docs/tables.md tells of every column what schema/tables/ says of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interlock.schema.tables import metadata
from tests.tables_document import ABOUT, CONTRACT, document

ROOT = Path(__file__).parent.parent
WRITTEN = ROOT / "docs" / "tables.md"


def test_the_document_is_what_the_tables_say() -> None:
    assert WRITTEN.read_text() == document(), "run: python -m tests.tables_document > docs/tables.md"


def test_the_command_that_makes_it_works() -> None:
    command = [sys.executable, "-m", "tests.tables_document"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == document()


def test_every_table_is_told_of() -> None:
    assert set(ABOUT) == set(metadata.tables)


@pytest.mark.parametrize("name", metadata.tables)
def test_every_column_has_a_comment(name: str) -> None:
    assert [column.name for column in metadata.tables[name].c if not column.comment] == []


@pytest.mark.parametrize("name", CONTRACT[:4])
def test_what_has_a_machine_has_an_id_a_state_and_a_version(name: str) -> None:
    assert {"id", "state", "version"} <= set(metadata.tables[name].c.keys())
