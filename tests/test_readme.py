"""The README: its API example and its commands run as printed, and its pictures are those of the machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.pictures.machine import as_svg
from interlock.schema.machine import Machine
from interlock.schema.machines import MACHINES
from tests.test_docs import ROOT, blocks, run, text_of

README = "README.md"
LINES = 15
NEEDED = (
    "Engine.open(",
    'engine.load(CloudDescription.read("examples/cloud.toml"))',
    "engine.deploy(",
    ".wait()",
    "engine.vms(",
    "async with",
)
"""What the example shows: opening, loading, deploying, waiting, listing, closing."""


def example() -> str:
    """The first Python block."""
    return blocks(README, "python", "runnable")[0][1]


def test_the_api_is_shown_in_so_many_lines() -> None:
    assert len(example().splitlines()) <= LINES
    for words in NEEDED:
        assert words in example()
    assert f"## The API in {LINES} lines" in text_of(README)


def test_the_api_example_runs_as_printed(tmp_path: Path) -> None:
    said = run(tmp_path, code=example()).splitlines()
    assert said[0].startswith("Succeeded [")
    assert said[1] == "2 vm Created - -> Allocated"
    assert said[-1].endswith("operation OperationSucceeded Running -> Succeeded")
    assert {path.name for path in tmp_path.iterdir()} == {"examples", "interlock.db", "interlock.simulator"}


def test_the_commands_run_as_printed(tmp_path: Path) -> None:
    commands = next(code for _, code in blocks(README, "sh", "") if code.startswith("interlock init"))
    said = run(tmp_path, "sh", "-ec", commands)
    assert "web-1" in said


@pytest.mark.parametrize("each", MACHINES.values(), ids=MACHINES)
def test_the_picture_is_that_of_the_machine(each: Machine) -> None:
    path = ROOT / "docs" / "pictures" / f"{each.name}.svg"
    assert path.read_text(encoding="utf-8") == as_svg(each), (
        f"the {each.name} machine has changed and its picture has not; draw it again with "
        f"`interlock machines {each.name} --format svg > docs/pictures/{each.name}.svg`"
    )
