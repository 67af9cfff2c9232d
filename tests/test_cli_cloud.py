"""The cloud in the journal, by commands: who changed it, what was written by hand, and a database filled from a
journal."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.command import SMALL, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a database with the example's cloud."""
    made = Shell(tmp_path)
    made.init()
    return made


def by_hand(shell: Shell, *statements: str) -> None:
    """SQL past the engine."""
    with sqlite3.connect(shell.env["INTERLOCK_DB"]) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def test_history_of_the_cloud_says_who_changed_what(shell: Shell) -> None:
    shell("settings", "set", "expunge.delay", "60")
    shell("settings", "unset", "expunge.delay")
    head, first, second, third = shell("history", "--cloud").rows
    assert head == ["TIME", "ACTOR", "EVENT", "WHAT"]
    assert first[2] == "PlacesWritten" and {"domain", "zone", "×6;"} <= set(first)
    assert second[2:] == ["PlacesWritten", "setting", "expunge.delay@global"]
    assert third[2:] == ["PlacesRemoved", "setting", "expunge.delay@global"]
    assert {row[1].partition(":")[0] for row in (first, second, third)} == {"cli"}
    rows = shell("history", "--cloud", "--json").json["transitions"]
    assert [row["version"] for row in rows] == [1, 2, 3]
    assert rows[2]["changes"] == {"setting": ["expunge.delay@global"]}


@pytest.mark.parametrize("args", [(), ("web", "--cloud")])
def test_history_is_of_a_vm_or_of_the_cloud(shell: Shell, args: tuple[str, ...]) -> None:
    assert "name a VM, or say --cloud" in shell("history", *args, exit=2).err


def test_a_second_init_tells_nothing_new(shell: Shell, tmp_path: Path) -> None:
    before = shell("history", "--cloud", "--json").out
    shell.init()
    assert shell("history", "--cloud", "--json").out == before


def test_doctor_names_a_place_that_was_written_by_hand(shell: Shell) -> None:
    by_hand(shell, "UPDATE offering SET memory_mib = 1 WHERE id = 'small'")
    (finding,) = shell("doctor", "--json", exit=1).json["findings"]
    assert finding["code"] == "cloud"
    assert finding["message"].startswith("offering small: memory_mib is 1, the journal tells ")


def test_a_database_is_filled_from_the_journal_of_another(shell: Shell, tmp_path: Path) -> None:
    shell("deploy", "web", *SMALL, "--count", "2")
    shell("stop", "web-1")
    new = str(tmp_path / "new.db")
    said = shell("journal", "import", shell.env["INTERLOCK_DB"], "--db", new)
    assert "transitions are in" in said.out and "2 vms" in said.out
    for command in (("ps", "--json"), ("history", "web-1", "--json"), ("history", "--cloud", "--json"), ("hosts",)):
        assert shell(*command, "--db", new).out == shell(*command).out
    refused = shell("journal", "import", shell.env["INTERLOCK_DB"], "--db", new, "--json", exit=3).json["error"]
    assert "is not empty" in refused["message"]


def test_a_broken_journal_fills_nothing(shell: Shell, tmp_path: Path) -> None:
    by_hand(shell, "DROP TRIGGER guard_journal_update", "UPDATE journal SET actor = 'nobody'")
    new = str(tmp_path / "new.db")
    said = shell("journal", "import", shell.env["INTERLOCK_DB"], "--db", new, exit=3)
    assert "nothing was written: row 1, the cloud: it was edited" in said.err
    assert shell("ps", "--json", "--db", new).json == []
