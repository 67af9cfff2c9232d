"""What embedders do with disks: the part of `Engine` that makes, attaches, detaches, resizes, deletes and finds them.

Promises: what `Engine` promises. Disks and VMs may be named by name or id everywhere; a name that several living disks
have is refused with their ids.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.embed.asks import Asks
from interlock.embed.handle import Handle
from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.records import Volume
from interlock.schema.requests import AttachDisk, CreateDisk, DeleteDisk, DetachDisk, ResizeDisk


class Disks(Asks):
    """Mixed into `Engine`."""

    _store: Store

    async def create_disk(
        self,
        request: CreateDisk,
        *,
        connection: AsyncConnection | None = None,
        actor: str | None = None,
        caller: str | None = None,
    ) -> Handle:
        """Make a data disk that belongs to no VM; `handle.volume_id` is its id.

        Args and errors: as `submit`.
        """
        return await self.submit(request, connection=connection, actor=actor, caller=caller)

    async def attach_disk(self, vm: str, disk: str, *, caller: str | None = None) -> Handle:
        """Give a disk that belongs to no VM to one that is Allocated, Stopped or Running."""
        return await self.submit(AttachDisk(vm, disk), caller=caller)

    async def detach_disk(self, disk: str, *, caller: str | None = None) -> Handle:
        """Take a data disk from its VM; it keeps its data."""
        return await self.submit(DetachDisk(disk), caller=caller)

    async def resize_disk(self, disk: str, size_mib: int, *, shrink: bool = False, caller: str | None = None) -> Handle:
        """Change the size of a disk; shrink: data may be lost."""
        return await self.submit(ResizeDisk(disk, size_mib, shrink), caller=caller)

    async def delete_disk(self, disk: str, *, caller: str | None = None) -> Handle:
        """End a disk that belongs to no VM, for good."""
        return await self.submit(DeleteDisk(disk), caller=caller)

    async def disk(self, name_or_id: str) -> Volume:
        """One disk. Of several with one name, the living one.

        Raises:
            NotFound: there is none.
            InvalidRequest: several live under that name.
        """
        found = await self._store.disks(queries.disks_named(name_or_id))
        if not found:
            raise NotFound(f"there is no disk {name_or_id!r}; `interlock disks --all` lists them")
        exact = next((each for each in found if each.id == name_or_id), None)
        if exact is not None:
            return exact
        living = [disk for disk in found if disk.state != "Expunged"]
        if len(living) > 1:
            ids = ", ".join(disk.id for disk in living)
            raise InvalidRequest(f"several disks are named {name_or_id}; say which: {ids}")
        return found[0]
