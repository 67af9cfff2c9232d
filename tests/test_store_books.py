"""Whatever is committed beside whatever, the books balance: journal, ledger, states and versions agree.

Random VMs live random lives. In each turn several of them take a step, decided from what is known, or from what was
known long ago; all that is decided in a turn is handed in together. Effects succeed, are refused, or may have
happened. After every example the database is audited row by row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Broken, CancelRequested, Claimed, Event, Resolved, Settled, Way, Woken
from interlock.engine.orchestrator.commits import after
from interlock.engine.store.cases import Case
from interlock.engine.store.verdict import Committed, Lost, Why
from interlock.schema.commands import Done, Outcome, Refusal, Refused, Scope
from interlock.schema.errors import IllegalTransition, InvalidRequest
from interlock.schema.requests import (
    DestroyVM,
    ExpungeVM,
    RebootVM,
    RecoverVM,
    Request,
    StartVM,
    StopVM,
)
from tests.bare import bare
from tests.clerk import Clerk, a_vm, clerk, of_vm, vm_in
from tests.conftest import Copy
from tests.ledger import assert_sound

VMS = 6
WISHES: tuple[dict[str, Any], ...] = ({}, {"start": False}, {"data_disks_mib": (200, 100)}, {"data_disks_mib": (600,)})
ASKED: tuple[Callable[[str], Request], ...] = (StartVM, StopVM, RebootVM, DestroyVM, RecoverVM, ExpungeVM)
OUTCOMES: tuple[Outcome, ...] = (
    Done(),
    *(Refused(kind=kind, scope=scope, reason="as told") for kind in Refusal for scope in Scope),
)


class Step(msgspec.Struct, frozen=True):
    """What one VM does in a turn. `back`: decided on what was so many decisions ago; 0: on what is."""

    vm: int
    choice: int
    back: int


steps = st.builds(Step, st.integers(0, VMS - 1), st.integers(0, 59), st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 1, 2]))
turns = st.lists(st.lists(steps, min_size=1, max_size=VMS), min_size=5, max_size=30)


class Lives:
    """What is known of each VM: its decisions, the youngest last."""

    def __init__(self, desk: Clerk) -> None:
        self.desk = desk
        self.known: dict[int, list[Decision]] = {}

    async def turn(self, steps: list[Step]) -> None:
        """Decide all steps, then commit them together."""
        decided = [(step, await self.decide(step)) for step in steps]
        hopes = [(step, decision) for step, decision in decided if decision is not None]
        verdicts = await asyncio.gather(*(self.desk.write(decision) for _, decision in hopes))
        for (step, decision), verdict in zip(hopes, verdicts, strict=True):
            event(f"{'won' if isinstance(verdict, Committed) else verdict.why.value}")
            if isinstance(verdict, Committed):
                self.known.setdefault(step.vm, []).append(decision)
                event(f"{decision.operation.kind} {decision.operation.state}")
            else:
                assert verdict.why is not Why.DEFECT, verdict.message
        if self.desk.store.overtaken or any(isinstance(verdict, Lost) for verdict in verdicts):
            await self.desk.reload()

    async def decide(self, step: Step) -> Decision | None:
        """What follows; None if nothing can."""
        decisions = self.known.get(step.vm, [])
        try:
            if not decisions:
                return await self.desk.ask(a_vm(f"vm-{step.vm}", **WISHES[step.choice % len(WISHES)]))
            last = decisions[-1 - min(step.back, len(decisions) - 1)]
            return await self.follow(last, step.choice)
        except (InvalidRequest, IllegalTransition):
            return None

    async def follow(self, last: Decision, choice: int) -> Decision:
        """The next event of an operation, or the next operation."""
        if last.outcome is not None and last.outcome != "Stuck":
            return await self.desk.ask(ASKED[choice % len(ASKED)](vm_in(last).id), of_vm(last))
        return await self.desk.decide(lambda at: _event(last, choice, at), _case(last))


def _case(last: Decision) -> Case:
    return after(last)


def _event(last: Decision, choice: int, at: int) -> Event:
    if last.outcome == "Stuck":
        return Resolved(at=at, way=list(Way)[choice % len(Way)], actor="a person", reason="so be it")
    if choice in (57, 58):
        return CancelRequested(at=at, actor="somebody")
    if choice == 59:
        return Broken(at=at, error="as told")
    if last.operation.state == "Queued" or choice == 56:
        return Claimed(at=at, worker_id=f"w{choice % 2}")
    if last.effects:
        # Mostly it goes well; else a refusal of any kind, about anything.
        outcome = OUTCOMES[choice % len(OUTCOMES)] if choice % 3 == 0 else Done()
        return Settled(at=at, outcomes=(outcome, *(Done() for _ in last.effects[1:])))
    return Woken(at=at)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(turns=turns)
async def test_any_interleaving_of_commits_keeps_the_books(copy: Copy, turns: list[list[Step]]) -> None:
    async with copy("cloud") as url:
        async with clerk(url) as desk:
            lives = Lives(desk)
            for turn in turns:
                await lives.turn(turn)
        async with bare(url) as database:
            await assert_sound(database)
