"""The engine as embedders use it.

Promises: no global state, several engines in one process do not know of each other; after `async with` no task,
thread or connection is left, and what was under way goes on when the database is opened again. Every method may be
called concurrently on the event loop that opened the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.drivers.protocol import Driver
from interlock.embed.checkup import Finding, checkup
from interlock.embed.cloud import CloudDescription
from interlock.embed.description.words import Value
from interlock.embed.disks import Disks
from interlock.embed.handle import Handle
from interlock.embed.joined import submit_joined
from interlock.embed.lifecycle import Lifecycle
from interlock.embed.lists import Lists
from interlock.embed.loading import write_described
from interlock.embed.opening import open_described, open_drivers
from interlock.embed.rules import write_rules
from interlock.embed.settings import SettingState, put_setting, remove_setting, states
from interlock.embed.strays import Stray, strays
from interlock.embed.told import Told
from interlock.engine.core.events import Way
from interlock.engine.core.snapshot import Policy, Rules
from interlock.engine.observer import Observer, Observers
from interlock.engine.orchestrator import log, plugins
from interlock.engine.orchestrator.clock import is_id
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.orchestrator import Orchestrator, Part
from interlock.engine.orchestrator.view import View
from interlock.engine.store import queries
from interlock.engine.store.commit import Counters
from interlock.engine.store.conflicts import Conflicts
from interlock.engine.store.joined import transaction
from interlock.engine.store.listening import Word
from interlock.engine.store.opening import normal
from interlock.engine.store.store import Store
from interlock.planners.protocol import HostPlanner, NetworkGuru
from interlock.schema.cloud import FirewallRule, Host, Place, SecurityGroup
from interlock.schema.commands import Capability
from interlock.schema.errors import InterlockError, InvalidRequest, NotFound
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.schema.requests import (
    KIND_OF,
    Request,
    subject_of,
)
from interlock.schema.words import clean


class Engine(Disks, Lifecycle, Lists, Told):
    """An open engine. Use `async with Engine.open(url) as engine`."""

    def __init__(
        self, store: Store, orchestrator: Orchestrator, actor: str, able: dict[str, frozenset[Capability]]
    ) -> None:
        self._store = store
        self._orchestrator = orchestrator
        self._actor = actor
        self._listeners: set[asyncio.Event] = set()
        self._closed = False
        self._changing = asyncio.Lock()
        """Held while the cloud or a setting is changed: what is in memory is what was read after the last write."""
        self._able = able
        """What the drivers can, as the core's rules see it; kept by `_open_drivers`."""
        store.on_written = self._tell
        store.on_heard = self._heard
        orchestrator.commits.on_cloud = self._others_changed

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        create: bool = True,
        recover: bool = True,
        drives: bool = True,
        serves: bool = False,
        in_flight: int | None = None,
        listen: bool = True,
        cloud: CloudDescription | None = None,
        policy: Policy | None = None,
        planners: Mapping[str, HostPlanner] | None = None,
        gurus: Mapping[str, NetworkGuru] | None = None,
        drivers: Mapping[str, Driver] | None = None,
        actor: str = "embedder",
        observers: Sequence[Observer] = (),
    ) -> AsyncIterator[Engine]:
        """Open an engine on a database, and take over what no living engine drives.

        Args:
            url: a SQLAlchemy URL of SQLite or PostgreSQL, or the path of a SQLite file.
            create: whether a database that is not there is made.
            recover: whether abandoned operations are taken over; tools that only look say no.
            drives: whether what is asked of it is driven by this engine; if not, it waits for one that serves, and
                nothing is taken over either.
            serves: whether this engine also drives what others only asked for, as many as it has room for
                (`interlock worker`); on PostgreSQL only.
            in_flight: operations that it drives at once; the others wait. None: 512.
            listen: whether what drivers report is followed, beginning with all that hosts have now; if not, only on
                demand (`follow`, `reconcile`). Without `recover`, never.
            cloud: is written first, as `load` would; it may correct one whose drivers do not open.
            policy: the knobs of the core.
            planners, gurus, drivers: own ones by name, beside those installed as entry points. Drivers handed in
                here are not closed with the engine.
            actor: who asks, for the journal.
            observers: who is told of what happens, such as metrics and traces (`interlock.telemetry`); each of one
                engine at a time.

        Raises:
            StoreError: the database cannot be opened.
            PluginError: a plug-in that the cloud names is missing or does not open.
            InvalidRequest: it is to serve, and cannot.
        """
        part = _part(drives, serves, url)
        recover &= drives
        store = await Store.open(url, create=create)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            store.observer = Observers(observers) if observers else None
            able: dict[str, frozenset[Capability]] = {}
            rules = Rules(
                policy=policy or Policy(),
                planners=plugins.planners(planners or {}),
                gurus=plugins.gurus(gurus or {}),
                capabilities=able,
            )
            opened: dict[str, Driver] = {}
            own = plugins.drivers(drivers or {})
            if cloud is not None:
                await open_described(cloud, store, opened, own, stack)
                await write_described(cloud, store, actor)
            orchestrator = Orchestrator(store, Inventory(await store.places()), rules, opened, part, in_flight)
            engine = cls(store, orchestrator, actor, able)
            stack.push_async_callback(engine._close)
            # Drivers that are opened later, by `load`, too are closed after the orchestrator.
            await engine._attach(opened, own, await stack.enter_async_context(AsyncExitStack()))
            await orchestrator.commits.reload()
            if store.observer is not None:
                stack.callback(store.observer.closed)
                store.observer.opened(View(orchestrator))
            # Closing in the order: no new work, effects answered and committed, drivers, then the store.
            stack.push_async_callback(orchestrator.close)
            if recover:
                await store.listen(serves=serves)
                await orchestrator.drives.recovery.look()
                orchestrator.convergence.look()
                orchestrator.reconciliation.begin(listen=listen)
                await orchestrator.expiry.begin()
                orchestrator.archival.begin()
            if serves:
                orchestrator.drives.intake.heard()
            yield engine

    async def _attach(self, opened: dict[str, Driver], own: Mapping[str, Driver], stack: AsyncExitStack) -> None:
        self._own, self._opened, self._stack = own, opened, stack
        await self._open_drivers()

    async def _open_drivers(self) -> None:
        inventory = self._orchestrator.commits.inventory
        await open_drivers(inventory, self._store, self._opened, self._own, self._stack)
        # What the core knows of drivers is what they can: asked once they know their hosts.
        self._able.update({name: driver.capabilities for name, driver in self._opened.items()})

    async def _close(self) -> None:
        self._closed = True
        self._tell()

    # --- what other engines do

    def _heard(self, word: Word) -> None:
        if word.wrote:
            self._tell()
        self._orchestrator.heard(word)

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

    # --- asking for operations

    async def reconcile(self, host: str | None = None) -> list[Handle]:
        """Compare all that hosts have, or one host, with all that is recorded there, as if nothing were known.

        Returns:
            What was asked for because something differs: `follow` of VMs, `evict` of strangers.

        Raises:
            NotFound: there is no such host.
            EngineClosed: the engine is closed, or was opened to look only.
        """
        self._orchestrator.check_open()
        known = self._orchestrator.commits.inventory.ids(Host)
        if host is not None and host not in known:
            raise NotFound(f"there is no host {host!r}; `interlock hosts` lists them")
        asked = await self._orchestrator.reconciliation.reconcile(host)
        return [Handle(each.operation, each.operation.actor, self._orchestrator) for each in asked]

    async def strays(self) -> list[Stray]:
        """Guests that should not be where they are, by host, as the hosts have them now: of no VM here, or of one that
        is recorded elsewhere or as not running. VMs that an operation is just moving are left out."""
        return await strays(self._opened, self._store)

    async def submit(
        self,
        request: Request,
        *,
        connection: AsyncConnection | None = None,
        actor: str | None = None,
        caller: str | None = None,
    ) -> Handle:
        """Ask for any operation; returns when the request is durable.

        Args:
            connection: the caller's own SQLAlchemy connection to the same database, in a transaction: the request's
                rows commit or roll back with it, and the operation begins after the commit. A VM that the request
                names must have been committed before.
            actor: who asks, for the journal; the engine's by default.
            caller: the account on whose rights it is asked; None: the operator's, who may do everything.

        Raises:
            InvalidRequest: it is refused; nothing was written.
            StoreError: it cannot be written now; nothing was.
        """
        self._orchestrator.check_open()
        if type(request) in KIND_OF:
            request = await self._by_id(request)
        actor = clean(actor or self._actor)
        if connection is None:
            decision = await self._orchestrator.submit(request, actor, caller)
        else:
            decision = await submit_joined(self._orchestrator, request, actor, caller, connection)
        operation = decision.operation
        return Handle(operation, operation.actor, self._orchestrator)

    async def _by_id(self, request: Request) -> Request:
        """The request with the ids of what it names. What is an id already is looked for with all the rest."""
        vm, disk = subject_of(request)
        ids = {"vm": (await self.vm(vm)).id} if vm is not None and not is_id(vm) else {}
        if disk is not None and not is_id(disk):
            ids["volume"] = (await self.disk(disk)).id
        return msgspec.structs.replace(request, **ids) if ids else request

    async def resolve(self, operation_id: str, way: Way, reason: str, *, actor: str | None = None) -> Handle:
        """Take a way out of Stuck: retry what it was doing, undo it, or vouch that the world is as if undone."""
        await self._orchestrator.resolve(operation_id, way, actor or self._actor, reason)
        return await self.handle(operation_id)

    async def handle(self, operation_id: str) -> Handle:
        """A handle on an operation that was asked for before."""
        operation = await self._store.operation(operation_id)
        return Handle(operation, self._actor, self._orchestrator)

    async def handles(self) -> list[Handle]:
        """Handles on all operations under way in this engine, also those it took over."""
        return [await self.handle(each) for each in self._orchestrator.driven]

    async def idle(self) -> None:
        """Wait until nothing is under way in this engine."""
        await self._orchestrator.idle()

    @property
    def worker_id(self) -> str:
        """What this engine is called in the table `worker`, and in the operations that it drives."""
        return self._orchestrator.worker_id

    def under_way(self) -> int:
        """How many operations this engine drives or will drive."""
        return self._orchestrator.under_way

    # --- looking

    async def vm(self, name_or_id: str) -> Vm:
        """One VM. Of several with one name, the living one.

        Raises:
            NotFound: there is none.
            InvalidRequest: several live under that name, in different accounts.
        """
        found = await self._store.vms(queries.vms_named(name_or_id))
        if not found:
            raise NotFound(f"there is no VM {name_or_id!r}; `interlock ps --all` lists them")
        if found[0].id == name_or_id:
            return found[0]
        living = [vm for vm in found if vm.state not in ("Expunged", "Expunging", "Error")]
        if len(living) > 1:
            raise InvalidRequest(f"several VMs are named {name_or_id}; say which: {', '.join(vm.id for vm in living)}")
        return found[0]

    async def nics(self, vm_id: str) -> list[Nic]:
        """All NICs that a VM has or had."""
        return await self._store.nics(vm_id)

    async def volumes(self, vm_id: str) -> list[Volume]:
        """All volumes that a VM has or had."""
        return await self._store.volumes(vm_id)

    async def operations(self, vm_id: str) -> list[Operation]:
        """All operations on a VM, oldest first."""
        return await self._store.operations(queries.belonging("operation", vm_id))

    async def places(self) -> dict[str, list[Place]]:
        """Zones, hosts, pools, networks, offerings, … by kind, with what is held of them."""
        return await self._store.places()

    async def check(self) -> list[Finding]:
        """Look for what should not be: counters off, VMs nobody drives, operations that wait for a person."""
        return await checkup(self._store)

    @property
    def conflicts(self) -> Conflicts:
        """Transactions that PostgreSQL gave up because of others, and that were asked again."""
        return self._store.conflicts

    @property
    def counters(self) -> Counters:
        """What the commit path of this engine has cost so far."""
        return self._store.counters

    # --- the cloud

    async def load(self, cloud: CloudDescription) -> None:
        """Write a cloud description into the database: new places are added, known ones changed, none removed.

        Raises:
            InvalidRequest: a place would move to another zone, or shrink below what is held of it; nothing was written.
            PluginError: a driver that it names first is missing or does not open; nothing was written.
        """
        async with self._changing:
            await open_described(cloud, self._store, self._opened, self._own, self._stack)
            await write_described(cloud, self._store, self._actor)
            await self._read_cloud()

    async def _read_cloud(self) -> None:
        """What is in memory is what is in the database."""
        self._orchestrator.commits.inventory.load(await self._store.places())
        await self._orchestrator.commits.reload()
        await self._open_drivers()
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

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction on the engine's database for own rows beside a request's (`deploy(…, connection=…)`).

        Raises:
            StoreError: it cannot be begun; or the connection broke while it was being committed, and perhaps it was.
        """
        async with transaction(self._store.engine) as connection:
            yield connection


def _part(drives: bool, serves: bool, url: str) -> Part:
    if serves and not drives:
        raise InvalidRequest("an engine that serves drives; open it with drives=True, or with serves=False")
    if serves and normal(url).get_backend_name() != "postgresql":
        raise InvalidRequest("on SQLite no process hears what another asks for; workers need PostgreSQL")
    return Part.SERVES if serves else Part.ALL_OF_ITS_OWN if drives else Part.ASKS
