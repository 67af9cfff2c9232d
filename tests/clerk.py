"""A clerk: decides with the real core and writes with the real store, without an engine around them.

Everything that an engine does at once, a clerk does when told: a test holds a decision in its hand, writes it late,
twice, beside others, or changes it first. Time goes forward by a second with each decision.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from interlock import CloudDescription, DeployVM, Policy
from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Claimed, Event, Requested, Settled, Woken, ids_needed
from interlock.engine.core.snapshot import Rules, Snapshot
from interlock.engine.orchestrator import plugins
from interlock.engine.orchestrator.books import AddressesNeeded
from interlock.engine.orchestrator.clock import fresh_ids
from interlock.engine.orchestrator.commits import after
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.store import queries
from interlock.engine.store.cases import Case
from interlock.engine.store.store import Store
from interlock.engine.store.verdict import Committed, Verdict
from interlock.schema.commands import Done
from interlock.schema.records import Vm
from interlock.schema.requests import Request

CLOUD = """
[[accounts]]
name = "acme"
[[offerings]]
name = "small"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 1024
[[templates]]
name = "t"
size_mib = 100
[[zones]]
name = "z"
[[zones.networks]]
name = "net"
cidr = "10.0.0.0/24"
default = true
[[zones.networks]]
name = "other"
cidr = "10.0.0.0/24"
[[zones.pods]]
name = "p"
[[zones.pods.clusters]]
name = "c"
cpu_overcommit = 2.0
[[zones.pods.clusters.hosts]]
name = "h"
count = 2
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 4096
[[zones.pods.clusters.pools]]
name = "nfs"
size_mib = 1000
"""
"""Room for four small VMs by CPU, two on each host. Two networks share one block: addresses are a network's own."""


def tiny() -> CloudDescription:
    """The cloud above."""
    return CloudDescription.parse(CLOUD)


class Clerk:
    """One store, its figures, and the rules. Make it with `clerk(url)`."""

    def __init__(self, store: Store, inventory: Inventory, rules: Rules) -> None:
        self.store, self.inventory, self.rules = store, inventory, rules
        self.at = 1_700_000_000_000_000

    async def ask(self, request: Request, case: Case | None = None) -> Decision:
        """Decide a request; nothing is written and nothing is counted yet."""
        ids = fresh_ids(ids_needed(request))
        return await self.decide(lambda at: Requested(at=at, request=request, actor="clerk", ids=ids), case)

    async def decide(self, event: Callable[[int], Event], case: Case | None) -> Decision:
        """Decide any event."""
        self.at += 1_000_000
        while True:
            try:
                return decide(self.snapshot(case), event(self.at), self.rules)
            except AddressesNeeded as needed:
                rows = await self.store.rows(queries.addresses_of(needed.network_id))
                self.inventory.open_book(needed.network_id, (row[0] for row in rows))

    def snapshot(self, case: Case | None) -> Snapshot:
        """What the core is shown of a case."""
        if case is None:
            return Snapshot(cloud=self.inventory)
        return Snapshot(
            cloud=self.inventory, operation=case.operation, vm=case.vm, nics=case.nics, volumes=case.volumes
        )

    async def write(self, decision: Decision) -> Verdict:
        """Commit a decision, counted in the figures from now on if it wins."""
        self.inventory.hold(decision)
        verdict = await self.store.commit(decision)
        if isinstance(verdict, Committed):
            self.inventory.settle(decision)
        else:
            self.inventory.drop(decision)
        return verdict

    async def reload(self) -> None:
        """Read the figures again, as an engine does that was overtaken."""
        await self.store.refresh(self.inventory.reload, queries.usage(), queries.vms_on_hosts(), queries.journal_head())

    async def queue(self, name: str, **wishes: Any) -> Decision:
        """Ask for a VM and write that."""
        decision = await self.ask(a_vm(name, **wishes))
        assert isinstance(await self.write(decision), Committed)
        return decision

    async def next(self, decision: Decision) -> Decision:
        """Decide what follows when all goes well."""
        case = after(decision)
        if decision.operation.state == "Queued":
            return await self.decide(lambda at: Claimed(at=at, worker_id="w"), case)
        if decision.effects:
            outcomes = tuple(Done() for _ in decision.effects)
            return await self.decide(lambda at: Settled(at=at, outcomes=outcomes), case)
        return await self.decide(lambda at: Woken(at=at), case)

    async def end(self, decision: Decision) -> Decision:
        """Go on to the end, all going well."""
        while decision.outcome is None:
            decision = await self.next(decision)
            assert isinstance(await self.write(decision), Committed)
        return decision

    async def deploy(self, name: str, **wishes: Any) -> Decision:
        """Have a running VM."""
        return await self.end(await self.queue(name, **wishes))

    async def run(self, request: Request, decision: Decision) -> Decision:
        """Have another operation run on the VM of `decision`."""
        asked = await self.ask(request, of_vm(decision))
        assert isinstance(await self.write(asked), Committed)
        return await self.end(asked)


def a_vm(name: str, **wishes: Any) -> DeployVM:
    """A request for a small VM."""
    return DeployVM(name=name, offering="small", template="t", **wishes)


def of_vm(decision: Decision) -> Case:
    """The VM as the decision leaves it, with no operation of its own."""
    case = after(decision)
    return Case(operation=None, vm=case.vm, nics=case.nics, volumes=case.volumes)


def vm_in(decision: Decision) -> Vm:
    """The VM that a decision is about."""
    assert decision.vm is not None
    return decision.vm


@asynccontextmanager
async def clerk(url: str) -> AsyncIterator[Clerk]:
    """Open a store and read its figures."""
    store = await Store.open(url)
    try:
        rules = Rules(policy=Policy(), planners=plugins.planners({}), gurus=plugins.gurus({}))
        found = Clerk(store, Inventory(await store.places()), rules)
        await found.reload()
        yield found
    finally:
        await store.close()
