"""The tests' own PostgreSQL: found where it is; skipped where there is none, failed in CI; gone when it should be."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import postgres
from tests.bare import bare, value
from tests.postgres import NotInstalled, Server, absent, binaries

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("told", ["", "0", "false"])
def test_a_test_without_a_server_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("CI", told)
    with pytest.raises(pytest.skip.Exception, match="nowhere"):
        absent("nowhere")


@pytest.mark.parametrize("told", ["true", "1"])
def test_a_test_without_a_server_fails_in_ci(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("CI", told)
    with pytest.raises(pytest.fail.Exception, match="nowhere; in CI it must be there"):
        absent("nowhere")


def a_folder(tmp_path: Path, name: str, tools: tuple[str, ...] = postgres.NEEDED) -> Path:
    """A folder with these tools in it."""
    folder = tmp_path / name / "bin"
    folder.mkdir(parents=True)
    for tool in tools:
        (folder / tool).touch()
    return folder


def test_the_first_whole_server_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    half, whole, other = (
        a_folder(tmp_path, "half", ("initdb",)),
        a_folder(tmp_path, "whole"),
        a_folder(tmp_path, "other"),
    )
    monkeypatch.setattr(postgres, "_folders", lambda: iter((tmp_path, half, whole, other)))
    assert binaries() == whole


def test_the_newest_version_comes_first(tmp_path: Path) -> None:
    folders = [a_folder(tmp_path, name) for name in ("9.6", "15", "9.10", "17")]
    newest = sorted(folders, key=postgres._version, reverse=True)
    assert [folder.parent.name for folder in newest] == ["17", "15", "9.10", "9.6"]


def test_where_it_was_looked_for_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "_folders", lambda: iter((tmp_path,)))
    with pytest.raises(NotInstalled, match=str(tmp_path)):
        binaries()


async def test_it_stops_starts_and_ends_and_leaves_nothing(server: Server) -> None:
    own = Server.begin()
    try:
        own.stop()
        own.start()
        async with bare(own.url("postgres")) as database:
            assert await value(database, "SHOW listen_addresses") == ""
            assert await value(database, "SHOW fsync") == "on"
    finally:
        own.end()
    assert not own.folder.exists()
    assert server.folder.exists()


SCRIPT = """
import os
from tests.postgres import Server
print(Server.begin().folder, flush=True)
os.kill(os.getpid(), 9)
"""


def test_it_ends_when_the_tests_are_killed(server: Server) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT, check=False)
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("interlock-pg-"), done.stderr
    until = time.monotonic() + 20
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()
