"""A piece of the journal becomes a test that runs by itself, and says and shows one thing."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from interlock import Policy
from interlock.cli.commands.journal_to_test import to_test
from interlock.drivers.simulator import FaultKind
from interlock.engine.core import decide as core
from interlock.replay.ddmin import ddmin
from interlock.replay.story import Story
from tests.world import cloud, world

TWICE = Policy(placements=2, backoff=0.001, backoff_most=0.002)
BROKEN = "vm web is not Error"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hosts, and a VM that two of them refuse, among others that are well."""

    async def happen(folder: Path) -> Path:
        async with world(folder, description=cloud(hosts=3), policy=TWICE) as lab:
            await lab.deploy("before")
            number = await lab.order("StartDomain", FaultKind.REFUSE, times=2)
            await lab.deploy("web", data_disks_mib=(2048,), tags={"team": "blue"})
            assert await lab.simulator.fired(number) == 2
            await lab.deploy("after")
            await lab.run("stop", "before")
        return folder / "interlock.db"

    return asyncio.run(happen(tmp_path_factory.mktemp("incident")))


def written(database: Path, *args: str, exit: int = 0) -> str:
    result = CliRunner().invoke(to_test, ["--db", str(database), *args], standalone_mode=False)
    if exit == 0:
        assert result.exception is None, result.exception
    else:
        assert result.exception is not None
        return str(result.exception)
    return result.stdout


def ran(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process and a folder of its own, with none of our tests about."""
    file = folder / "test_incident.py"
    file.write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(file)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)


def story_in(text: str) -> Story:
    names: dict[str, object] = {}
    exec(compile(text, "test", "exec"), names)
    assert isinstance(names["STORY"], Story)
    return names["STORY"]


@pytest.fixture(scope="module")
def text(incident: Path) -> str:
    return written(incident, "--vm", "web", "--predicate", BROKEN)


def test_the_test_of_an_incident_fails_by_itself_for_the_reason_it_states(text: str, tmp_path: Path) -> None:
    assert "What is seen instead:         vm web is Error\n" in text
    assert "Because:                      refused (fault 1, on order)\n" in text
    result = ran(text, tmp_path)
    assert result.returncode == 1, result.stdout
    assert "AssertionError: vm web is Error; refused (fault 1, on order)" in result.stdout


def test_nothing_is_in_it_that_it_does_not_take(text: str) -> None:
    story = story_in(text)
    assert story.play().passed_over == {}
    assert sum(table == "host" for table, _ in story.places) == 2
    assert [step["event"] for step in story.steps[:2]] == ["Requested", "Claimed"]
    assert story.steps[0]["request"] == {"name": "web", "offering": "small", "template": "t"}
    assert story.steps[0]["ids"] == ["vm-1", "nic-1", "disk-1", "disk-2"]
    for number in range(len(story.steps)):
        shorter = Story(
            places=story.places,
            steps=[*story.steps[:number], *story.steps[number + 1 :]],
            policy=story.policy,
            capabilities=story.capabilities,
        ).play()
        assert shorter.finds(BROKEN).said != "vm web is Error" or shorter.errors[:1] != story.play().errors[:1]


def test_it_passes_once_the_cause_is_mended(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    story = story_in(text)
    monkeypatch.setattr(core, "_hopeless", lambda answers: False)
    assert story.play().finds(BROKEN).holds


def test_a_pinned_test_passes_until_something_changes(
    incident: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = written(incident, "--vm", "web", "--predicate", BROKEN, "--pin")
    result = ran(text, tmp_path)
    assert result.returncode == 0, result.stdout
    names: dict[str, object] = {}
    exec(compile(text, "test", "exec"), names)
    monkeypatch.setattr(core, "_hopeless", lambda answers: False)
    with pytest.raises(AssertionError):
        names["test_vm_web_is_not_error"]()  # type: ignore[operator]


def test_ids_workers_and_people_are_not_in_it(incident: Path) -> None:
    text = written(incident, "--predicate", "count vm Error = 0 and vm web is not Error", "--pin")
    assert "-7" not in text  # of the ids that engines give
    assert "embedder" not in text
    assert "op-1" in text


def test_a_piece_by_numbers_is_of_the_vms_that_moved_in_it(incident: Path) -> None:
    with closing(sqlite3.connect(incident)) as database:
        runs = database.execute("SELECT min(seq) FROM journal WHERE machine = 'vm' AND destination = 'Running'")
        [[last]] = runs.fetchall()
    text = written(incident, "--from", "2", "--to", str(last), "--predicate", "count vm Running = 0")
    story = story_in(text)
    assert story.steps[0]["kind"] == "deploy"
    assert {step["operation"] for step in story.steps} == {"op-1"}
    assert "What is seen instead:         count vm Running is 1\n" in text


def test_what_holds_and_what_is_not_there_is_refused(incident: Path) -> None:
    assert "the predicate holds at the end" in written(
        incident, "--vm", "after", "--predicate", "vm after is Running", exit=3
    )
    assert "no VM 'nobody'" in written(incident, "--vm", "nobody", "--predicate", BROKEN, exit=3)


@given(st.sets(st.integers(0, 40), max_size=6), st.integers(1, 60))
def test_what_delta_debugging_leaves_is_needed(needed: set[int], length: int) -> None:
    things = list(range(length))
    needed &= set(things)
    found = ddmin(things, lambda left: left if needed <= set(left) else None, 3000)
    assert set(found) == needed or (not needed and len(found) <= 1)
