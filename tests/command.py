"""The command line as tests use it: `Shell` runs commands in this process, `Process` in one of their own.

The cloud is that of `examples/cloud.toml` with another latency: two zones, room for 64 small VMs or 8 large ones.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from interlock.cli.main import cli

EXAMPLE = Path(__file__).parent.parent / "examples" / "cloud.toml"
SMALL = ("--offering", "small", "--template", "debian-12")
LARGE = ("--offering", "large", "--template", "debian-12")
PATIENCE = 40.0
"""Seconds that a test waits for what must come. Too low: a busy machine fails it; too high: a hang is found late."""


def described(folder: Path, *, latency_ms: int = 0, jitter_ms: int = 0) -> Path:
    """The example's cloud, with a latency."""
    text = EXAMPLE.read_text()
    assert text.count("latency_ms = 20 ") == 1
    file = folder / "cloud.toml"
    file.write_text(text.replace("latency_ms = 20 ", f"latency_ms = {latency_ms}\njitter_ms = {jitter_ms} "))
    return file


class Said:
    """What a command said."""

    def __init__(self, out: str, err: str) -> None:
        self.out, self.err = out, err

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """Standard output as words, line by line."""
        return [line.split() for line in self.out.splitlines()]


class Shell:
    """Runs commands on a database in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {"INTERLOCK_DB": str(folder / "interlock.db")}

    def __call__(self, *args: str, exit: int = 0, env: dict[str, str] | None = None) -> Said:
        result = CliRunner(env=self.env if env is None else env).invoke(cli, args)
        assert result.exit_code == exit, (args, result.exit_code, result.stdout, result.stderr, result.exception)
        assert "Traceback" not in result.stderr
        return Said(result.stdout, result.stderr)

    def init(self, *, latency_ms: int = 0, jitter_ms: int = 0) -> Said:
        """Make the database."""
        return self("init", str(described(self.folder, latency_ms=latency_ms, jitter_ms=jitter_ms)))

    @classmethod
    def with_web(cls, folder: Path) -> Shell:
        """On a new database with a VM `web` in it."""
        made = cls(folder)
        made.init()
        made("deploy", "web", *SMALL)
        return made

    def states(self) -> dict[str, str]:
        """The state of every VM by name."""
        return {vm["name"]: vm["state"] for vm in self("ps", "--all", "--json").json}

    def begin(self, *args: str, **more: Any) -> Process:
        """Begin a command in a process of its own."""
        return Process(args, {**os.environ, **self.env}, **more)

    def now(self) -> list[str]:
        """The states of all VMs, read past the engine."""
        with sqlite3.connect(self.env["INTERLOCK_DB"], timeout=PATIENCE) as database:
            found = [str(state) for (state,) in database.execute("SELECT state FROM vm")]
        database.close()
        return found


class Process:
    """A command in a process of its own."""

    def __init__(self, args: tuple[str, ...], env: dict[str, str], **more: Any) -> None:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "interlock.cli.main", *args], env=env, text=True, **streams
        )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def says(self, words: str) -> str:
        """The next line of its standard error that has these words in it."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            if words in line:
                return str(line)
        raise AssertionError(f"it ended and never said {words!r}")

    def end(self, exit: int = 0) -> Said:
        """Wait until it has ended."""
        try:
            out, err = self.popen.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            out, err = self.popen.communicate()
            raise AssertionError(f"it hangs: {out} {err}") from None
        assert self.popen.returncode == exit, (self.popen.returncode, out, err)
        assert "Traceback" not in err, err
        return Said(out or "", err or "")


def until(met: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
