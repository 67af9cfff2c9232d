"""Who is dead: the processes that workers ran in, as the kernel of this machine tells."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from interlock.engine.orchestrator.lease import Worker, birth, is_gone, this_machine


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def _of(pid: int) -> Worker:
    return Worker(id="w", machine=this_machine(), pid=pid, born=birth(pid), lease_until=0)


def test_one_that_lives_is_not_gone(child: subprocess.Popen[bytes]) -> None:
    assert not is_gone(_of(child.pid))
    assert not is_gone(_of(os.getpid()))


def test_one_whose_number_another_process_has_now_is_dead(child: subprocess.Popen[bytes]) -> None:
    worker = _of(child.pid)
    assert is_gone(msgspec.structs.replace(worker, born="1"))
    assert not is_gone(msgspec.structs.replace(worker, born="1", machine="another"))


def test_one_that_was_killed_is_dead_before_its_parent_has_taken_note(child: subprocess.Popen[bytes]) -> None:
    """Until then its number is taken, by what the kernel keeps of it."""
    worker = _of(child.pid)
    child.kill()
    until = time.monotonic() + 10
    while not is_gone(worker):
        assert time.monotonic() < until, "a process that has ended counts as alive"
        time.sleep(0.01)
    os.kill(child.pid, 0)  # it is still there
    child.wait()
    assert is_gone(worker)
