"""follow and evict held to what all operations are held to (test_operations.py): every effect of theirs is made to fail
in every way, and performed twice; each test asserts that its fault fired.

The driver does not report here, so nothing is followed but what the test asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interlock.drivers.simulator import FaultKind, Power
from interlock.schema.requests import EvictGuest
from tests.witness import Recorder, Twice, noted
from tests.world import World, world


@dataclass(frozen=True)
class Case:
    """Something that happens behind our back, what is asked for, the effects of that, and how all stands then."""

    happens: str
    where: tuple[str, ...]
    effects: tuple[str, ...]
    ends: tuple[str, str | None]
    setting: str = "report"
    seen_on: str | None = None
    truth: tuple[tuple[str, Power], ...] = ()
    """Which guests there are then: host and power."""


LOOK, STOP, PREPARE, RELEASE, HALT = "LookForDomain", "StopDomain", "PrepareNic", "ReleaseNic", "QuarantineDomain"
HERE = ("h-1", Power.ON)
CASES = {
    "stopped": Case("crash", (), (LOOK, STOP, RELEASE), ("Stopped", None)),
    "gone": Case("undefine_outside", (), (LOOK, STOP, RELEASE), ("Stopped", None)),
    "moved": Case(
        "move", ("h-2",), (LOOK, STOP, PREPARE, RELEASE), ("Running", "h-2"), seen_on="h-2", truth=(("h-2", Power.ON),)
    ),
    "searched": Case("move", ("h-2",), (LOOK, STOP, PREPARE, RELEASE), ("Running", "h-2"), truth=(("h-2", Power.ON),)),
    "double-end": Case(
        "appear", ("h-2",), (LOOK, STOP), ("Running", "h-1"), setting="end", seen_on="h-2", truth=(HERE,)
    ),
    "double-halt": Case(
        *("appear", ("h-2",), (LOOK, HALT), ("Running", "h-1")),
        setting="quarantine",
        seen_on="h-2",
        truth=(HERE, ("h-2", Power.PAUSED)),
    ),
    "stranger-end": Case("appear", ("h-2",), (LOOK, STOP), ("Running", "h-1"), setting="end", truth=(HERE,)),
    "stranger-halt": Case(
        *("appear", ("h-2",), (LOOK, HALT), ("Running", "h-1")),
        setting="quarantine",
        truth=(HERE, ("h-2", Power.PAUSED)),
    ),
}
EFFECTS = [(name, command) for name, case in CASES.items() for command in case.effects]


@asynccontextmanager
async def after(
    name: str, folder: Path, url: str | None = None, wrap: Any = Recorder, latency: float = 0.0
) -> AsyncIterator[World]:
    """A world in which it has happened."""
    case = CASES[name]
    async with world(folder, url=url, wrap=wrap, latency=latency) as lab:
        await lab.engine.set_setting("vm.unknown.domain", case.setting)
        assert (await lab.deploy()).state == "Succeeded"
        await getattr(lab.simulator, case.happens)(await guest_of(lab, name), *case.where)
        yield lab


async def guest_of(lab: World, name: str) -> str:
    """Whom it happens to."""
    return "stranger" if name.startswith("stranger") else (await lab.vm()).id


async def ask(lab: World, name: str) -> Any:
    """Run the operation under test."""
    if name.startswith("stranger"):
        return await (await lab.engine.submit(EvictGuest("stranger", "h-2"))).ended()
    return await (await lab.engine.follow("web", CASES[name].seen_on)).ended()


async def assert_ended(lab: World, name: str) -> None:
    """All stands as it should."""
    case, vm = CASES[name], await lab.vm()
    assert (vm.state, vm.host_id) == case.ends
    truth = await lab.simulator.world()
    assert tuple((each.host_id, each.power) for each in sorted(truth.domains, key=lambda d: d.host_id)) == case.truth
    assert await lab.engine.check() == []
    nics = [nic for nic in await lab.engine.nics(vm.id) if nic.state == "Reserved"]
    assert [(each.id, each.host_id) for each in truth.nics] == [(nic.id, vm.host_id) for nic in nics]
    held = {host: used for host, used, _ in (await lab.books()).hosts if used}
    assert held == ({vm.host_id: vm.cpu_held_mhz} if vm.host_id else {})


@pytest.mark.parametrize("name", CASES)
async def test_these_are_all_effects(tmp_path: Path, database_url: str, name: str) -> None:
    made, wrap = noted(Recorder)
    async with after(name, tmp_path, database_url, wrap) as lab:
        made[0].seen.clear()
        assert (await ask(lab, name)).state == "Succeeded"
        seen = [command for command in made[0].seen if command != "ApplyRules"]
        assert set(seen) == set(CASES[name].effects)
        await assert_ended(lab, name)


@pytest.mark.parametrize("name", CASES)
async def test_every_effect_run_twice_leaves_the_same_world(tmp_path: Path, name: str) -> None:
    made, wrap = noted(Twice)
    async with after(name, tmp_path, wrap=wrap) as lab:
        assert (await ask(lab, name)).state == "Succeeded"
        assert set(CASES[name].effects) <= set(made[0].seen)
        await assert_ended(lab, name)


@pytest.mark.parametrize("fault", [FaultKind.REFUSE, FaultKind.REFUSE_VM])
@pytest.mark.parametrize(("name", "command"), EFFECTS)
async def test_a_refusal_leaves_the_record_and_what_runs_and_is_asked_again(
    tmp_path: Path, name: str, command: str, fault: FaultKind
) -> None:
    async with after(name, tmp_path) as lab:
        running = [each for each in (await lab.simulator.world()).domains if each.power is Power.ON]
        order = await lab.order(command, fault)
        operation = await ask(lab, name)
        assert await lab.simulator.fired(order) == 1
        assert operation.state == "Failed" and operation.error
        vm = await lab.vm()
        assert (vm.state, vm.host_id) == ("Running", "h-1")
        assert [each for each in (await lab.simulator.world()).domains if each.power is Power.ON] == running
        assert (await ask(lab, name)).state == "Succeeded"
        await lab.engine.idle()
        await assert_ended(lab, name)


@pytest.mark.parametrize("fault", [FaultKind.TRANSIENT, FaultKind.FAIL_UNKNOWN, FaultKind.LOST_REPLY, FaultKind.LATE])
@pytest.mark.parametrize(("name", "command"), EFFECTS)
async def test_what_may_succeed_when_asked_again_is_asked_again(
    tmp_path: Path, name: str, command: str, fault: FaultKind
) -> None:
    async with after(name, tmp_path) as lab:
        order = await lab.order(command, fault, times=2)
        operation = await ask(lab, name)
        assert await lab.simulator.fired(order) == 2
        assert operation.state == "Succeeded"
        await lab.engine.idle()
        await assert_ended(lab, name)


@pytest.mark.parametrize(("name", "command"), EFFECTS)
async def test_what_is_never_answered_ends_all_the_same_and_harms_nobody(
    tmp_path: Path, name: str, command: str
) -> None:
    async with after(name, tmp_path) as lab:
        running = [each for each in (await lab.simulator.world()).domains if each.power is Power.ON]
        order = await lab.order(command, FaultKind.TRANSIENT, times=1000)
        operation = await ask(lab, name)
        assert await lab.simulator.fired(order) >= 4
        assert [each for each in (await lab.simulator.world()).domains if each.power is Power.ON] == running
        vm = await lab.vm()
        lost = command == LOOK and not name.startswith("stranger")
        assert (vm.state, operation.state) == (("Unknown", "Succeeded") if lost else ("Running", "Failed"))
        await lab.simulator.recall(order)
        assert (await ask(lab, name)).state == "Succeeded"
        await lab.engine.idle()
        await assert_ended(lab, name)


@pytest.mark.parametrize(("name", "command"), EFFECTS)
async def test_closing_in_the_middle_is_only_a_pause(tmp_path: Path, name: str, command: str) -> None:
    """What was begun is gone on with by the next engine, whichever of its effects was the last."""
    made, wrap = noted(Recorder)
    async with after(name, tmp_path, wrap=wrap, latency=0.005) as lab:
        made[0].seen.clear()
        asked = asyncio.create_task(ask(lab, name))
        while command not in made[0].seen:
            await asyncio.sleep(0)
        assert lab.engine.under_way() == 1
    await asyncio.gather(asked, return_exceptions=True)
    later, wrap = noted(Recorder)
    async with world(tmp_path, wrap=wrap) as lab:
        await lab.engine.idle()
        assert later[0].seen or command == CASES[name].effects[-1], "nothing was left to go on with"
        await assert_ended(lab, name)


@pytest.mark.parametrize("name", ["stopped", "moved"])
async def test_an_undo_that_is_refused_is_borne(tmp_path: Path, name: str) -> None:
    """What is brought back are NICs for a guest that is not there: nobody is asked to come for that."""
    async with after(name, tmp_path) as lab:
        forward = await lab.order(RELEASE, FaultKind.REFUSE_VM, at="h-1")
        back = await lab.order(PREPARE, FaultKind.REFUSE_VM, at="h-1")
        operation = await ask(lab, name)
        assert [await lab.simulator.fired(each) for each in (forward, back)] == [1, 1]
        assert operation.state == "Failed"
        assert (await ask(lab, name)).state == "Succeeded"
        await lab.engine.idle()
        await assert_ended(lab, name)
