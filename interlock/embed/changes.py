"""What embedders change of the cloud: the part of `Engine` that loads descriptions, sets settings and rules of groups,
and takes note of what other engines change.

Promises: what `Engine` promises. What is changed here counts in this engine from the moment the method returns.

Races considered. Two change the cloud at once, or another engine does meanwhile: all that changes what is in memory
holds one lock, so what is there is what was read after the last write. Rules of a group have their own transaction, and
a version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from interlock.embed.cloud import CloudDescription
from interlock.embed.description.words import Value
from interlock.embed.drivers import Drivers
from interlock.embed.loading import write_described
from interlock.embed.rules import write_rules
from interlock.embed.settings import SettingState, put_setting, remove_setting, states
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.orchestrator import Orchestrator
from interlock.engine.store.store import Store
from interlock.schema.cloud import FirewallRule, SecurityGroup
from interlock.schema.errors import InterlockError


class Changes:
    """Mixed into `Engine`, which says when others have changed something."""

    _store: Store
    _orchestrator: Orchestrator
    _drivers: Drivers
    _actor: str
    _changing: asyncio.Lock
    """Held while the cloud or a setting is changed: what is in memory is what was read after the last write."""

    async def load(self, cloud: CloudDescription) -> None:
        """Write a cloud description into the database: new places are added, known ones changed, none removed.

        Raises:
            InvalidRequest: a place would move to another zone, or shrink below what is held of it; nothing was written.
            PluginError: a driver that it names first is missing or does not open; nothing was written.
        """
        async with self._changing:
            await self._drivers.open_described(cloud)
            await write_described(cloud, self._store, self._actor)
            await self._read_cloud()

    async def _read_cloud(self) -> None:
        """What is in memory is what is in the database."""
        inventory = self._orchestrator.commits.inventory
        inventory.load(await self._store.places())
        await self._orchestrator.commits.reload()
        await self._drivers.open(inventory)
        self._orchestrator.convergence.look()
        self._orchestrator.reconciliation.drivers_changed()
        await self._orchestrator.expiry.look()

    async def settings(self) -> list[SettingState]:
        """All settings: default, bounds, meaning, and the values that were set, each with its scope and place."""
        return states(await self._store.settings())

    async def set_setting(self, name: str, value: Value, *, scope: str = "global", place: str | None = None) -> None:
        """Set a setting for everywhere, or for one place of its scopes; it counts when this returns.

        Args:
            scope: global, zone, cluster, storage_pool or account.
            place: the name of that zone, cluster, …

        Raises:
            InvalidRequest: there is no such setting or place, or it may not have that value or scope.
        """
        async with self._changing:
            await put_setting(self._store, name, value, scope, place, self._actor)
            await self._settings_changed()

    async def unset_setting(self, name: str, *, scope: str = "global", place: str | None = None) -> None:
        """Take back a value that was set: a wider one, or the default, is in force again.

        Raises:
            InvalidRequest: there is no such setting, or it is not set there.
        """
        async with self._changing:
            await remove_setting(self._store, name, scope, place, self._actor)
            await self._settings_changed()

    async def _settings_changed(self) -> None:
        self._orchestrator.commits.inventory.set_values(await self._store.settings())
        self._orchestrator.reconciliation.settings_changed()
        self._orchestrator.archival.look()
        await self._orchestrator.expiry.look()

    async def set_rules(
        self,
        group: str,
        *,
        ingress: Sequence[FirewallRule] | None = None,
        egress: Sequence[FirewallRule] | None = None,
        caller: str | None = None,
    ) -> SecurityGroup:
        """Give a security group other rules; returns when they are durable. The hosts of its VMs are told from then on,
        each VM by an operation `secure` of the actor `interlock`; `idle` waits for those that can be told now.

        Args:
            group: its id, ACCOUNT/NAME.
            ingress, egress: all that may come in, or go out; None: as it is.
            caller: the account on whose rights it is asked; None: the operator's.

        Raises:
            InvalidRequest: a rule is none, or there is no such group; nothing was written.
        """
        self._orchestrator.check_open()
        inventory = self._orchestrator.commits.inventory
        changed = await write_rules(self._store, inventory, group, ingress, egress, caller, self._actor)
        inventory.put([changed])
        self._orchestrator.convergence.look(changed.version - 1)
        return changed

    # --- what other engines change

    def _others_changed(self, tables: frozenset[str]) -> None:
        self._orchestrator.aside(partial(self._take_note, tables), "interlock cloud")

    async def _take_note(self, tables: frozenset[str]) -> None:
        """Have in memory what others have written of places and settings. Groups are known as soon as they are heard
        of, and whoever changed them has their VMs told."""
        try:
            async with self._changing:
                if tables - {"setting", "security_group"}:
                    await self._read_cloud()
                elif "setting" in tables:
                    await self._settings_changed()
        except InterlockError as error:
            log.say(
                "error", "what others changed of the cloud cannot be read; it is when next they do", error=str(error)
            )
