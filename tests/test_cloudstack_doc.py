"""docs/cloudstack-logs.md is what `interlock logs` says, and its tables are those of the code.

`python -m tests.test_cloudstack_doc` writes the outputs anew.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

from interlock.cli.main import cli
from interlock.replay.foreign.checking import Trouble
from interlock.replay.foreign.formats import FORMATS
from interlock.replay.foreign.machines import declared_in, machines
from interlock.replay.foreign.names import OURS
from tests.test_cloudstack_lines import moves
from tests.test_docs import rows, text_of

ROOT = Path(__file__).parent.parent
PAGE = "docs/cloudstack-logs.md"
LOG = ROOT / "tests" / "golden" / "cloudstack.log"
BLOCK = re.compile(r"^```\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)


def said(block: str) -> str:
    """A block with what its commands say now."""
    lines: list[str] = []
    code = 0
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        lines.append(f"$ {command}")
        if command == "echo $?":
            lines.append(str(code))
            continue
        result = CliRunner().invoke(cli, command.split()[1:])
        code = result.exit_code
        assert not result.stderr, result.stderr
        lines += result.stdout.rstrip("\n").split("\n")
    return "\n".join(lines) + "\n"


def told() -> Iterator[str]:
    """Every block of commands on the page."""
    yield from BLOCK.findall(text_of(PAGE))


@pytest.mark.parametrize("block", list(told()), ids=lambda block: block.partition("\n")[0])
def test_commands_say_what_the_page_prints(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(LOG, tmp_path / "ms.log")
    monkeypatch.chdir(tmp_path)
    assert said(block) == block


def test_the_machines_are_listed() -> None:
    made = [
        [f"`{name}`", declared_in()[name][0], str(len(each.states)), str(len(moves(name))), OURS.get(name, "")]
        for name, each in machines().items()
    ]
    assert rows(PAGE, "## The machines") == made


def test_the_formats_are_listed() -> None:
    made = []
    for each in FORMATS:
        until = f" to {each.until}" if each.until != each.since else ""
        releases = f"{each.since}+" if each.until is None else f"{each.since}{until}"
        made.append([f"`{each.name}`", str(each.kind), each.machine or "", each.printed_by, releases])
    assert rows(PAGE, "## The formats") == made


def test_the_words_for_what_is_wrong_are_listed() -> None:
    assert [row[0] for row in rows(PAGE, "## What is wrong")] == [str(each) for each in Trouble]


if __name__ == "__main__":
    page = ROOT / PAGE
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        shutil.copy(LOG, "ms.log")
        page.write_text(BLOCK.sub(lambda found: f"```\n{said(found[1])}```", page.read_text()))
