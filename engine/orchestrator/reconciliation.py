"""Reconciliation: has the records say what is so, whoever changed it.

What drivers tell is a hint. It is compared with what was told before (in memory: hearsay.py), then, what is news, with
the records; a VM whose record differs is followed (an operation of the actor `interlock`, which asks the hosts under
its fence, and alone decides). A guest that is no VM is logged, listed, and evicted if the setting says so.

When it looks: at all that drivers tell, and at all hosts at once after opening and when drivers learn of hosts. A VM
that an operation owns is looked at when that has ended. Only while something is known to differ and cannot be settled
now does a timer run: a follow that failed, an operation of another engine, a host that does not answer (of whose VMs
one is followed each time; when its host answers, all are). Nothing told, nothing new: no SQL, no timer, no task.

Races considered. Old reports, repeated ones, and those in the wrong order cost a look at most. The old host of a VM
that somebody moved reports first: the follow does not find it there and searches. A report shows what our own
operation is just doing: it is kept until that has ended, and dropped if the record agrees then. Two engines hear the
same: one gets the VM, the other hears Busy, and looks again later. Closing ends all; the next engine that opens looks.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from interlock.drivers.protocol import Driver, Reporter
from interlock.engine.core.decision import Decision, End
from interlock.engine.core.operations.follow import conclusion_of
from interlock.engine.core.operations.strays import END
from interlock.engine.core.sightings import HOLDING, agrees
from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.hearsay import Hearsay
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.looks import Ask, Looks, Submit
from interlock.engine.orchestrator.strays import Strays
from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.cloud import Host
from interlock.schema.errors import EngineClosed, InterlockError
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import Operation, Vm
from interlock.schema.reports import GuestEvent, HostBack, HostLost, HostReport, Power, Report
from interlock.schema.requests import EvictGuest, FollowVM

BATCH = 500
"""VMs read together. Too low: many reads after an outage; too high: memory."""
HOSTS = 200
"""Hosts held against the records together. Too low: many reads when an engine opens; too high: memory, for all their
VMs are read."""
AGAIN_FIRST, AGAIN_MOST = 2.0, 600.0
"""Seconds until what could not be settled is tried again; doubles each time. Too low: a host that is away is hammered,
and the journal fills; too high: a VM stays Unknown though its host is back and did not say so."""

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
Sighting = dict[str, Power]
"""By host."""


class Reconciliation:
    """One per engine.

    Args:
        store: is asked what is recorded.
        inventory: hosts, who holds something of them, and settings.
        drivers: those that are open; read when it begins, and when told that there are more.
        submit: accepts a request and begins to drive it.
        spawn: runs work in a task that closing waits for.
        owned: the VMs whose operations are driven here, so that their ends will be told.
    """

    def __init__(
        self,
        store: Store,
        inventory: Inventory,
        drivers: Mapping[str, Driver],
        submit: Submit,
        spawn: Spawn,
        owned: Callable[[], frozenset[str]],
    ) -> None:
        self._store, self._inventory, self._drivers = store, inventory, drivers
        self._spawn, self._owned = spawn, owned
        self._on = self._listens = False
        self._listening: dict[str, Callable[[], None]] = {}
        self._hearsay = Hearsay()
        self._sighted: dict[str, Sighting] = {}
        """News that nobody has compared yet, by guest."""
        self._waiting: dict[str, Sighting] = {}
        """Of VMs that an operation owns."""
        self._looks = Looks(store, submit, owned, self._look_later)
        self._silent: dict[str, str] = {}
        """Hosts that do not answer, each with one of its VMs."""
        self._strays = Strays(inventory)
        self._surveys: set[asyncio.Future[Sequence[HostReport]]] = set()
        self._rounds: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._wait = AGAIN_FIRST

    @property
    def under_way(self) -> Sequence[asyncio.Task[None]]:
        """The rounds that have not yet asked for all they found."""
        return tuple(self._rounds)

    # --- beginning and end

    def begin(self, *, listen: bool) -> None:
        """Look on demand; to `listen`, also at everything now, and at what is told: from now on, until `close`."""
        self._on, self._listens = True, listen
        self.drivers_changed()

    def drivers_changed(self) -> None:
        """There are other drivers, or they have learned of other hosts."""
        if not (self._on and self._listens):
            return
        for name, driver in self._reporters().items():
            if name not in self._listening:
                self._listening[name] = driver.listen(self.hear)
        if self._listening:
            self._begin(self._survey(None))

    def settings_changed(self) -> None:
        """What becomes of strays may be another thing now."""
        for guest, host, power in self._strays:
            self._look_at(guest, host, power)

    def close(self) -> None:
        """Hear and begin nothing more."""
        self._on = False
        for stop in self._listening.values():
            stop()
        self._listening.clear()
        for survey in self._surveys:
            survey.cancel()
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _reporters(self) -> dict[str, Reporter]:
        return {name: each for name, each in self._drivers.items() if isinstance(each, Reporter)}

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        if not self._on:
            work.close()
            return None
        task = self._spawn(self._safely(work), "interlock reconciliation")
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)
        return task

    async def _safely(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except EngineClosed:
            pass
        except InterlockError as error:
            log.say("error", "what is recorded cannot be compared with the hosts; trying again", error=str(error))
            self._hearsay.forget(self._inventory.ids(Host))
            self._look_later()

    # --- hearing

    def hear(self, told: Report) -> None:
        """A driver has something to tell; returns at once."""
        if not self._on:
            return
        try:
            self._heard(told)
        except Exception:
            log.say("exception", "a driver has told what cannot be understood", told=repr(told))

    def _heard(self, told: Report) -> None:
        match told:
            case GuestEvent():
                if self._hearsay.event(told):
                    self._look_at(told.guest_id, told.host_id, told.power)
            case _ if self._hearsay.is_old(told):
                pass
            case HostReport():
                self._reported([told])
            case HostLost():
                self._hearsay.forget([told.host_id])
                self._begin(self._follow_all(told.host_id, "Running"))
            case HostBack():
                self._hearsay.forget([told.host_id])
                self._begin(self._follow_all(told.host_id, "Unknown"))

    def _reported(self, reports: Iterable[HostReport]) -> None:
        """What is news of hosts that are known; those that are not, or that have lost some guest since, are held
        against all that is recorded there."""
        strange = []
        for report in reports:
            is_known = self._hearsay.knows(report.host_id)
            news = self._hearsay.report(report)
            if self._inventory.tenants(report.host_id) and (news.some_gone or not is_known):
                strange.append(report)
            else:
                for guest, power in news.guests.items():
                    self._look_at(guest, report.host_id, power)
            if news.some_gone:
                self._look_at_strays(report)
        if strange:
            self._begin(self._hold_against_records(strange))

    def _look_at_strays(self, report: HostReport) -> None:
        """Who is not recorded there may be gone, or be where it belongs."""
        for guest in self._strays.on(report.host_id):
            self._look_at(guest, report.host_id, report.guests.get(guest, Power.ABSENT))

    def _look_at(self, guest: str, host: str, power: Power) -> None:
        self._sighted.setdefault(guest, {})[host] = power
        if self._looking is None or self._looking.done():
            self._looking = self._begin(self._compare())

    # --- looking

    async def _survey(self, only: str | None) -> None:
        """Compare all that hosts have with all that is recorded; a host that says nothing does not answer."""
        for name, driver in self._reporters().items():
            wanted = {host.id for host in self._inventory.all(Host) if host.driver == name and only in (None, host.id)}
            reports = await self._all_of(name, driver) if wanted else None
            if reports is None:
                continue
            there = [report for report in reports if report.host_id in wanted]
            for host in sorted(wanted - {report.host_id for report in there}):
                if self._inventory.tenants(host):
                    await self._follow_all(host, "Running")
            self._reported([report for report in there if not self._hearsay.is_old(report)])

    async def _all_of(self, name: str, driver: Reporter) -> Sequence[HostReport] | None:
        """What a driver's hosts have; None if it cannot say. Closing waits for no driver."""
        survey = asyncio.ensure_future(driver.survey())
        self._surveys.add(survey)
        try:
            await asyncio.wait([survey])
            return None if survey.cancelled() else survey.result()
        except InterlockError:
            raise
        except Exception as error:
            log.say("exception", "a driver cannot say what its hosts have: its bug", driver=name, error=str(error))
            return None
        finally:
            self._surveys.discard(survey)

    async def _hold_against_records(self, reports: Sequence[HostReport]) -> None:
        """Look at what is recorded on hosts and is not so there, and at what they have that is not recorded there."""
        for first in range(0, len(reports), HOSTS):
            await self._hold_some(reports[first : first + HOSTS])

    async def _hold_some(self, reports: Sequence[HostReport]) -> None:
        hosts, recorded = [report.host_id for report in reports], defaultdict[str, dict[str, str]](dict)
        for vm_id, state, host in await self._store.rows(queries.vms_holding(queries.padded(hosts))):
            recorded[host][vm_id] = state
        for report in reports:
            here = recorded[report.host_id]
            for guest in sorted(here.keys() | report.guests.keys()):
                power = report.guests.get(guest, Power.ABSENT)
                if guest not in here or not agrees(here[guest], report.host_id, report.host_id, power):
                    self._look_at(guest, report.host_id, power)

    async def _follow_all(self, host: str, state: str) -> None:
        """Look where the VMs are that a host holds in this state; those on their way, once they are there."""
        found: dict[str, list[str]] = {}
        for vm_id, now, _ in await self._store.rows(queries.vms_holding([host])):
            found.setdefault(now, []).append(vm_id)
        for vm_id in (vm_id for now, vm_ids in found.items() if now not in HOLDING for vm_id in vm_ids):
            self._waiting.setdefault(vm_id, {})[host] = Power.ABSENT
        if state != "Unknown" and "Unknown" in found:
            self._is_silent(host, found["Unknown"][0])
        await self._looks.ask([FollowVM(vm_id) for vm_id in found.get(state, ())])

    def _is_silent(self, host: str, vm_id: str) -> None:
        self._silent[host] = vm_id
        self._look_later()

    async def _compare(self) -> None:
        """Compare what was sighted with the records, until there is no more."""
        while self._sighted and self._on:
            owned = self._owned()
            batch = dict(list(self._sighted.items())[:BATCH])
            for guest in batch:
                del self._sighted[guest]
            for guest in owned & batch.keys():
                self._waiting.setdefault(guest, {}).update(batch.pop(guest))
            if batch:
                recorded = {vm.id: vm for vm in await self._store.vms(queries.vms_of(tuple(batch)))}
                asks = [self._what_to_ask(guest, seen, recorded.get(guest)) for guest, seen in batch.items()]
                await self._looks.ask([ask for found in asks for ask in found])

    def _what_to_ask(self, guest: str, seen: Sighting, vm: Vm | None) -> list[Ask]:
        if vm is None:
            return [ask for host, power in seen.items() for ask in self._strays.stranger(guest, host, power)]
        if MACHINES["vm"].states[vm.state].stability is Stability.TRANSITIONAL:
            self._waiting.setdefault(guest, {}).update(seen)
            if guest not in self._owned():
                self._look_later()
            return []
        differing = {host: power for host, power in seen.items() if not agrees(vm.state, vm.host_id, host, power)}
        self._strays.gone(guest, seen.keys() - differing.keys())
        elsewhere = (host for host, power in differing.items() if power.is_up and host != vm.host_id)
        return [FollowVM(guest, next(elsewhere, None))] if differing else []

    # --- trying again

    def _look_later(self) -> None:
        if self._on and self._later is None:
            self._later = asyncio.get_running_loop().call_later(self._wait, self._ring)
            self._wait = min(2 * self._wait, AGAIN_MOST)

    def _ring(self) -> None:
        self._later = None
        again = self._looks.again()
        owned = self._owned()
        for guest in [each for each in self._waiting if each not in owned]:
            for host, power in self._waiting.pop(guest).items():
                self._look_at(guest, host, power)
        probes = [FollowVM(vm_id) for vm_id in self._silent.values() if vm_id not in owned]
        strange = [host.id for host in self._inventory.all(Host) if not self._hearsay.knows(host.id)]
        if again or probes:
            self._begin(self._looks.ask([*again, *probes]))
        elif strange and self._listening:
            self._begin(self._survey(None))

    # --- what becomes of it

    def ended(self, decision: Decision) -> None:
        """An operation has ended here."""
        operation, vm = decision.operation, decision.vm
        if not self._on or decision.outcome is End.STUCK:
            return
        if operation.kind == "follow" and vm is not None:
            self._followed(operation, vm)
        elif operation.kind == "evict":
            self._evicted(operation)
        elif vm is not None:
            self._hearsay.made(vm)
        if vm is not None:
            self._free_again(vm)
        if not (self._looks.waiting or self._waiting or self._silent) and self._later is None:
            self._wait = AGAIN_FIRST

    def _free_again(self, vm: Vm) -> None:
        """What had to wait for the VM."""
        for host, power in self._waiting.pop(vm.id, {}).items():
            if not agrees(vm.state, vm.host_id, host, power):
                self._look_at(vm.id, host, power)
        if asks := self._looks.freed(vm.id):
            self._begin(self._looks.ask(asks))

    def _followed(self, operation: Operation, vm: Vm) -> None:
        conclusion, seen_on = conclusion_of(operation.kept), operation.request.get("host")
        ended = operation.state == "Succeeded" and operation.kept.get("treatment") == END
        for host in conclusion.strays if conclusion and not ended else ():
            self._strays.found(vm.id, host, Power.ON, f"VM {vm.name} is {vm.state} on {vm.host_id or 'no host'}")
        if vm.state == "Unknown" and vm.host_id:
            self._is_silent(vm.host_id, vm.id)
        elif operation.state != "Succeeded" and vm.state in HOLDING:
            self._looks.later(FollowVM(vm.id, seen_on))
        elif operation.state != "Succeeded" and seen_on:
            self._hearsay.unsay(seen_on, vm.id)
        if vm.state != "Unknown":
            self._answered(vm)

    def _answered(self, vm: Vm) -> None:
        """A host that did not answer does so now: all its VMs are looked at."""
        for host in [each for each, vm_id in self._silent.items() if vm_id == vm.id]:
            del self._silent[host]
            self._begin(self._follow_all(host, "Unknown"))

    def _evicted(self, operation: Operation) -> None:
        guest, host = operation.request["guest"], operation.request["host"]
        if operation.state != "Succeeded":
            self._looks.later(EvictGuest(guest, host))
        elif operation.kept["treatment"] == END:
            self._strays.gone(guest, [host])
            self._hearsay.unsay(host, guest)

    # --- on demand

    async def reconcile(self, only: str | None) -> list[Decision]:
        """Look at all hosts, or one, as if nothing were known; the operations that this has made us ask for.

        Raises:
            EngineClosed: the engine does not reconcile (any more).
        """
        if not self._on:
            raise EngineClosed("this engine does not reconcile: it was opened to look only, or is closed")
        asked: list[Decision] = []
        self._looks.hearers.append(asked)
        try:
            self._hearsay.forget([only] if only else self._inventory.ids(Host))
            self._begin(self._survey(only))
            while self._rounds:
                await asyncio.wait(set(self._rounds))
        finally:
            self._looks.hearers.remove(asked)
        return asked
