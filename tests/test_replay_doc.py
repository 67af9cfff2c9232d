"""docs/replay.md is true: its commands, run in order in one folder, say what is printed there.

Times, durations, ids and hashes are another each time; `…` stands for any lines.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from interlock.cli.main import cli
from tests.test_docs import ROOT
from tests.test_rewind_doc import CHANGING, LEFT_OUT, printed

PAGE = "docs/replay.md"
ALSO = (
    *CHANGING,
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"\b\d+(\.\d+)?(ms|s|m)\b", "DURATION"),
    (r"\b[0-9a-f]{64}\b", "HASH"),
    (r" +", " "),
)
"""What is another each time, and the blanks that make up for it."""


def masked(line: str) -> str:
    """A line without what changes."""
    for pattern, word in ALSO:
        line = re.sub(pattern, word, line)
    return line.strip()


def run(command: str) -> str:
    """What a person sees of a command."""
    name, *args = shlex.split(command)
    if name == "interlock":
        done = CliRunner().invoke(cli, args)
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
        return done.output
    assert name == "python"
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False).stdout


def test_the_incident_goes_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    commands = printed(PAGE)
    assert len(commands) > 12
    for command, lines in commands:
        said = "".join(f"{masked(line)}\n" for line in run(command).splitlines())
        wanted = "".join(r"(?:.*\n)*" if line == LEFT_OUT else re.escape(masked(line)) + "\n" for line in lines)
        assert re.fullmatch(wanted, said), f"$ {command}\n{said}"
    assert "<svg" in (tmp_path / "hosts.svg").read_text()
