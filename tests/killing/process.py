"""The round's end of a process: begin it, wait for a moment, kill it, pause it, and know what it was doing.

Processes come from a fork server that has imported everything: a start takes 20 ms instead of 700, and what comes is a
process like any other, with a number of its own that the kernel ends with SIGKILL.

Promises: whatever a round does, `Process.bury` leaves nothing of it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from tests.killing import worker
from tests.killing.diary import Kind, Mark, Stage, read
from tests.killing.plan import Moment

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.killing.worker", "sqlalchemy.dialects.postgresql.asyncpg", "asyncpg"])

PATIENCE = 60.0
"""Seconds that anything may take. Too low: a busy machine fails a round; too high: a hang is found late."""
LOCK_SECONDS = 0.5
"""Too low: a busy neighbour is taken for the one that was stopped; too high: the pause is late."""
MOMENT = 4.0
"""Seconds until a process is struck whose moment does not come (what it waits for hangs, or is not so often)."""


class Death(msgspec.Struct, frozen=True):
    """What a process was doing when it was struck."""

    stage: str
    committing: bool
    """A batch was in the database's hands."""
    effects: int
    """Commands that were with the hypervisor."""
    in_flight: int
    """Operations that it had been told are durable, and that had not ended."""

    @property
    def in_the_air(self) -> str:
        """The same, in a word."""
        named = {"commit": self.committing, "effects": bool(self.effects)}
        return " + ".join(name for name, there in named.items() if there) or "nothing"


class Process:
    """A process that does what it is ordered."""

    def __init__(self, orders: worker.Orders) -> None:
        self.name = orders.name
        self.marks: list[Mark] = []
        self.death: Death | None = None
        self.paused: Death | None = None
        self._changed = threading.Condition()
        self._over = False
        ours, theirs = multiprocessing.Pipe(duplex=False)
        self._process = _context.Process(target=worker.run, args=(orders, theirs), name=orders.name)
        self._process.start()
        theirs.close()
        self._pipe = ours
        self._reader = threading.Thread(target=self._read, name=f"reads {orders.name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while mark := read(self._pipe):
            with self._changed:
                self.marks.append(mark)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def wait(self, met: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Wait until something is so of its marks; False if it ended, or the time did, before."""
        with self._changed:
            self._changed.wait_for(lambda: met() or self._over, seconds)
            return met()

    def reach(self, moment: Moment) -> None:
        """Wait until a moment has come, or has been missed."""
        self.wait(lambda: self._has_reached(moment), MOMENT)
        time.sleep(moment.later)

    def _has_reached(self, moment: Moment) -> bool:
        stages = [mark.about for mark in self.marks if mark.kind is Kind.STAGE]
        if stages and stages[-1] in (Stage.CLOSING, Stage.CLOSED):
            return True
        if moment.stage not in stages:
            return False
        return sum(mark.kind is moment.kind for mark in self.marks) >= moment.count + self._before(moment)

    def _before(self, moment: Moment) -> int:
        """How many marks of its kind came before its stage."""
        found = 0
        for mark in self.marks:
            if mark.kind is Kind.STAGE and mark.about == moment.stage:
                break
            found += mark.kind is moment.kind
        return found

    @property
    def of(self) -> Callable[[Kind], list[Mark]]:
        """Its marks of a kind."""
        return lambda kind: [mark for mark in self.marks if mark.kind is kind]

    def kill(self) -> None:
        """End it at once; returns when the kernel has buried it and all it told has been read."""
        self._process.kill()
        self._join()
        self.death = self._present()

    def pause(self, world: Path) -> None:
        """Stop it where it stands; it may have ended before.

        Not while it holds the lock of the simulator's file: no hypervisor waits for one that asks it.
        """
        while self._process.is_alive() and not self.paused:
            stop(self._pid)
            if _is_free(world):
                self.paused = self._present()
            else:
                os.kill(self._pid, signal.SIGCONT)
                time.sleep(0.001)

    def go_on(self) -> None:
        """Let it go on, if it was paused."""
        if self.paused:
            os.kill(self._pid, signal.SIGCONT)

    def end(self) -> int | None:
        """Wait until it has ended by itself; its exit code, None if it has not."""
        self._process.join(PATIENCE)
        code = self._process.exitcode
        self._reader.join(PATIENCE)
        return code

    def bury(self) -> None:
        """Leave nothing of it."""
        self._process.kill()
        self._join()

    def _join(self) -> None:
        self._process.join(PATIENCE)
        self._reader.join(PATIENCE)
        self._pipe.close()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def _present(self) -> Death:
        with self._changed:
            count = {kind: len(self.of(kind)) for kind in Kind}
        stages = self.of(Kind.STAGE)
        return Death(
            stage=stages[-1].about if stages else Stage.STARTING,
            committing=count[Kind.COMMIT] > count[Kind.COMMITTED],
            effects=count[Kind.EFFECT] - count[Kind.EFFECTED],
            in_flight=count[Kind.ACKED] - count[Kind.ENDED],
        )


def stop(pid: int) -> None:
    """Stop a process; returns when no thread of it runs any more.

    The kernel says yes before: a thread on another core goes on for a moment, and may take a lock in it.
    """
    os.kill(pid, signal.SIGSTOP)
    while any(_runs(stat) for stat in Path(f"/proc/{pid}/task").glob("*/stat")):
        time.sleep(0.0001)


def _runs(stat: Path) -> bool:
    try:
        state = stat.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return False
    return state not in "TtZX"


def _is_free(world: Path) -> bool:
    """Whether somebody else may write the simulator's file."""
    if not world.exists():
        return True
    with closing(sqlite3.connect(world, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
    return True
