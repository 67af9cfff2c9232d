"""Faults on order: each kind fires, does what it says, exactly as often as ordered, and then it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interlock.drivers.simulator import Fault, FaultKind, Power, Simulator, World
from interlock.drivers.simulator.faults import COURSES
from interlock.schema.commands import AnyCommand, AtPool, Done, Refusal, Refused, Scope
from interlock.schema.errors import InvalidRequest, NotFound
from tests.simulated import (
    HOSTS,
    LIFE,
    POOLS,
    Clock,
    create,
    delete,
    name,
    prepare,
    reboot,
    say,
    start,
    stop,
    until,
)

DONE = Done()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
async def sim(tmp_path: Path, clock: Clock) -> AsyncIterator[Simulator]:
    """An empty cloud."""
    async with await Simulator.at(tmp_path / "world", clock=clock) as made:
        await made.attach(HOSTS, POOLS)
        yield made


@pytest.mark.parametrize("command", LIFE, ids=name)
@pytest.mark.parametrize(
    "kind", [kind for kind in FaultKind if kind not in (FaultKind.HANG, FaultKind.OUT_OF_SPACE)], ids=name
)
async def test_a_fault_answers_as_ordered_and_the_next_try_is_done(
    sim: Simulator, command: AnyCommand, kind: FaultKind
) -> None:
    await until(sim, command)
    before = await sim.world()
    order = await sim.order(Fault(kind=kind, command=type(command).__name__, seconds=60))
    answer = await say(sim, command)
    assert isinstance(answer, Refused) and answer.kind == COURSES[kind].answer
    place = Scope.POOL if isinstance(command, AtPool) else Scope.HOST
    assert answer.scope == (Scope.VM if kind is FaultKind.REFUSE_VM else place)
    assert f"fault {order}" in answer.reason
    assert await sim.fired(order) == 1
    happened = kind is FaultKind.LOST_REPLY
    assert (await sim.world() != before) == happened
    assert await say(sim, command) == DONE
    assert await sim.world() != before


@pytest.mark.parametrize("command", LIFE, ids=name)
async def test_a_command_that_hangs_is_not_done(sim: Simulator, command: AnyCommand) -> None:
    await until(sim, command)
    before = await sim.world()
    order = await sim.order(Fault(kind=FaultKind.HANG))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(say(sim, command), 0.02)
    assert await sim.fired(order) == 1
    assert await sim.world() == before
    assert await say(sim, command) == DONE


async def test_a_copy_that_runs_out_of_space_leaves_half_of_itself(sim: Simulator) -> None:
    order = await sim.order(Fault(kind=FaultKind.OUT_OF_SPACE, command="CreateVolume"))
    answer = await say(sim, create(size=10))
    assert answer == Refused(kind=Refusal.PERMANENT, scope=Scope.POOL, reason=answer.reason)  # type: ignore[union-attr]
    assert await sim.fired(order) == 1
    [half] = (await sim.world()).volumes
    assert (half.size_mib, half.partial) == (5, True)
    await say(sim, prepare())
    assert isinstance(await say(sim, start()), Refused), "half a disk is none"
    assert await say(sim, create(size=10), token="anew") == DONE
    [whole] = (await sim.world()).volumes
    assert (whole.size_mib, whole.partial) == (10, False)
    assert await say(sim, start()) == DONE


async def test_half_a_copy_is_deleted_like_a_whole_one(sim: Simulator) -> None:
    await sim.order(Fault(kind=FaultKind.OUT_OF_SPACE, command="CreateVolume"))
    await say(sim, create())
    assert (await sim.world()).volumes
    assert await say(sim, delete()) == DONE
    assert await sim.world() == World()


async def test_only_a_copy_can_be_done_by_half(sim: Simulator) -> None:
    for command in ("StartDomain", "*"):
        with pytest.raises(InvalidRequest, match="only CreateVolume"):
            await sim.order(Fault(kind=FaultKind.OUT_OF_SPACE, command=command))


async def test_an_effect_comes_late(sim: Simulator, clock: Clock) -> None:
    await sim.order(Fault(kind=FaultKind.LATE, seconds=60))
    assert isinstance(await say(sim, prepare()), Refused)
    clock.now += 59
    assert await sim.world() == World()
    clock.now += 1
    assert len((await sim.world()).nics) == 1
    before = sim.transactions
    assert await say(sim, prepare()) == DONE
    assert sim.transactions == before + 1


async def test_a_late_effect_does_not_come_twice(sim: Simulator, clock: Clock) -> None:
    await until(sim, reboot())
    await sim.order(Fault(kind=FaultKind.LATE, seconds=60))
    await say(sim, reboot())
    await say(sim, reboot())
    clock.now += 60
    assert [guest.boots for guest in (await sim.world()).domains] == [2]


async def test_a_late_effect_never_passes_a_higher_fence(sim: Simulator, clock: Clock) -> None:
    await until(sim, start())
    await sim.order(Fault(kind=FaultKind.LATE, seconds=60))
    await say(sim, start(), fence=1)
    await say(sim, stop(), fence=2)
    clock.now += 60
    assert (await sim.world()).domains == ()


async def test_a_late_effect_that_is_refused_is_not_tried_again(sim: Simulator, clock: Clock) -> None:
    await say(sim, prepare())
    await sim.order(Fault(kind=FaultKind.LATE, seconds=60))
    await say(sim, start())
    clock.now += 60
    assert (await sim.world()).domains == ()
    await say(sim, create())
    assert (await sim.world()).domains == ()


async def test_under_the_same_fence_a_late_start_comes_after_the_stop(sim: Simulator, clock: Clock) -> None:
    await until(sim, start())
    await sim.order(Fault(kind=FaultKind.LATE, seconds=60))
    await say(sim, start())
    await say(sim, stop())
    clock.now += 60
    assert [guest.power for guest in (await sim.world()).domains] == [Power.ON]


async def test_orders_and_late_effects_outlive_the_process(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "world"
    async with await Simulator.at(path, clock=clock) as sim:
        await sim.attach(HOSTS, POOLS)
        late = await sim.order(Fault(kind=FaultKind.LATE, command="PrepareNic", seconds=60))
        refuse = await sim.order(Fault(kind=FaultKind.REFUSE, times=2))
        await say(sim, prepare())
        await say(sim, create())
    clock.now += 60
    async with await Simulator.at(path, clock=clock) as sim:
        assert len((await sim.world()).nics) == 1
        assert isinstance(await say(sim, create()), Refused)
        assert await say(sim, create()) == DONE
        assert (await sim.fired(late), await sim.fired(refuse)) == (1, 2)


@pytest.mark.parametrize(
    "filters", [{"command": "CreateVolume"}, {"at": "p1"}, {"vm_id": "vm2"}, {"subject": "vol vol2"}]
)
async def test_an_order_hits_only_what_it_names(sim: Simulator, filters: dict[str, Any]) -> None:
    order = await sim.order(Fault(kind=FaultKind.TRANSIENT, **filters))
    assert await say(sim, prepare("vm1")) == DONE
    assert await sim.fired(order) == 0
    assert isinstance(await say(sim, create("vm2")), Refused)
    assert await say(sim, create("vm2")) == DONE
    assert await sim.fired(order) == 1


async def test_orders_are_taken_one_after_the_other(sim: Simulator) -> None:
    await sim.order(Fault(kind=FaultKind.TRANSIENT, times=2))
    await sim.order(Fault(kind=FaultKind.REFUSE))
    answers = [await say(sim, prepare()) for _ in range(4)]
    kinds = [answer.kind if isinstance(answer, Refused) else None for answer in answers]
    assert kinds == [Refusal.TRANSIENT, Refusal.TRANSIENT, Refusal.PERMANENT, None]


async def test_a_done_token_is_never_said_to_have_done_nothing(sim: Simulator) -> None:
    await say(sim, prepare())
    refuse = await sim.order(Fault(kind=FaultKind.REFUSE))
    lost = await sim.order(Fault(kind=FaultKind.LOST_REPLY))
    answer = await say(sim, prepare())
    assert isinstance(answer, Refused) and answer.kind is Refusal.UNKNOWN
    assert (await sim.fired(refuse), await sim.fired(lost)) == (0, 1)
    assert await say(sim, prepare()) == DONE


async def test_an_order_can_be_recalled(sim: Simulator) -> None:
    order = await sim.order(Fault(kind=FaultKind.REFUSE, times=9))
    await say(sim, prepare())
    await sim.recall(order)
    assert await say(sim, prepare()) == DONE
    assert await sim.fired(order) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"command": "Dance"}, "Dance.*StartDomain.*ApplyRules"), ({"times": 0}, "0 times"), ({"seconds": -1.0}, "-1.0")],
)
async def test_an_order_that_could_never_fire_is_refused(sim: Simulator, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        await sim.order(Fault(kind=FaultKind.LATE, **wrong))


async def test_an_order_nobody_gave(sim: Simulator) -> None:
    with pytest.raises(NotFound, match="99"):
        await sim.fired(99)
