"""docs/rewind.md is true: its commands, run in order in one folder, say what is printed there.

Times, ids and ages are another each time; `…` stands for any lines.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from interlock.cli.main import cli
from tests.test_docs import ROOT, blocks

PAGE = "docs/rewind.md"
CHANGING = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"for \d+s", "for AGE"),
    (r"cli:\w+", "cli:SOMEBODY"),
)
"""What is another each time, and what stands for it."""
LEFT_OUT = "…"


def printed(page: str) -> list[tuple[str, list[str]]]:
    """A page's commands, each with the lines below it."""
    found: list[tuple[str, list[str]]] = []
    for _, block in blocks(page, "console", ""):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def masked(line: str) -> str:
    """A line without what changes."""
    for pattern, word in CHANGING:
        line = re.sub(pattern, word, line)
    return line.rstrip()


def said_as(lines: list[str]) -> str:
    """A pattern of the lines."""
    return "".join(r"(?:.*\n)*" if line == LEFT_OUT else re.escape(masked(line)) + "\n" for line in lines)


def test_the_commands_say_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    for _, module in blocks(PAGE, "python", "module"):
        (tmp_path / module.partition("\n")[0].removeprefix("# ")).write_text(module)
    commands = printed(PAGE)
    assert len(commands) > 8
    for command, lines in commands:
        name, *args = shlex.split(command)
        done = CliRunner().invoke(cli, args)
        assert name == "interlock" and not done.stderr, (command, done.stderr)
        said = "".join(f"{masked(line)}\n" for line in done.stdout.splitlines())
        assert re.fullmatch(said_as(lines), said), f"$ {command}\n{done.stdout}"


def test_what_is_left_out_is_the_only_thing_that_may_be() -> None:
    assert re.fullmatch(said_as(["a", LEFT_OUT]), "a\nb\nc\n") and re.fullmatch(said_as(["a", LEFT_OUT]), "a\n")
    assert not re.fullmatch(said_as(["a", LEFT_OUT]), "b\na\n") and not re.fullmatch(said_as(["a"]), "a\nb\n")
