"""`interlock worker --metrics`: what Prometheus scrapes of a worker, and addresses that are none."""

from __future__ import annotations

import re
import signal
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interlock.cli.exits import Exit
from tests.command import SMALL, Shell
from tests.conftest import copied_database
from tests.postgres import Server


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    """A current PostgreSQL database without a cloud."""
    async with copied_database(server, "current") as made:
        yield made


@pytest.fixture
def shell(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Commands on it."""
    monkeypatch.chdir(tmp_path)  # the simulator keeps its world there
    made = Shell(tmp_path)
    made.env["INTERLOCK_DB"] = url
    made.init()
    return made


def test_a_worker_serves_its_metrics(shell: Shell) -> None:
    worker = shell.begin("worker", "--metrics", "127.0.0.1:0")
    url = re.findall(r"http://127.0.0.1:[0-9]+/metrics", worker.says("metrics are served at"))[0]
    worker.says("serves")
    shell("deploy", "web", *SMALL, "--by-workers")
    text = urllib.request.urlopen(url).read().decode()
    assert 'interlock_operations_total{kind="deploy",outcome="Succeeded"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    worker.signal(signal.SIGTERM)
    assert worker.end(Exit.OK)


def test_what_is_no_address_is_refused_before_anything_is_opened(shell: Shell) -> None:
    refused = shell("worker", "--metrics", "nowhere", exit=Exit.REFUSED)
    assert "HOST:PORT" in refused.err
