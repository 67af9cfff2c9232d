"""The engine as embedders use it.

Promises: no global state, several engines in one process do not know of each other; after `async with` no task,
thread or connection is left, and what was under way goes on when the database is opened again. Every method may be
called concurrently on the event loop that opened the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.drivers.protocol import Driver
from interlock.embed.changes import Changes
from interlock.embed.checkup import Finding, checkup
from interlock.embed.cloud import CloudDescription
from interlock.embed.disks import Disks
from interlock.embed.drivers import Drivers
from interlock.embed.handle import Handle
from interlock.embed.joined import submit_joined
from interlock.embed.lifecycle import Lifecycle
from interlock.embed.lists import Lists
from interlock.embed.loading import write_described
from interlock.embed.opening import opened_store, part_of, rules_of, take_over
from interlock.embed.strays import Stray, strays
from interlock.embed.told import Told
from interlock.engine.core.events import Way
from interlock.engine.core.snapshot import Policy
from interlock.engine.observer import Observer
from interlock.engine.orchestrator.clock import is_id
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.orchestrator import Orchestrator
from interlock.engine.orchestrator.view import View
from interlock.engine.store import queries
from interlock.engine.store.commit import Counters
from interlock.engine.store.conflicts import Conflicts
from interlock.engine.store.joined import transaction
from interlock.engine.store.listening import Word
from interlock.engine.store.store import Store
from interlock.planners.protocol import HostPlanner, NetworkGuru
from interlock.schema.cloud import Host, Place
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.schema.requests import (
    KIND_OF,
    Request,
    subject_of,
)
from interlock.schema.words import clean


class Engine(Changes, Disks, Lifecycle, Lists, Told):
    """An open engine. Use `async with Engine.open(url) as engine`."""

    def __init__(self, store: Store, orchestrator: Orchestrator, drivers: Drivers, actor: str) -> None:
        self._store = store
        self._orchestrator = orchestrator
        self._drivers = drivers
        self._actor = actor
        self._listeners: set[asyncio.Event] = set()
        self._closed = False
        self._changing = asyncio.Lock()
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
        part = part_of(drives, serves, url)
        async with AsyncExitStack() as stack:
            store = await opened_store(url, create, observers, stack)
            known = Drivers(store, drivers or {}, stack)
            rules = rules_of(policy, planners, gurus, known.able)
            if cloud is not None:
                await known.open_described(cloud)
                await write_described(cloud, store, actor)
            orchestrator = Orchestrator(store, Inventory(await store.places()), rules, known.opened, part, in_flight)
            engine = cls(store, orchestrator, known, actor)
            await engine._begin(stack)
            if recover and drives:
                await take_over(orchestrator, listen=listen, serves=serves)
            if serves:
                orchestrator.drives.intake.heard()
            yield engine

    async def _begin(self, stack: AsyncExitStack) -> None:
        """Have in memory what decisions need. Closing goes the other way: no new work, effects answered and committed,
        then what was there before."""
        stack.push_async_callback(self._close)
        await self._drivers.open(self._orchestrator.commits.inventory)
        await self._orchestrator.commits.reload()
        if (observer := self._store.observer) is not None:
            stack.callback(observer.closed)
            observer.opened(View(self._orchestrator))
        stack.push_async_callback(self._orchestrator.close)

    async def _close(self) -> None:
        self._closed = True
        self._tell()

    # --- what other engines do

    def _heard(self, word: Word) -> None:
        if word.wrote:
            self._tell()
        self._orchestrator.heard(word)

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
        return await strays(self._drivers.opened, self._store)

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

    # --- beside own rows

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction on the engine's database for own rows beside a request's (`deploy(…, connection=…)`).

        Raises:
            StoreError: it cannot be begun; or the connection broke while it was being committed, and perhaps it was.
        """
        async with transaction(self._store.engine) as connection:
            yield connection
