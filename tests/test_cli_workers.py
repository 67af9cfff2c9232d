"""`interlock worker` as a process: it serves, drains when it is told to end, and others go on when it is killed."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interlock.cli.exits import Exit
from tests.bare import bare, value
from tests.command import SMALL, Process, Shell
from tests.conftest import copied_database
from tests.postgres import Server

MANY = 12
CLAIMS = "SELECT count(*) FROM journal WHERE machine = 'operation' AND event = 'Claimed'"
STATES = "SELECT count(*) FROM vm WHERE state = 'Running'"


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    """An empty PostgreSQL database."""
    async with copied_database(server, None) as made:
        yield made


@pytest.fixture
def shell(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Commands on it; effects take 0.1 to 0.4 seconds."""
    monkeypatch.chdir(tmp_path)  # the simulator keeps its world there
    made = Shell(tmp_path)
    made.env["INTERLOCK_DB"] = url
    made.init(latency_ms=100, jitter_ms=300)
    return made


def worker(shell: Shell, *args: str) -> tuple[Process, str]:
    """One that serves by now, and its id."""
    process = shell.begin("worker", *args)
    found = re.search(r"worker (\S+) serves", process.says("serves"))
    assert found
    return process, found[1]


async def count(url: str, sql: str) -> int:
    async with bare(url) as database:
        return int(await value(database, sql))


async def test_a_worker_that_is_told_to_end_drains_and_another_goes_on(shell: Shell, url: str) -> None:
    first, _ = worker(shell, "--in-flight", "4")
    asking = shell.begin("deploy", "web", *SMALL, "--count", str(MANY), "--by-workers")
    async with bare(url) as database:
        while not await value(database, STATES):
            pass
    first.signal(signal.SIGTERM)
    ended = first.end(Exit.OK)
    assert re.search(r"ending: \d+ operations? under way", ended.err)
    assert await count(url, STATES) < MANY
    assert await count(url, "SELECT count(*) FROM worker") == 0
    second, _ = worker(shell)
    asking.end(Exit.OK)
    second.signal(signal.SIGINT)
    second.end(Exit.OK)
    assert await count(url, STATES) == MANY
    shell.begin("doctor").end()


async def test_what_a_killed_worker_drove_another_goes_on_with(shell: Shell, url: str) -> None:
    """On the same machine it is seen to be dead as soon as somebody looks; elsewhere, when its lease ends."""
    (first, its_id), (second, _) = worker(shell), worker(shell, "--in-flight", "4")
    asking = shell.begin("deploy", "web", *SMALL, "--count", str(MANY), "--by-workers")
    async with bare(url) as database:
        its = f"SELECT count(*) FROM operation WHERE worker_id = '{its_id}'"
        while not await value(database, its):
            pass
        first.signal(signal.SIGKILL)
        first.end(-signal.SIGKILL)
        assert await value(database, its) > 0
        await database.run("UPDATE worker SET lease_until = 0")
        await database.run("NOTIFY interlock, '{\"lease_until\":0}'")  # the time has come
    asking.end(Exit.OK)
    second.signal(signal.SIGTERM)
    second.end(Exit.OK)
    assert await count(url, STATES) == MANY
    assert await count(url, CLAIMS) > MANY, "nothing was taken over"
    shell.begin("doctor").end()


def test_a_worker_on_sqlite_is_refused(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.init()
    refused = shell("worker", exit=Exit.REFUSED)
    assert "PostgreSQL" in refused.err
