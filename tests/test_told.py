"""What a record says a host was told, the host was told: with workers that know less, replies that get lost and rules
that change at any moment.

Two workers with figures of their own decide on one VM. The host is a model: it performs a token once, and keeps the
rules it was given; the version stands in the port that they let in.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from interlock import CloudDescription, DeployVM
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Claimed, Settled, Woken
from interlock.engine.orchestrator.commits import after
from interlock.engine.orchestrator.inventory import GroupsNeeded, Inventory
from interlock.engine.store import queries
from interlock.engine.store.cases import Case
from interlock.engine.store.verdict import Committed
from interlock.schema.cloud import FirewallRule, SecurityGroup
from interlock.schema.commands import ApplyRules, Done, Outcome, Refusal, Refused, Scope, StartDomain
from interlock.schema.requests import SecureVM
from interlock.schema.rows import columns_of
from tests.clerk import CLOUD, Clerk, clerk

GROUP = "acme/web"
LOST = Refused(kind=Refusal.UNKNOWN, scope=Scope.HOST, reason="the reply was lost")


def filtering() -> CloudDescription:
    """The clerk's cloud, with security groups."""
    text = CLOUD.replace('name = "z"', 'name = "z"\nsecurity_groups = true')
    return CloudDescription.parse(text.replace("default = true", 'default = true\nservices = { SecurityGroup = "P" }'))


def at(version: int) -> SecurityGroup:
    """The group as it is at a version."""
    rule = FirewallRule(protocol="tcp", first_port=version, last_port=version, cidr="0.0.0.0/0")
    return SecurityGroup(id=GROUP, account_id="acme", name="web", ingress=(rule,), version=version)


class Host:
    """What the hypervisor filters by."""

    def __init__(self) -> None:
        self.has = 0
        self._done: set[str] = set()

    def perform(self, decision: Decision) -> None:
        """Do what was announced; a token that is known changes nothing."""
        for effect in decision.effects:
            if effect.token not in self._done and isinstance(effect.command, ApplyRules | StartDomain):
                assert effect.command.rules
                [self.has] = [rule.first_port or 0 for spec in effect.command.rules for rule in spec.ingress]
            self._done.add(effect.token)


class Workers:
    """Two of them, on one database."""

    def __init__(self, first: Clerk, second: Clerk) -> None:
        self.each, self.host, self.version = (first, second), Host(), 1

    async def change(self, known_to: int) -> None:
        """Other rules, which one worker knows of at once."""
        self.version += 1
        group = at(self.version)
        columns = group.__struct_fields__
        row = dict(zip(columns, columns_of(group, columns), strict=True))
        await self.each[0].store.put({"security_group": [row]})
        self.each[known_to].inventory.put([group])

    async def write(self, worker: int, event: Any, case: Case | None) -> Decision:
        """Decide as an engine does that reads what it must, and commit."""
        mine = self.each[worker]
        try:
            decision = await mine.decide(event, case)
        except GroupsNeeded as needed:
            mine.inventory.put(await mine.store.groups(queries.groups(needed.group_ids)))
            decision = await mine.decide(event, case)
        assert isinstance(await mine.write(decision), Committed)
        vm = decision.vm
        assert vm is not None
        assert vm.rules_told <= self.host.has or vm.state != "Running"
        return decision

    async def end(self, decision: Decision, course: list[tuple[str, int]]) -> Decision:
        """Carry an operation to its end, with what happens on the way."""
        worker, steps = 0, iter(course)
        while decision.outcome is None:
            what, number = next(steps, ("done", 0))
            if what == "change":
                await self.change(number)
            elif what == "take over" or decision.operation.state == "Queued":
                worker = number
                decision = await self.write(worker, _claimed(number), after(decision))
            else:
                decision = await self._perform(worker, decision, LOST if what == "lost" else Done())
        return decision

    async def _perform(self, worker: int, decision: Decision, outcome: Outcome) -> Decision:
        if not decision.effects:  # it waits to be tried again
            return await self.write(worker, lambda at: Woken(at=at), after(decision))
        self.host.perform(decision)
        outcomes = tuple(outcome for _ in decision.effects)
        return await self.write(worker, lambda at: Settled(at=at, outcomes=outcomes), after(decision))


def _claimed(number: int) -> Any:
    return lambda at: Claimed(at=at, worker_id=f"w{number}")


happenings = st.tuples(st.sampled_from(["change", "take over", "lost", "done"]), st.integers(0, 1))
courses = st.lists(happenings, max_size=8)


@settings(max_examples=12)
@given(courses, st.lists(courses, min_size=1, max_size=3))
def test_no_record_says_more_than_the_host_was_told(start: list[Any], secured: list[list[Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_live(Path(folder), start, secured))


async def _live(folder: Path, start: list[Any], secured: list[list[Any]]) -> None:
    async with clerk(str(folder / "interlock.db")) as first:
        await first.store.put(filtering().rows())
        group = at(1)
        columns = group.__struct_fields__
        await first.store.put({"security_group": [dict(zip(columns, columns_of(group, columns), strict=True))]})
        places = await first.store.places()
        first.inventory.load(places)
        second = Clerk(first.store, Inventory(places), first.rules)
        for each in (first, second):
            await each.reload()
        workers = Workers(first, second)
        wish = DeployVM(name="web", offering="small", template="t", account="acme", security_groups=(GROUP,))
        decision = await _deployed(workers, wish, start)
        for course in secured:
            if decision.vm is None or decision.vm.state != "Running":
                event("the VM never ran")
                return
            decision = await _secured(workers, decision, course)
            event(f"secure {decision.outcome}")


async def _deployed(workers: Workers, wish: DeployVM, course: list[Any]) -> Decision:
    asked = await workers.each[0].ask(wish)
    assert isinstance(await workers.each[0].write(asked), Committed)
    return await workers.end(asked, course)


async def _secured(workers: Workers, decision: Decision, course: list[Any]) -> Decision:
    assert decision.vm is not None
    case = after(decision)
    asked = await workers.each[0].ask(SecureVM(decision.vm.id), msgspec.structs.replace(case, operation=None))
    assert isinstance(await workers.each[0].write(asked), Committed)
    return await workers.end(asked, course)
