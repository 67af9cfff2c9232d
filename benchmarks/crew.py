"""Workers as processes, and a queue for them: `interlock worker` on one database and one simulated world.

The world is a file in the folder that all of them are begun in. Each process is told to end as an operator would
(SIGTERM), and must drain and exit with 0, or there are no figures.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.command import Wrong
from benchmarks.lab import CLOUD, PER_HOST
from interlock import CloudDescription

READY = "serves"
PATIENCE = 120.0
"""Seconds that a process may take to begin or to end. Too low: a busy machine is taken for a fault; too high: a hang is
found late."""


def described(hosts: int, latency_ms: int) -> CloudDescription:
    """The cloud of `lab.py`, with a latency; its pool has room for two disks of each VM."""
    cloud = CLOUD.format(hosts=hosts, per_host=PER_HOST, memory=PER_HOST * 2048, space=2 * hosts * PER_HOST * 2048)
    return CloudDescription.parse(f"[drivers.simulator]\nlatency_ms = {latency_ms}\n{cloud}")


class Worker:
    """A process that serves."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ready(self) -> None:
        """Wait until it serves."""
        assert self.process.stderr is not None
        said = ""
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stderr.readline()).decode():
                if READY in line:
                    return
                said += line
        raise Wrong(f"a worker ended before it served: {said}")

    def pause(self) -> None:
        """Stop it where it stands, which is idle."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it begin."""
        self.process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Have it drain."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            _, said = await self.process.communicate()
        if self.process.returncode != 0:
            raise Wrong(f"a worker ended with {self.process.returncode}: {said.decode()}")


@asynccontextmanager
async def crew(url: str, folder: Path, count: int, in_flight: int) -> AsyncIterator[list[Worker]]:
    """So many workers that serve; they drain in the end.

    Args:
        folder: where they are begun, and the simulator's world is.
        in_flight: operations that each drives at once.
    """
    command = (sys.executable, "-m", "interlock.cli.main", "--db", url, "worker", "--in-flight", str(in_flight))
    path = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    begun: list[Worker] = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stderr=asyncio.subprocess.PIPE
            )
            begun.append(Worker(process))
        await asyncio.gather(*(worker.ready() for worker in begun))
        yield begun
        await asyncio.gather(*(worker.end() for worker in begun))
    finally:
        for worker in begun:
            if worker.process.returncode is None:
                worker.process.kill()
                await worker.process.wait()
