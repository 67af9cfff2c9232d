"""What a process holds: memory, open files, threads, tasks, objects; and what its database takes on the disk.

Read in a quiet moment, with nothing under way, so that what should be constant is so to the last one. Linux only: it
asks /proc.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType, ModuleType, NoneType

import msgspec

MIB = 2**20
OURS = ("interlock.", "benchmarks.")
TURNS, TURN = 500, 0.01
"""Looks, and seconds between two, at whether other tasks have ended. Too few: a renewed lease is taken for a leak; too
many: a real one holds things up."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One moment."""

    operations: int
    vms: int
    """Alive."""
    cpu_seconds: float
    """Of this process, so far."""
    seconds: float
    rss_mib: float
    files: int
    threads: int
    tasks: int
    timers: int
    """Calls that the event loop has been asked for at a later time."""
    blocks: int
    """Pieces of memory that Python's own objects take: what leaks shows here, whatever its type."""
    objects: Mapping[str, int]
    """Of our own types, by type, those that the garbage collector knows."""
    database_mib: float
    wal_mib: float
    simulator_mib: float


def read(operations: int, vms: int, began: float, database: Path, simulator: Path) -> Reading:
    """Read now, inside the event loop.

    Args:
        operations: how many have been done.
        vms: how many are alive.
        began: when, by `time.perf_counter`.
        database: the engine's SQLite file.
        simulator: the file of its world.
    """
    rss = rss_mib()  # before the collection, as a stranger would see it
    gc.collect()
    return Reading(
        operations=operations,
        vms=vms,
        cpu_seconds=time.process_time(),
        seconds=time.perf_counter() - began,
        rss_mib=rss,
        files=_entries("fd"),
        threads=_entries("task"),
        tasks=len(asyncio.all_tasks()),
        timers=_timers(),
        blocks=sys.getallocatedblocks(),
        objects=ours(),
        database_mib=_mib(database),
        wal_mib=_mib(database.with_name(f"{database.name}-wal")),
        simulator_mib=_mib(simulator),
    )


async def quiet() -> None:
    """Wait, not for long, until no other task runs: at rest an engine may still be renewing its lease."""
    for _ in range(TURNS):
        if len(asyncio.all_tasks()) == 1:
            return
        await asyncio.sleep(TURN)


def rss_mib() -> float:
    """Memory of this process that is resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def ours() -> dict[str, int]:
    """Living objects of our own types that the garbage collector knows, by type."""
    kinds = Counter(type(each) for each in gc.get_objects())
    return {f"{kind.__module__}.{kind.__qualname__}": count for kind, count in kinds.items() if _is_ours(kind)}


CONTAINERS = (dict, list, tuple, set, frozenset, deque, partial, MethodType)
NUMBERS = (int, float, bool, NoneType)
"""Of these there may be one or many of one value: their number says nothing."""


def held(*roots: object) -> dict[str, int]:
    """What some objects hold through our own types and through containers, by type: exact, where `blocks` only hints,
    but blind to what the libraries keep. Not looked into: types, modules, functions, and all that is not ours."""
    seen: dict[int, object] = {}
    found = list(roots)
    while found:
        each = found.pop()
        if id(each) in seen or isinstance(each, (type, ModuleType, FunctionType, *NUMBERS)):
            continue
        seen[id(each)] = each
        if _is_ours(type(each)) or isinstance(each, CONTAINERS):
            found += gc.get_referents(each)
        if isinstance(each, dict):
            found += each  # the collector passes over keys that are strings
    return dict(Counter(type(each).__qualname__ for each in seen.values()))


def _is_ours(kind: type) -> bool:
    return str(kind.__module__).startswith(OURS)


def _entries(what: str) -> int:
    return sum(1 for _ in Path(f"/proc/self/{what}").iterdir())


def _timers() -> int:
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", ())
    return len(scheduled)


def _mib(file: Path) -> float:
    return file.stat().st_size / MIB if file.exists() else 0.0


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What a table takes."""

    rows: int
    row_bytes: int
    """The table itself."""
    index_bytes: int

    @property
    def bytes(self) -> int:
        """Both, the free space of pages included."""
        return self.row_bytes + self.index_bytes


def tables(database: Path) -> dict[str, Table]:
    """What each table of a SQLite file takes; empty where this SQLite was built without `dbstat`."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        try:
            sizes = dict(opened.execute("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE").fetchall())
        except sqlite3.OperationalError:
            return {}
        owners = opened.execute("SELECT tbl_name, name, type FROM sqlite_master WHERE rootpage > 0").fetchall()
        names = [name for _, name, kind in owners if kind == "table"]
        counts = {name: opened.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
    return {
        name: Table(
            rows=counts[name],
            row_bytes=sizes.get(name, 0),
            index_bytes=sum(sizes.get(index, 0) for table, index, kind in owners if (table, kind) == (name, "index")),
        )
        for name in names
    }
