"""Decide and write, as often as it takes: where the pure core meets the store and the figures in memory.

Promises: a decision is counted in the inventory from the moment it is made until it is refused. A lost race is
decided again; a refusal for want of room is only final when made on figures that nobody else has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select

from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision, End, joined
from interlock.engine.core.events import Claimed, Event, Requested
from interlock.engine.core.snapshot import Rules, Snapshot
from interlock.engine.observer import Observers
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.books import AddressesNeeded
from interlock.engine.orchestrator.clock import chance, now
from interlock.engine.orchestrator.inventory import GroupsNeeded, Inventory
from interlock.engine.orchestrator.recording import UNREAD, Recording
from interlock.engine.store import queries
from interlock.engine.store.cases import Case
from interlock.engine.store.feed import News
from interlock.engine.store.store import Store
from interlock.engine.store.verdict import Committed, Lost, Verdict, Why
from interlock.schema.cloud import PLACES
from interlock.schema.errors import (
    Busy,
    Conflict,
    EngineClosed,
    InterlockError,
    InvalidRequest,
    NameTaken,
    NoRoom,
    StoreError,
)
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import Operation
from interlock.schema.settings import NAME_SCOPE

RACES = 100
"""Races one decision may lose. Too low: heavy contention fails healthy work; too high: a defect spins unnoticed."""
ADDRESS_TAKEN = ("nic_ip_once", "nic.ip_address")
"""Words of either database when somebody else was given an address first."""
RUSHED = 5
"""Races that are lost for want of room before figures are read as a whole instead of followed; after that many, a
refusal is final though others have written since it was decided. Too low: many hosts are read for an ordinary race; too
high: where others write all the time, what has no room is told so late."""
STORE_WAIT_FIRST, STORE_WAIT_MOST = 0.2, 10.0
"""Seconds between tries while the store cannot write. Too low: a full disk is hammered; too high: slow to go on."""

T = TypeVar("T")
Rows = Sequence[Sequence[Any]]


class Overtaken(InterlockError):
    """Another worker drives this operation now."""

    code = "overtaken"


class Accepted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request that is durable, and what was written with it of the operation's way, if it had a head start."""

    decision: Decision
    then: Decision | None = None
    fence: int = 0
    """The number of the first journal row of `then`."""


class Commits:
    """One per engine."""

    def __init__(self, store: Store, inventory: Inventory, rules: Rules, closing: Callable[[], bool]) -> None:
        self.inventory = inventory
        self.rules = rules
        self._store = store
        self._closing = closing
        self._recording = Recording(rules)
        self._reading = asyncio.Lock()
        self.on_reload: Callable[[], None] = lambda: None
        """Called when figures were read again: others may have written."""
        self.on_cloud: Callable[[frozenset[str]], None] = lambda tables: None
        """Told which tables of places others have written, and settings."""

    @property
    def observer(self) -> Observers | None:
        """Who is told of what happens; None: nobody."""
        return self._store.observer

    async def request(
        self, snapshot: Case | None, event: Callable[[int], Requested], claim: Callable[[int], Claimed] | None = None
    ) -> Accepted:
        """Admit a request.

        Args:
            claim: the event by which its operation begins, if it may have a head start: its first step is announced in
                the commit of the request, if that can be done at once (docs/decisions/0026).

        Raises:
            InvalidRequest: it is refused.
            StoreError: it cannot be written now; nothing was.
        """
        for race in range(RACES):
            decision = await self._admit(snapshot, event)
            self.inventory.hold(decision)
            then = self._onward(decision, claim)
            both = decision if then is None else joined(decision, then)
            verdict = await self._written(
                (decision,) if then is None else (decision, then), partial(self._store.commit, both)
            )
            if isinstance(verdict, Committed):
                return Accepted(decision=decision, then=then, fence=verdict.first_seq + len(decision.changes))
            if then is not None:
                claim = None  # which of the two was refused is not said: now the request alone
                continue
            await self.explain(decision, verdict)
            if verdict.why is Why.ROOM:
                await self._after_no_room(race, verdict)
            if snapshot is not None:
                snapshot = await self._store.subject(*_subject(decision.operation))
        raise Conflict(f"the request lost {RACES} races in a row; the database is too busy, try again")

    async def admit_joined(
        self, case: Case | None, event: Callable[[int], Requested], read: Callable[[Select[Any]], Awaitable[Rows]]
    ) -> Decision:
        """Decide a request for somebody who holds the database's write lock, and reads on that connection.

        Our own writer waits for that lock, so nothing here may wait for the writer.
        """
        while True:
            try:
                return decide(self._snapshot(case), event(now()), self.rules)
            except AddressesNeeded as needed:
                rows = await read(queries.addresses_of(needed.network_id))
                self.inventory.open_book(needed.network_id, owned(rows))

    async def _admit(self, case: Case | None, event: Callable[[int], Requested]) -> Decision:
        try:
            return await self._decide(case, event)
        except NoRoom:
            # Final only on figures that nobody else has changed since they were read.
            await self.catch_up()
            return await self._decide(case, event)

    async def explain(self, decision: Decision, lost: Lost) -> None:
        """Raise what the requester must hear; return if asking again can help."""
        if lost.why is Why.NAME:
            raise NameTaken(
                f"a VM named {_vm_name(decision)} lives already where host names must be distinct (setting "
                f"{NAME_SCOPE.name}); choose another name, or expunge that one"
            )
        if lost.why is Why.MAC:
            macs = ", ".join(nic.mac_address for nic in decision.nics if nic.mac_address)
            raise InvalidRequest(f"another NIC has a MAC address of these already: {macs}; choose another, or none")
        if lost.why is Why.BUSY:
            await self.busy(decision.operation.vm_id, decision.operation.volume_id)
        if lost.why is Why.DEFECT:
            raise StoreError(f"the database refused the request: {lost.message}")

    async def busy(self, vm_id: str | None, volume_id: str | None) -> None:
        """Say which operation owns the VM or the volume, if one does.

        Raises:
            Busy: one does.
        """
        for active in await self._store.owners(vm_id, volume_id):
            what = f"VM {vm_id}" if vm_id and active.vm_id == vm_id else f"disk {volume_id}"
            hint = "resolve it first" if active.state == "Stuck" else "wait for it, or cancel it"
            raise Busy(f"{what} is busy: operation {active.id} ({active.kind}) is {active.state}; {hint}")

    async def write(
        self, case: Case, event: Callable[[int], Event], worker_id: str | None, *, on_fresh: bool = True
    ) -> tuple[Case, Decision, int]:
        """Decide and commit an event of an operation under way; returns the case after it and the journal number.

        Args:
            worker_id: who must be driving it; None when it is only being claimed.
            on_fresh: whether to count first what others have written: where nothing is chosen it costs a round trip for
                nothing. The database decides either way, and what loses is decided again on fresh figures.

        Raises:
            Overtaken: somebody else drives it.
            EngineClosed: the store could not write until the engine closed.
        """
        for race in range(RACES):
            decision = await self.patiently(partial(self._decide, case, event, on_fresh or race > 0))
            if race > RUSHED:
                decision = msgspec.structs.replace(decision, if_fresh=False)
            commit = partial(self._store.commit, decision)
            verdict = await self._held(decision, partial(self.patiently, commit))
            if isinstance(verdict, Committed):
                return after(decision), decision, verdict.first_seq
            if verdict.why is Why.DEFECT:
                raise RuntimeError(f"the database refuses what was decided: {verdict.message}")
            if verdict.why is Why.ROOM:
                await self.patiently(partial(self._after_no_room, race, verdict))
            case = await self.patiently(partial(self._again, case, decision, worker_id))
            if case.operation is not None and case.operation.hash == decision.operation.hash:
                if self.observer is not None:
                    self.observer.written(decision)
                return after(decision), decision, await self.patiently(self._head)
        raise RuntimeError(f"lost {RACES} races in a row")

    async def _held(self, decision: Decision, commit: Callable[[], Awaitable[Verdict]]) -> Verdict:
        """Commit a decision that is counted in the inventory from now until it is refused, and log what it changed."""
        self.inventory.hold(decision)
        return await self._written((decision,), commit)

    async def _written(self, decisions: Sequence[Decision], commit: Callable[[], Awaitable[Verdict]]) -> Verdict:
        """The same for decisions that are counted already, and are written as one."""
        try:
            verdict = await commit()
        except BaseException:
            self._drop(decisions)
            raise
        if isinstance(verdict, Lost):
            self._drop(decisions)
            return verdict
        first_seq = verdict.first_seq
        for decision in decisions:
            self.inventory.settle(decision)
            self._recording.written(decision)
            log.transitions(decision, first_seq)
            first_seq += len(decision.changes)
        return verdict

    def _drop(self, decisions: Sequence[Decision]) -> None:
        for decision in reversed(decisions):
            self.inventory.drop(decision)

    def _onward(self, decision: Decision, claim: Callable[[int], Claimed] | None) -> Decision | None:
        """The operation's first step, decided on a request that is counted and not written; it is counted, too.

        None where anything is in the way: whoever drives the operation decides it then, and knows how to go on.
        """
        if claim is None or not makes_its_subject(decision):
            return None
        try:
            then = decide(self._snapshot(after(decision)), claim(now()), self.rules)
        except Exception:
            return None
        if then.if_fresh or not (then.effects or then.outcome is End.SUCCEEDED):
            return None
        self.inventory.hold(then)
        return then

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something with the store; while the store cannot, wait and try again.

        Raises:
            EngineClosed: it could not until the engine closed.
        """
        wait = STORE_WAIT_FIRST
        while True:
            try:
                return await work()
            except StoreError as error:
                log.say("error", "the store cannot go on; trying again", error=str(error), seconds=wait)
                if self._closing():
                    raise EngineClosed("the engine closed while the store could not go on") from error
            await asyncio.sleep(wait)
            wait = min(wait * 2, STORE_WAIT_MOST)

    async def _again(self, case: Case, lost: Decision, worker_id: str | None) -> Case:
        fresh = await self._store.case(lost.operation.id)
        operation = fresh.operation
        assert operation is not None
        over = MACHINES["operation"].states[operation.state].stability is Stability.TERMINAL
        if operation.hash == lost.operation.hash:
            return fresh  # the connection broke after our own commit
        moved = case.operation is None or operation.version != case.operation.version
        taken = operation.worker_id != worker_id if worker_id else moved
        if over or taken:
            raise Overtaken(f"operation {operation.id} is driven by another worker")
        return fresh

    async def _head(self) -> int:
        rows = await self._store.rows(queries.journal_head())
        return int(rows[0][0])

    async def _decide(self, case: Case | None, event: Callable[[int], Event], on_fresh: bool = True) -> Decision:
        if on_fresh and self._store.overtaken:
            await self._catch_up()
        read = False
        while True:
            try:
                return decide(self._snapshot(case), event(now()), self.rules)
            except AddressesNeeded as needed:
                await self._read_addresses(needed.network_id)
            except GroupsNeeded as needed:
                if read:
                    raise RuntimeError(f"security groups that VMs are in are gone: {needed}") from needed
                read = True
                self.inventory.put(await self._store.groups(queries.groups(needed.group_ids)))

    def _snapshot(self, case: Case | None) -> Snapshot:
        sight = self._recording.sight(self.inventory.moment)
        if self.inventory.books.aside:
            # Addresses are not looked for where whoever decides this again will look.
            sight = msgspec.structs.replace(sight, since=UNREAD)
        if case is None:
            return Snapshot(cloud=self.inventory, sight=sight)
        return Snapshot(
            cloud=self.inventory,
            sight=sight,
            operation=case.operation,
            vm=case.vm,
            nics=case.nics,
            volumes=case.volumes,
        )

    async def _read_addresses(self, network_id: str) -> None:
        async with self._reading:
            try:
                self.inventory.addresses(network_id)
            except AddressesNeeded:
                await self._store.read_between(
                    lambda rows: self.inventory.open_book(network_id, owned(rows)),
                    queries.addresses_of(network_id),
                )

    async def _after_no_room(self, race: int, lost: Lost) -> None:
        """Somebody else was faster: know what they took. If that explains it time and again, figures may be wrong."""
        if not self.inventory.books.aside and any(words in lost.message for words in ADDRESS_TAKEN):
            self.inventory.books.step_aside(chance())
        await (self.catch_up() if race < RUSHED else self.reload())

    async def reload(self) -> None:
        """Read again, as a whole, what is held of hosts and pools, and the security groups that others have changed."""
        async with self._reading:
            await self._reload()
        self.on_reload()

    async def catch_up(self) -> None:
        """Count what others have written, whether or not they are known to have."""
        async with self._reading:
            await self._follow()
        self.on_reload()

    async def _catch_up(self) -> None:
        """Count what others have written: of all decisions that wait for it, one does."""
        async with self._reading:
            if not self._store.overtaken:
                return
            await self._follow()
        self.on_reload()

    async def _follow(self) -> None:
        heard: list[News] = []

        def count(news: News) -> None:
            self.inventory.follow(news)
            heard.append(news)

        if not await self._store.follow(count):
            await self._reload()
            self.on_cloud(frozenset(PLACES))
        elif tables := heard[0].cloud:
            await self._read_groups()
            self.on_cloud(tables)

    async def _reload(self) -> None:
        await self._store.refresh(
            self.inventory.reload, queries.usage(), queries.vms_on_hosts(), queries.journal_head()
        )
        await self._read_groups()

    async def _read_groups(self) -> None:
        self.inventory.put(await self._store.groups(queries.groups_above(self.inventory.newest)))


def _vm_name(decision: Decision) -> str:
    return decision.vm.name if decision.vm is not None else ""


def _subject(operation: Operation) -> tuple[str | None, str | None]:
    return operation.vm_id, operation.volume_id


def owned(rows: Rows) -> Iterable[str]:
    """The addresses in rows of `queries.addresses_of`."""
    return (address for row in rows for address in row if address is not None)


def makes_its_subject(decision: Decision) -> bool:
    """Whether a request makes the VM or the volume that it is about: nobody else can have changed that since."""
    return any(change.before is None and change.machine in ("vm", "volume") for change in decision.changes)


_GONE = {name: frozenset(MACHINES[name].names(Stability.TERMINAL)) for name in ("nic", "volume")}


def after(decision: Decision) -> Case:
    """The case as the decision leaves it."""
    return Case(
        operation=decision.operation,
        vm=decision.vm,
        nics=tuple(nic for nic in decision.nics if nic.state not in _GONE["nic"]),
        volumes=tuple(volume for volume in decision.volumes if volume.state not in _GONE["volume"]),
    )
