"""Commands as processes: what Ctrl-C, `kill -9`, a closed pipe, a terminal and a second command at the same time do.

Where a signal must hit the middle, the cloud is slow enough for a middle to exist, the test waits until it has come,
and then asserts that it was hit.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from interlock.cli.exits import Exit
from tests.command import SMALL, Process, Said, Shell, until

MANY = 50


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a new database; effects take 0.1 to 0.8 seconds."""
    made = Shell(tmp_path)
    made.init(latency_ms=100, jitter_ms=700)
    return made


def halfway(shell: Shell) -> None:
    """Wait until all of many were asked for, and some, but not all, run."""
    until(lambda: len(states := shell.now()) == MANY and 1 <= states.count("Running") < MANY)


def deploying(shell: Shell, *args: str) -> Process:
    """A deploy of many that is in its middle."""
    process = shell.begin("deploy", "web", *SMALL, "--count", str(MANY), *args)
    halfway(shell)
    return process


def finished(shell: Shell, said: Said) -> None:
    """All of many run, after a command that says it took some over."""
    (count,) = re.findall(r"took over (\d+) operations? that an earlier command left", said.err)
    assert 0 < int(count) < MANY
    assert Counter(shell.states().values()) == {"Running": MANY}
    shell("doctor")


# --- ends that come early


def test_a_killed_deploy_is_finished_by_the_next_command(shell: Shell) -> None:
    process = deploying(shell)
    process.signal(signal.SIGKILL)
    process.end(-signal.SIGKILL)
    assert 0 < shell.now().count("Starting") < MANY
    finished(shell, shell("deploy", "--count", "0"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_an_interrupted_deploy_ends_cleanly_and_the_next_command_goes_on(shell: Shell, number: signal.Signals) -> None:
    process = deploying(shell)
    process.signal(number)
    said = process.end(Exit.INTERRUPTED)
    waiting, last = said.err.splitlines()
    assert re.match(r"interlock: waiting for the effects of \d+ operations", waiting)
    left = re.match(r"interlock: interrupted; (\d+) operations? (is|are) still under way; the next", last)
    assert left and int(left[1]) == MANY - shell.now().count("Running")
    finished(shell, shell("deploy", "--count", "0"))


def test_an_interrupted_deploy_tells_a_program_what_is_left(shell: Shell) -> None:
    process = deploying(shell, "--json")
    process.signal(signal.SIGINT)
    document = process.end(Exit.INTERRUPTED).json
    assert document["error"]["code"] == "interrupted"
    assert document["error"]["under_way"] == MANY - shell.now().count("Running") and document["error"]["unsent"] == 0


def test_a_second_signal_ends_at_once(shell: Shell) -> None:
    shell.init(latency_ms=600_000)
    process = shell.begin("deploy", "web", *SMALL)
    until(lambda: shell.now() == ["Starting"])
    process.signal(signal.SIGINT)
    assert process.popen.stderr is not None and "Ctrl-C again quits now" in process.popen.stderr.readline()
    process.signal(signal.SIGINT)
    process.end(Exit.INTERRUPTED)
    assert shell.now() == ["Starting"]
    shell.init()
    assert shell.states() == {"web": "Running"}


def abandoned(shell: Shell, *, latency_ms: int) -> None:
    """A deploy of `web` was killed in its first step. What goes on with it has another latency."""
    shell.init(latency_ms=600_000)
    process = shell.begin("deploy", "web", *SMALL)
    until(lambda: shell.now() == ["Starting"])
    process.signal(signal.SIGKILL)
    process.end(-signal.SIGKILL)
    with sqlite3.connect(shell.env["INTERLOCK_DB"]) as database:  # `init` would go on with it
        database.execute("UPDATE driver SET options = ?", (json.dumps({"latency_ms": latency_ms}),))
    database.close()


def test_a_request_waits_for_what_was_taken_over_on_its_vm(shell: Shell) -> None:
    abandoned(shell, latency_ms=100)
    said = shell("stop", "web", "--json").json
    assert [(each["kind"], each["state"]) for each in said["taken_over"]] == [("deploy", "Running")]
    assert [(each["kind"], each["state"]) for each in said["results"]] == [("stop", "Stopped")]


def test_init_too_goes_on_with_what_was_abandoned(shell: Shell) -> None:
    abandoned(shell, latency_ms=600_000)
    said = shell.init()
    assert "took over 1 operation " in said.err and said.rows[0][:2] == ["web", "Running"]


def test_an_abandoned_operation_can_be_cancelled(shell: Shell) -> None:
    abandoned(shell, latency_ms=500)
    (operation,) = shell("show", "web", "--json").json["operations"]
    document = shell("cancel", operation["id"], "--json").json
    assert [(each["name"], each["operation_state"]) for each in document["results"]] == [("web", "Cancelled")]
    assert document["taken_over"] == [] and shell.states() == {"web": "Error"}
    shell("cancel", operation["id"], exit=Exit.REFUSED)


# --- at the same time


def test_others_may_look_and_act_while_a_deploy_runs(shell: Shell) -> None:
    process = deploying(shell)
    listed = shell("ps", "--json").json
    assert len(listed) == MANY and {"Starting", "Running"} >= {vm["state"] for vm in listed}
    running = next(vm["name"] for vm in listed if vm["state"] == "Running")
    assert process.popen.poll() is None
    assert "took over" not in shell("stop", running).err
    assert len(process.end().rows) == MANY
    assert Counter(shell.states().values()) == {"Running": MANY - 1, "Stopped": 1}


def test_watch_follows_what_another_process_writes_until_ctrl_c(shell: Shell) -> None:
    quick(shell)
    cloud = len(shell("history", "--cloud", "--json").json["transitions"])
    watching = shell.begin("watch", "--json", "--after", str(cloud))
    people = shell.begin("watch", "--after", str(cloud))
    shell("deploy", "web", *SMALL)
    seen: list[dict[str, Any]] = []
    assert watching.popen.stdout is not None and people.popen.stdout is not None
    while not seen or (seen[-1]["machine"], seen[-1]["destination"]) != ("operation", "Succeeded"):
        seen.append(json.loads(watching.popen.stdout.readline()))
    assert [each["seq"] for each in seen] == list(range(cloud + 1, cloud + len(seen) + 1))
    assert {each["name"] for each in seen} == {"web"} and seen[0]["changes"]["name"] == "web"
    assert people.popen.stdout.readline().split()[2:7] == ["web", "vm", "-", "→", "Allocated"]
    for process in (watching, people):
        process.signal(signal.SIGINT)
        assert process.end(Exit.INTERRUPTED).err == ""


# --- pipes and terminals


def quick(shell: Shell) -> None:
    """No latency from here on."""
    shell.init()


def piped(shell: Shell, command: str) -> subprocess.CompletedProcess[str]:
    """Run commands of a shell; `interlock` is ours. Exits with what the first of a pipe exits with."""
    script = f'interlock() {{ "{sys.executable}" -m interlock.cli.main "$@"; }}; {command}; exit "${{PIPESTATUS[0]}}"'
    environment = {**os.environ, **shell.env}
    return subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    quick(shell)
    shell("deploy", "web", *SMALL, "--count", "3")
    for command in ("history web-1", "machines vm", "ps", "ps --json", "watch --after 0"):
        said = piped(shell, f"interlock {command} | head -1")
        assert (said.returncode, said.stderr) == (0, ""), command
        assert len(said.stdout.splitlines()) == 1


def test_watching_ends_when_the_reader_goes_away_though_nothing_happens(shell: Shell) -> None:
    quick(shell)
    said = piped(shell, "interlock watch | sleep 1.5")
    assert (said.returncode, said.stderr) == (0, "")


def test_work_goes_on_when_the_reader_goes_away(shell: Shell) -> None:
    said = piped(shell, f"interlock deploy web {' '.join(SMALL)} --count 9 | head -1")
    assert (said.returncode, said.stderr) == (0, "")
    assert Counter(shell.states().values()) == {"Running": 9}


def test_a_result_that_cannot_be_written_is_an_error(shell: Shell) -> None:
    said = piped(shell, "interlock ps >/dev/full")
    assert said.returncode == Exit.FAILED
    assert said.stderr == "interlock: the result cannot be written: No space left on device\n"


def on_a_terminal(shell: Shell, *args: str, columns: int = 80, exit: int = 0) -> str:
    """What a command writes to a terminal, its escapes included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "INTERLOCK_DB": "interlock.db", "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    process = Process(args, environment, stdout=theirs, cwd=shell.folder)
    os.close(theirs)
    said = b""
    while piece := read_some(ours):
        said += piece
    os.close(ours)
    process.end(exit)
    return said.decode().replace("\r\n", "\n")


def read_some(terminal: int) -> bytes:
    """Some of what is there; nothing when the other end is closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def bare(said: str) -> list[str]:
    """Lines without escapes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).splitlines()


def test_a_terminal_shows_progress_then_a_line_each_and_the_cursor_again(shell: Shell) -> None:
    said = on_a_terminal(shell, "deploy", "web", *SMALL, "--count", "6")
    assert re.search(r"deploy .*█.* \d/6", said) and "Starting" in said
    lines = bare(said)
    assert {line.split()[0] for line in lines if " Running " in line and line.startswith("web-")} >= {"web-1", "web-6"}
    assert re.match(r"deploy: 6 Running in [\d.]+s", lines[-1])
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")


def test_tables_fit_a_terminal_of_80_columns(shell: Shell) -> None:
    quick(shell)
    networks = ("--network", "acme-private", "--network", "north-shared")
    shell("deploy", "web", *SMALL, "--account", "acme", *networks, "--data-disk", "10")
    shell("deploy", "one", *SMALL)
    for args in (
        ("ps",),
        ("show", "web"),
        ("history", "web"),
        ("hosts",),
        ("doctor",),
        ("machines",),
        ("rewind", "--at", "now", "--vms"),
        ("rewind", "web", "--seq", "20"),
        ("diff", "0", "now"),
        ("bisect", "every host cpu < 1"),
    ):
        lines = bare(on_a_terminal(shell, *args, exit=Exit.FAILED if args[0] == "bisect" else Exit.OK))
        assert lines and max(map(len, lines)) <= 80, args
    wide = bare(on_a_terminal(shell, "ps", columns=200))
    assert wide[0].split()[-1] == "CREATED"
    assert "\x1b" not in shell("ps").out


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_hunt_ends(tmp_path: Path, jobs: str) -> None:
    """The signal is sent to the command alone, which plays itself, or waits for the processes that do."""
    begun = tmp_path / "begun"
    (tmp_path / "marked.py").write_text(
        "from pathlib import Path\nfrom interlock.testing.fuzz import ground\n"
        f"def setting():\n    Path({str(begun)!r}).touch()\n    return ground.setting()\n"
    )
    more = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = Process(("fuzz", "--events", "1000000000", "--jobs", jobs, "--ground", "marked:setting"), more)
    until(begun.exists)
    process.signal(signal.SIGINT)
    said = process.end(Exit.INTERRUPTED)
    assert said.out == ""
