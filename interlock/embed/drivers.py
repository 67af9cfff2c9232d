"""The drivers of one engine: opens those that hosts and pools name, tells each which of them are its own, closes them.

Promises: a driver is opened once, and closed with the engine; one that was handed in is the embedder's, and is left
open. What drivers can is asked when they know their hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from interlock.drivers.protocol import Driver, Home
from interlock.embed.cloud import CloudDescription
from interlock.engine.orchestrator import plugins
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import Capability


class Drivers:
    """One per engine.

    Args:
        own: the embedder's, by name.
        stack: closes those that are opened, when it is left.

    Raises:
        PluginError: one of the embedder's is no driver.
    """

    def __init__(self, store: Store, own: Mapping[str, Driver], stack: AsyncExitStack) -> None:
        self._store = store
        self._own = plugins.drivers(own)
        self._closing = AsyncExitStack()
        stack.push_async_callback(self._closing.aclose)
        self.opened: dict[str, Driver] = {}
        """By name."""
        self.able: dict[str, frozenset[Capability]] = {}
        """What they can, as the core's rules see it."""

    async def open(self, inventory: Inventory) -> None:
        """Open those that the cloud names and that are not open, and tell all which hosts and pools are theirs.

        Raises:
            PluginError: a driver is not installed or does not open.
        """
        hosts, pools = list(inventory.all(Host)), list(inventory.all(StoragePool))
        names = {*(host.driver for host in hosts), *(pool.driver for pool in pools)}
        await self._open(names, await self._options())
        for name in sorted(names):
            await self.opened[name].attach(
                [host for host in hosts if host.driver == name], [pool for pool in pools if pool.driver == name]
            )
        # What the core knows of drivers is what they can: asked once they know their hosts.
        self.able.update({name: driver.capabilities for name, driver in self.opened.items()})

    async def open_described(self, cloud: CloudDescription) -> None:
        """Open those that a description names before it is written: one that does not open changes nothing.

        Raises:
            PluginError: a driver is not installed or does not open.
        """
        names = {place.driver for place in cloud.places if isinstance(place, Host | StoragePool)}
        await self._open(names, {**await self._options(), **cloud.drivers})

    async def _options(self) -> dict[str, dict[str, Any]]:
        return {name: msgspec.json.decode(text) for name, text in await self._store.rows(queries.drivers())}

    async def _open(self, names: Iterable[str], options: Mapping[str, Mapping[str, Any]]) -> None:
        for name in sorted(names):
            if name in self._own:
                self.opened[name] = self._own[name]
            elif name not in self.opened:
                self.opened[name] = await plugins.driver(name, options.get(name, {}), _home_of(self._store))
                self._closing.push_async_callback(self.opened[name].close)


def _home_of(store: Store) -> Home:
    """Drivers keep their files beside a SQLite database, or in the working directory."""
    database = store.engine.url.database or "interlock"
    if store.dialect == "sqlite":
        path = Path(database)
        return Home(path.parent, path.stem)
    return Home(Path.cwd(), database)
