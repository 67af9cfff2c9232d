"""Opens the drivers that the cloud's hosts and pools name, and tells each which of them are its own."""

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


async def open_drivers(
    inventory: Inventory,
    store: Store,
    opened: dict[str, Driver],
    own: Mapping[str, Driver],
    stack: AsyncExitStack,
) -> None:
    """Fill `opened`; those not in `own` are closed when `stack` is.

    Raises:
        PluginError: a driver is not installed or does not open.
    """
    hosts, pools = list(inventory.all(Host)), list(inventory.all(StoragePool))
    names = {*(host.driver for host in hosts), *(pool.driver for pool in pools)}
    await _open(names, await _options(store), store, opened, own, stack)
    for name in sorted(names):
        await opened[name].attach(
            [host for host in hosts if host.driver == name], [pool for pool in pools if pool.driver == name]
        )


async def open_described(
    cloud: CloudDescription, store: Store, opened: dict[str, Driver], own: Mapping[str, Driver], stack: AsyncExitStack
) -> None:
    """Open the drivers that a description names before it is written: one that does not open changes nothing.

    Raises:
        PluginError: a driver is not installed or does not open.
    """
    names = {place.driver for place in cloud.places if isinstance(place, Host | StoragePool)}
    await _open(names, {**await _options(store), **cloud.drivers}, store, opened, own, stack)


async def _options(store: Store) -> dict[str, dict[str, Any]]:
    return {name: msgspec.json.decode(text) for name, text in await store.rows(queries.drivers())}


async def _open(
    names: Iterable[str],
    options: Mapping[str, Mapping[str, Any]],
    store: Store,
    opened: dict[str, Driver],
    own: Mapping[str, Driver],
    stack: AsyncExitStack,
) -> None:
    for name in sorted(names):
        if name in own:
            opened[name] = own[name]
        elif name not in opened:
            opened[name] = await plugins.driver(name, options.get(name, {}), home_of(store))
            stack.push_async_callback(opened[name].close)


def home_of(store: Store) -> Home:
    """Drivers keep their files beside a SQLite database, or in the working directory."""
    database = store.engine.url.database or "interlock"
    if store.dialect == "sqlite":
        path = Path(database)
        return Home(path.parent, path.stem)
    return Home(Path.cwd(), database)
