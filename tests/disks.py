"""Disks in the test world: what is done to them, and the situations in which it is asked for.

A `Situation` brings a world to where an operation on the disk `data` can be asked for, and says which commands that
sends. `SITUATIONS` is held complete by a test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec

from interlock import CreateDisk
from interlock.embed.handle import Handle
from interlock.schema.records import Operation, Volume
from tests.world import World

SIZE, GREATER, LESS = 2000, 3000, 1500
DONE = "Succeeded"
Asked = Callable[[World], Coroutine[Any, Any, Operation]]


async def ended(asked: Awaitable[Handle]) -> Operation:
    """Ask, and wait for the end, whatever it is."""
    return await (await asked).ended()


async def create(lab: World, name: str = "data", size_mib: int | None = SIZE, **wishes: str) -> Operation:
    """Make a disk."""
    wishes = {"offering": "any", "zone": "z", **wishes}
    return await ended(lab.engine.create_disk(CreateDisk(name=name, size_mib=size_mib, **wishes)))


async def attach(lab: World, vm: str = "web", disk: str = "data") -> Operation:
    """Give it to a VM."""
    return await ended(lab.engine.attach_disk(vm, disk))


async def detach(lab: World, disk: str = "data") -> Operation:
    """Take it from its VM."""
    return await ended(lab.engine.detach_disk(disk))


async def resize(lab: World, size_mib: int, disk: str = "data") -> Operation:
    """Give it another size, whatever is lost."""
    return await ended(lab.engine.resize_disk(disk, size_mib, shrink=True))


async def delete(lab: World, disk: str = "data") -> Operation:
    """End it."""
    return await ended(lab.engine.delete_disk(disk))


async def grow(lab: World) -> Operation:
    """Make it greater."""
    return await resize(lab, GREATER)


async def shrink(lab: World) -> Operation:
    """Make it less."""
    return await resize(lab, LESS)


async def _new(lab: World) -> None:
    await lab.deploy()
    await create(lab)


async def _attached(lab: World) -> None:
    await _new(lab)
    assert (await attach(lab)).state == DONE


async def _free(lab: World) -> None:
    await _attached(lab)
    assert (await detach(lab)).state == DONE


async def _attached_to_stopped(lab: World) -> None:
    await _attached(lab)
    assert (await lab.run("stop")).state == DONE


@dataclass(frozen=True)
class Situation:
    """An operation that is about to be asked for, and the commands it sends going forward."""

    name: str
    kind: str
    ready: Callable[[World], Awaitable[None]]
    ask: Asked
    commands: tuple[str, ...]


SITUATIONS = (
    Situation("attach-new", "attach-disk", _new, attach, ("CreateVolume", "PlugVolume")),
    Situation("attach-ready", "attach-disk", _free, attach, ("PlugVolume",)),
    Situation("detach", "detach-disk", _attached, detach, ("UnplugVolume",)),
    Situation("grow-plugged", "resize-disk", _attached, grow, ("ResizeVolume",)),
    Situation("shrink-plugged", "resize-disk", _attached, shrink, ("ResizeVolume",)),
    Situation("grow-stopped", "resize-disk", _attached_to_stopped, grow, ("ResizeVolume",)),
    Situation("grow-free", "resize-disk", _free, grow, ("ResizeVolume",)),
    Situation("shrink-free", "resize-disk", _free, shrink, ("ResizeVolume",)),
    Situation("delete", "delete-disk", _free, delete, ("DeleteVolume",)),
)


def unmoved(disk: Volume) -> Volume:
    """The disk without what every transition writes, for comparing what is left of an operation."""
    return msgspec.structs.replace(disk, version=0, since=0, hash="")
