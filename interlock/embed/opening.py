"""Opens the drivers that the cloud's hosts and pools name, and tells each which of them are its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from interlock.drivers.protocol import Driver, Home
from interlock.engine.orchestrator import plugins
from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.cloud import Host, StoragePool


async def open_drivers(
    store: Store, opened: dict[str, Driver], own: Mapping[str, Driver], stack: AsyncExitStack
) -> None:
    """Fill `opened`; those not in `own` are closed when `stack` is.

    Raises:
        PluginError: a driver is not installed or does not open.
    """
    places = await store.places()
    hosts = [place for place in places["host"] if isinstance(place, Host)]
    pools = [place for place in places["storage_pool"] if isinstance(place, StoragePool)]
    options = {name: msgspec.json.decode(text) for name, text in await store.rows(queries.drivers())}
    for name in sorted({*(host.driver for host in hosts), *(pool.driver for pool in pools)}):
        if name not in opened:
            if name in own:
                opened[name] = own[name]
            else:
                opened[name] = await plugins.driver(name, options.get(name, {}), home_of(store))
                stack.push_async_callback(opened[name].close)
        await opened[name].attach(
            [host for host in hosts if host.driver == name], [pool for pool in pools if pool.driver == name]
        )


def home_of(store: Store) -> Home:
    """Drivers keep their files beside a SQLite database, or in the working directory."""
    database = store.engine.url.database or "interlock"
    if store.dialect == "sqlite":
        path = Path(database)
        return Home(path.parent, path.stem)
    return Home(Path.cwd(), database)
