"""What the figures were measured on: cores, memory, versions, and what the disk takes to keep a promise."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

SYNCS = 100
"""Writes timed for one figure. Too low: one slow one decides; too high: seconds on a slow disk."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, and the folder the databases lie in."""

    cpu: str
    cores: int
    ram_gib: float
    system: str
    python: str
    sqlite: str
    folder: str
    fsync_ms: float
    """Median of `SYNCS` writes of 4 KiB, each followed by fsync."""
    others: float | None = None
    """Cores that were busy meanwhile with what is neither this process nor a child of it that has ended: other work,
    and database servers. None where the system does not tell."""

    def lines(self) -> list[str]:
        """For people."""
        others = "" if self.others is None else f"; other processes kept {self.others:.1f} cores busy"
        return [
            f"machine  {self.cores} cores ({self.cpu}), {self.ram_gib:.0f} GiB RAM, {self.system}",
            f"         Python {self.python}, SQLite {self.sqlite}{others}",
            f"disk     {self.folder}: 4 KiB and fsync take {self.fsync_ms:.2f} ms (median of {SYNCS})",
        ]


class Watch:
    """What the machine's other processes do from now on; Linux alone tells."""

    def __init__(self) -> None:
        self._busy, self._own, self._began = _busy(), _own(), time.monotonic()

    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def others(self) -> float | None:
        """Cores that they kept busy, on average since the beginning."""
        busy = _busy()
        if busy is None or self._busy is None:
            return None
        return round(max(0.0, busy - self._busy - (_own() - self._own)) / max(self.seconds(), 0.001), 2)


def _busy() -> float | None:
    """Processor seconds of the whole machine since it started: user, nice, system, interrupts."""
    try:
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):
        return None
    user, nice, system, _idle, _waiting, *interrupts = ticks
    return (user + nice + system + sum(interrupts[:2])) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def this_machine(folder: Path, others: float | None = None) -> Machine:
    """Look around, and time the disk under `folder`; `others` is what a `Watch` has seen."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        ram_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=platform.platform(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        folder=os.path.relpath(folder) if folder.resolve().is_relative_to(Path.cwd()) else str(folder),
        fsync_ms=round(fsync_ms(folder), 3),
        others=others,
    )


def fsync_ms(folder: Path) -> float:
    """How long the disk takes to make 4 KiB durable."""
    took = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
