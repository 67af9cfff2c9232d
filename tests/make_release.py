"""Writes what a release leaves behind: `python -m tests.make_release 0.2`, run with that release's code, once.

A fleet with operations of every kind, each stopped where a kill would: before an effect, after it, while undoing, while
waiting, Stuck. `golden/release-N.sql` has the rows of the database, `-guards-DIALECT.sql` its triggers, `-world.sql`
the simulator's world at the same moment; `release.py` makes databases and worlds of them. What one release wrote is
never written again.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean

from interlock.drivers.simulator import FaultKind, Simulator
from interlock.embed.handle import Handle
from interlock.engine.orchestrator import drives
from interlock.schema import guards
from interlock.schema.commands import AnyCommand, Outcome
from interlock.schema.requests import CreateDisk
from interlock.schema.tables import metadata
from tests.bare import literal
from tests.test_operations import slow
from tests.witness import Recorder, noted
from tests.world import World, cloud, world

GOLDEN = Path(__file__).parent / "golden"
BEFORE, AFTER, NEVER = "before", "after", "never"
"""When an effect is held: not done yet, done but not heard of, or not at all."""
ELSEWHERE = {"machine": "elsewhere", "pid": 1, "born": "1"}
"""Of the worker that was killed: where this was made is nobody's business."""
WORLD = ("domain", "plugged_nic", "plugged_volume", "volume", "nic", "host", "pool", "token", "fence")
"""The simulator's tables in an order in which its triggers count nothing: what is used is written with the places."""
Ask = Callable[[World, str], Awaitable[Handle]]


class Holding(Recorder):
    """A driver that can be told to hold its next command of a kind for good."""

    command, when = "", NEVER

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.held = asyncio.Event()

    def hold(self, command: str, when: str) -> None:
        """Hold the next one."""
        self.command, self.when = command, when
        self.held.clear()

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        mine = type(command).__name__ == self.command
        if mine:
            self.command = ""
            if self.when == AFTER:
                await self.inner.perform(command, token=token, fence=fence)
            self.held.set()
            await asyncio.Event().wait()
        return await self.inner.perform(command, token=token, fence=fence)


def asks(method: str, **wishes: Any) -> Ask:
    """Ask something of a VM."""
    return lambda lab, name: getattr(lab.engine, method)(name, **wishes)


def asks_disk(method: str, *wishes: Any) -> Ask:
    """Ask something of the VM's disk."""
    return lambda lab, name: getattr(lab.engine, method)(f"disk-{name}", *wishes)


def deploys(lab: World, name: str) -> Awaitable[Handle]:
    """Ask for a VM."""
    return lab.engine.deploy(lab.request(name))


def attaches(lab: World, name: str) -> Awaitable[Handle]:
    """Give the disk to the VM."""
    return lab.engine.attach_disk(name, f"disk-{name}")


def creates(lab: World, name: str) -> Awaitable[Handle]:
    """Make a disk."""
    return lab.engine.create_disk(CreateDisk(name=f"disk-{name}", size_mib=2000, offering="any", zone="z"))


@dataclass(frozen=True)
class Flight:
    """An operation that is cut off: what is asked after `first` has ended, and where it stops.

    `refused`: faults that come before. Not held: it ends, waits or is Stuck by itself.
    """

    ask: Ask
    command: str = ""
    when: str = NEVER
    first: tuple[Ask, ...] = (deploys,)
    refused: tuple[tuple[str, FaultKind], ...] = ()
    waits: bool = False
    cancelled: bool = False


NO, NOT_HERE, LATER = FaultKind.REFUSE_VM, FaultKind.REFUSE, FaultKind.TRANSIENT
stops, starts = asks("stop"), asks("start")
DISK, PLUGGED = (deploys, creates), (deploys, creates, attaches)
STOPPED, DESTROYED = (deploys, stops), (deploys, asks("destroy"))

FLIGHTS = (
    Flight(deploys, "PrepareNic", BEFORE, ()),
    Flight(deploys, "CreateVolume", AFTER, ()),
    Flight(deploys, "StartDomain", BEFORE, ()),
    Flight(deploys, "StartDomain", AFTER, ()),
    Flight(deploys, "StartDomain", AFTER, (), cancelled=True),
    Flight(deploys, "StopDomain", BEFORE, (), (("StartDomain", NO),)),
    Flight(deploys, "DeleteVolume", AFTER, (), (("StartDomain", NO),)),
    Flight(deploys, "ReleaseNic", BEFORE, (), (("StartDomain", NOT_HERE),)),
    Flight(deploys, first=(), refused=(("StartDomain", LATER),), waits=True),
    Flight(deploys, first=(), refused=(("StartDomain", NO), ("StopDomain", LATER)), waits=True),
    Flight(deploys, first=(), refused=(("StartDomain", NO), ("StopDomain", NO))),
    Flight(deploys, first=(), refused=(("StartDomain", NO),)),
    Flight(stops),
    Flight(stops, "StopDomain", AFTER),
    Flight(stops, "ReleaseNic", BEFORE),
    Flight(stops, "StartDomain", BEFORE, refused=(("ReleaseNic", NO),)),
    Flight(stops, refused=(("ReleaseNic", NO), ("PrepareNic", NO))),
    Flight(starts, "StartDomain", AFTER, STOPPED),
    Flight(asks("reboot"), "RebootDomain", BEFORE),
    Flight(asks("migrate"), "MigrateDomain", AFTER),
    Flight(asks("migrate"), "ReleaseNic", BEFORE, refused=(("MigrateDomain", NO),)),
    Flight(asks("scale", offering="medium"), "ScaleDomain", AFTER),
    Flight(asks("destroy"), "StopDomain", BEFORE),
    Flight(asks("expunge"), "DeleteVolume", AFTER, DESTROYED),
    Flight(asks("restore"), "DeleteVolume", BEFORE, STOPPED),
    Flight(asks("add_nic", network="back"), "PlugNic", AFTER),
    Flight(asks("remove_nic", network="back"), "UnplugNic", AFTER, (deploys, asks("add_nic", network="back"))),
    Flight(asks("secure"), "ApplyRules", BEFORE),
    Flight(attaches, "CreateVolume", AFTER, DISK),
    Flight(asks_disk("detach_disk"), "UnplugVolume", AFTER, PLUGGED),
    Flight(asks_disk("resize_disk", 3000), "ResizeVolume", AFTER, PLUGGED),
    Flight(asks_disk("delete_disk"), "DeleteVolume", BEFORE, (*PLUGGED, asks_disk("detach_disk"))),
    Flight(asks("expunge"), first=DESTROYED),
)


async def fly(lab: World, driver: Holding, number: int, flight: Flight) -> None:
    """Bring one operation to where it stops."""
    name = f"vm-{number}"
    for ask in flight.first:
        assert (await (await ask(lab, name)).ended()).state == "Succeeded"
    for command, kind in flight.refused:
        await lab.order(command, kind, times=1)
    driver.hold(flight.command, flight.when)
    rules = lab.engine._orchestrator.commits.rules
    if flight.waits:
        lab.engine._orchestrator.commits.rules = slow(lab)
    handle = await flight.ask(lab, name)
    if flight.command:
        await asyncio.wait_for(driver.held.wait(), 10)
    elif flight.waits:
        while (await lab.engine._store.operation(handle.id)).wake_at is None:
            await asyncio.sleep(0.01)
    else:
        await handle.ended()
    if flight.cancelled:
        await handle.cancel()
    lab.engine._orchestrator.commits.rules = rules


async def main(release: str) -> None:
    """Live, be cut off, write what is left."""
    made, wrap = noted(Holding)
    folder = Path(tempfile.mkdtemp())
    async with world(folder, wrap=wrap, description=cloud(hosts=6)) as lab:
        for number, flight in enumerate(FLIGHTS):
            await fly(lab, made[0], number, flight)
        drives.IN_FLIGHT = 0
        await deploys(lab, "queued")
        _write(release, folder)
        os._exit(0)  # as a kill does: closing would wait for what is held


def _write(release: str, folder: Path) -> None:
    with sqlite3.connect(folder / "interlock.db") as database:
        tables = [table.name for table in metadata.sorted_tables if table.name != "guard"]
        _keep(f"release-{release}.sql", [_rows(database, table, _flags(table)) for table in tables])
    with sqlite3.connect(folder / "world.simulator") as database:
        _keep(f"release-{release}-world.sql", [_rows(database, table, ()) for table in WORLD])
    for dialect in ("sqlite", "postgresql"):
        mark = f"INSERT INTO guard (id, fingerprint) VALUES (1, {literal(guards.fingerprint(dialect))})"
        statements = [" ".join(each.split()) for each in (*guards.statements(dialect), mark)]
        _keep(f"release-{release}-guards-{dialect}.sql", statements)


def _keep(name: str, statements: Sequence[str]) -> None:
    (GOLDEN / name).write_text("".join(f"{each};\n" for each in statements if each))


def _flags(table: str) -> tuple[str, ...]:
    return tuple(column.name for column in metadata.tables[table].c if isinstance(column.type, Boolean))


def _rows(database: sqlite3.Connection, table: str, flags: tuple[str, ...]) -> str:
    """The statement that writes all rows of a table; nothing if there are none."""
    found = database.execute(f'SELECT * FROM "{table}"')
    names = [each[0] for each in found.description]
    listed = ", ".join(f'"{name}"' for name in names)
    written = ELSEWHERE if table == "worker" else {}
    rows = [{**dict(zip(names, row, strict=True)), **written} for row in found.fetchall()]
    texts = [", ".join(_literal(value, name in flags) for name, value in row.items()) for row in rows]
    return f'INSERT INTO "{table}" ({listed}) VALUES\n' + ",\n".join(f"({text})" for text in texts) if texts else ""


def _literal(value: Any, is_flag: bool) -> str:
    if is_flag and value is not None:
        return "TRUE" if value else "FALSE"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return literal(value)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
