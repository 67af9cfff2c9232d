"""Every known bug is found by the fuzzer, by a promise that fits, because of the bug, and within a bound of seeds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from interlock.engine.core import course, decide
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.store.memory import MemoryStore
from interlock.schema import holdings
from interlock.testing.fuzz.hypervisor import MemoryHypervisor
from interlock.testing.fuzz.universe import Universe
from interlock.testing.fuzz.worker import Worker
from tests.museum.document import WRITTEN, figures, heading, meaning
from tests.museum.exhibit import EXHIBITS, Exhibit, Fired
from tests.museum.search import SEEDS, find, passes, timeline

LEAST = 20
"""Exhibits that there are at least. The issue asks for 12."""


@pytest.mark.parametrize("exhibit", EXHIBITS.values(), ids=EXHIBITS)
def test_the_fuzzer_finds_it(exhibit: Exhibit) -> None:
    found = find(exhibit)
    assert found is not None, f"not found in {SEEDS} seeds"
    assert found.promise in exhibit.promises, found.message
    assert found.fired, "the bug made no difference in the run in which it was found"
    assert passes(found.seed), "that seed fails without the bug, too"


def test_a_story_is_shrunk_to_what_is_needed() -> None:
    exhibit = EXHIBITS["timeout-is-failure"]
    found = find(exhibit)
    assert found is not None
    story = timeline(exhibit, found)
    assert 0 < len(story) < len(found.run) / 2


def test_nothing_of_a_bug_is_left_behind() -> None:
    before = _product()
    for exhibit in EXHIBITS.values():
        with exhibit.plant(Fired()):
            assert _product() != before, f"{exhibit.name} changes nothing"
        assert _product() == before, f"{exhibit.name} leaves something behind"


def _product() -> list[object]:
    """All that exhibits change, by identity."""
    owners = (course, decide, MemoryStore, MemoryHypervisor, Universe, Worker)
    found = [value for owner in owners for value in vars(owner).values() if callable(value)]
    for program in PROGRAMS.values():
        found += [part for step in program.steps for act in (step.forward, step.undo) for part in _parts(act)]
    modules = [sys.modules[f"interlock.engine.core.operations.{name}"] for name in ("resize_disk", "scale")]
    found += [value for module in modules for value in vars(module).values() if callable(value)]
    return [*map(id, found), *map(id, holdings._HOLDINGS.values())]


def _parts(act: object) -> tuple[object, ...]:
    return tuple(getattr(act, name) for name in ("announce", "effects", "settle"))


def test_there_are_enough_and_each_says_what_it_is() -> None:
    assert len(EXHIBITS) >= LEAST
    for exhibit in EXHIBITS.values():
        assert exhibit.bug and exhibit.source and exhibit.promises, exhibit.name
        assert exhibit.does.endswith("."), exhibit.name


def test_the_document_has_each_with_its_figures() -> None:
    text = WRITTEN.read_text()
    for exhibit in EXHIBITS.values():
        assert heading(exhibit) in text, f"run: python -m tests.museum --write ({exhibit.name})"
        assert meaning(exhibit) in text, f"run: python -m tests.museum --write ({exhibit.name})"
    table = figures(text)
    assert set(table) == set(EXHIBITS)
    for name, (promise, seeds) in table.items():
        assert promise in EXHIBITS[name].promises
        assert 0 < seeds <= SEEDS


def test_the_command_ends_with_1_if_an_exhibit_is_not_found() -> None:
    command = [sys.executable, "-m", "tests.museum", "--only", "limits-by-request", "--jobs", "1", "--seeds"]
    missed = subprocess.run([*command, "0"], capture_output=True, text=True, check=False)
    assert missed.returncode == 1
    assert "NOT FOUND" in missed.stdout
