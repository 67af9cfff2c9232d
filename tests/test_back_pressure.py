"""Back-pressure: however many ask at once, what is decided and waits for the disk stays bounded, and the others wait.

The store is held up in the middle of a batch, so that everything that can pile up does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from interlock import CloudDescription, DeployVM
from interlock.engine.orchestrator import door as doors
from interlock.engine.orchestrator import drives
from interlock.engine.orchestrator.door import Door
from interlock.engine.store.commit import Written
from interlock.engine.store.store import Store
from interlock.engine.store.writer import Writer
from interlock.schema.errors import EngineClosed
from tests.conftest import Copy
from tests.world import CLOUD, World, world

MANY = 10_000
ROOM = 64


class HeldUp:
    """A writing connection that waits for permission before each batch, and notes how much waits behind it."""

    def __init__(self, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writer = writer
        self.go, self.here = asyncio.Event(), asyncio.Event()
        self.batches: list[int] = []
        self.most = self.held = 0
        self._write = writer.database.write
        monkeypatch.setattr(writer.database, "write", self.write)

    async def write(self, decisions: Any, is_stale: Any, more: Any) -> Written:
        """In place of the database's."""
        self.here.set()
        self.held = len(decisions)
        await self.go.wait()
        self.look()
        self.batches.append(len(decisions))
        return await self._write(decisions, is_stale, more)

    async def piled_up(self) -> None:
        """Return when a batch is held up, and all that can pile up behind it has."""
        await self.here.wait()
        await turns()
        self.look()

    def look(self) -> None:
        """Note how many decisions wait, those of the batch that is held up among them."""
        self.most = max(self.most, self.held + len(self.writer._waiting))


def store_of(lab: World) -> Store:
    return lab.engine._store


def door_of(lab: World) -> Door:
    return lab.engine._orchestrator.door


def wide() -> CloudDescription:
    """A cloud with addresses for all."""
    text = CLOUD.format(hosts=2, memory=8192, space=100_000)
    return CloudDescription.parse(text.replace("10.0.0.0/24", "10.0.0.0/12").replace("10.1.0.0/24", "10.16.0.0/12"))


def asked(number: int) -> DeployVM:
    return DeployVM(name=f"vm-{number}", offering="small", template="t", start=False)


async def turns(count: int = 20) -> None:
    """Let everything that can go on, go on."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def held(copy: Copy, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, HeldUp]]:
    """An engine whose store writes nothing yet; so few requests are let in."""
    monkeypatch.setattr(doors, "REQUESTS", ROOM)
    monkeypatch.setattr(drives, "IN_FLIGHT", ROOM)
    async with copy("current") as url, world(tmp_path, url=url, description=wide()) as lab:
        await lab.engine._orchestrator.drives.lease.ensure()
        held_up = HeldUp(store_of(lab)._writer, monkeypatch)
        yield lab, held_up
        held_up.go.set()


async def test_ten_thousand_requests_at_once_are_a_bounded_number_of_decisions(held: tuple[World, HeldUp]) -> None:
    lab, held_up = held
    callers = [asyncio.create_task(lab.engine.deploy(asked(number))) for number in range(MANY)]
    await held_up.piled_up()
    assert held_up.batches == [] and 0 < held_up.most <= ROOM  # nothing is written, and no more is decided
    assert door_of(lab).waiting == MANY - ROOM
    for caller in callers[2 * ROOM :]:
        caller.cancel()
    await turns()
    assert door_of(lab).waiting == ROOM  # who gives up has left
    held_up.go.set()
    handles = await asyncio.gather(*callers[: 2 * ROOM])
    await lab.engine.idle()
    assert max(held_up.batches) <= 2 * ROOM and held_up.most <= 2 * ROOM  # with those of operations under way
    assert {(await handle.ended()).state for handle in handles} == {"Succeeded"}
    assert await lab.engine.counts() == {"Allocated": 2 * ROOM}  # those who left are not there


async def test_closing_wakes_all_who_wait_and_writes_what_was_let_in(held: tuple[World, HeldUp]) -> None:
    lab, held_up = held
    callers = [asyncio.create_task(lab.engine.deploy(asked(number))) for number in range(4 * ROOM)]
    await held_up.piled_up()
    closing = asyncio.create_task(lab.engine._orchestrator.close())
    await turns()
    assert [caller.done() for caller in callers] == [False] * ROOM + [True] * (3 * ROOM)
    assert all(isinstance(caller.exception(), EngineClosed) for caller in callers[ROOM:])
    held_up.go.set()
    await asyncio.gather(*callers[:ROOM])
    await closing
    assert await lab.engine.counts() == {"Allocated": ROOM}
    with pytest.raises(EngineClosed):
        await door_of(lab).enter()


async def test_what_is_under_way_does_not_wait_behind_new_requests(held: tuple[World, HeldUp]) -> None:
    lab, held_up = held
    held_up.go.set()
    first = await lab.engine.deploy(lab.request("first"))
    held_up.go.clear()
    held_up.here.clear()
    callers = [asyncio.create_task(lab.engine.deploy(asked(number))) for number in range(4 * ROOM)]
    await held_up.piled_up()
    assert door_of(lab).waiting > 0
    held_up.go.set()
    await first.wait()
    await asyncio.gather(*callers)


async def test_where_too_much_is_under_way_requests_wait_until_something_ends(
    held: tuple[World, HeldUp], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, held_up = held
    held_up.go.set()
    monkeypatch.setattr(doors, "UNDER_WAY", 1)
    lab.simulator.slow("nfs", 0.05)
    lab.simulator.slow("san", 0.05)
    first = await lab.engine.deploy(lab.request("first"))
    second = asyncio.create_task(lab.engine.deploy(lab.request("second")))
    await turns()
    assert door_of(lab).waiting == 1 and lab.engine.under_way() == 1
    await first.wait()
    await (await second).wait()


async def test_a_read_between_batches_waits_for_one_batch_however_many_follow(held: tuple[World, HeldUp]) -> None:
    lab, held_up = held
    callers = [asyncio.create_task(lab.engine.deploy(asked(number))) for number in range(8 * ROOM)]
    await held_up.piled_up()
    held_up.go.set()
    done: list[int] = []
    await store_of(lab).read_between(lambda: done.append(len(held_up.batches)))
    assert done[0] <= 2 and door_of(lab).waiting > 0  # while hundreds were still to be written
    await asyncio.gather(*callers)


async def test_a_reader_is_answered_while_batches_follow_one_another(held: tuple[World, HeldUp]) -> None:
    lab, held_up = held
    held_up.go.set()
    stop = asyncio.Event()

    async def ask(caller: int) -> None:
        number = 0
        while not stop.is_set():
            await lab.engine.deploy(asked(caller * 1_000_000 + number))
            number += 1

    callers = [asyncio.create_task(ask(caller)) for caller in range(8)]
    seen = []
    for number in range(10):
        await lab.engine.deploy(asked(100_000_000 + number))
        seen.append(sum((await lab.engine.counts()).values()))
    stop.set()
    await asyncio.gather(*callers)
    assert seen == sorted(set(seen))  # each read a later moment, with writers at work all the time


class DoorModel(RuleBasedStateMachine):
    """The door beside a plain list of who is inside and who is not."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.operations = 0
        self.door = Door(lambda: self.operations)
        self.inside = 0
        self.callers: list[asyncio.Task[None]] = []

    def settle(self) -> None:
        self.loop.run_until_complete(turns(3))
        for caller in [each for each in self.callers if each.done()]:
            self.callers.remove(caller)
            self.inside += not caller.cancelled() and caller.exception() is None

    @rule()
    def come(self) -> None:
        """Somebody asks."""
        self.callers.append(self.loop.create_task(self.door.enter()))
        self.settle()

    @precondition(lambda self: self.inside)
    @rule()
    def leave(self) -> None:
        """Somebody is done; the longest waiting is next."""
        first, free = self.callers[0] if self.callers else None, self.operations < doors.UNDER_WAY
        self.door.leave()
        self.inside -= 1
        self.loop.run_until_complete(turns(3))
        assert first is None or first.done() == free
        self.settle()

    @precondition(lambda self: self.callers)
    @rule(data=st.data(), let_in=st.booleans())
    def give_up(self, data: st.DataObject, let_in: bool) -> None:
        """Somebody is cancelled, perhaps just when it was let in."""
        if let_in and self.inside:
            self.door.leave()
            self.inside -= 1
        caller = data.draw(st.sampled_from(self.callers))
        caller.cancel()
        self.settle()
        assert caller.cancelled()

    @rule(operations=st.integers(0, 3))
    def go_on(self, operations: int) -> None:
        """Operations begin and end."""
        self.operations = operations
        self.door.look()
        self.settle()

    @invariant()
    def as_many_as_may_be_are_inside(self) -> None:
        """No place is lost, and none is given twice."""
        assert self.inside <= doors.REQUESTS and self.door.waiting == len(self.callers)
        if self.callers:
            assert self.inside == doors.REQUESTS or self.operations >= doors.UNDER_WAY

    def teardown(self) -> None:
        """Closing wakes all."""
        self.door.close()
        self.loop.run_until_complete(turns(3))
        assert all(isinstance(caller.exception(), EngineClosed) for caller in self.callers)
        self.loop.close()


@pytest.mark.parametrize("room", [1, 3])
def test_the_door_loses_no_place_and_nobody(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "REQUESTS", room)
    monkeypatch.setattr(doors, "UNDER_WAY", 3)
    run_state_machine_as_test(DoorModel, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
