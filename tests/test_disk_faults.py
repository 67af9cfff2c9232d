"""What the operations on disks promise when things go wrong: whatever fails, the disk, its guest and the books are as
before, and it may be asked again.

Every effect is made to fail in every way a driver can refuse; each test asserts that its fault fired. Every effect is
also performed twice in a row, and the world must not notice.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interlock import InvalidRequest, Policy, Way
from interlock.drivers.simulator import FaultKind
from interlock.schema.commands import AnyCommand, Capability, DeleteVolume, PlugVolume, ResizeVolume, UnplugVolume
from tests.disks import DONE, GREATER, SITUATIONS, SIZE, Situation, attach, create, delete, detach, grow, unmoved
from tests.test_operations import rebooted, slow
from tests.witness import Recorder, Twice, noted
from tests.world import World, world

EFFECTS = [pytest.param(each, command, id=f"{each.name}-{command}") for each in SITUATIONS for command in each.commands]
BY_NAME = {each.name: each for each in SITUATIONS}
every_effect = pytest.mark.parametrize(("situation", "command"), EFFECTS)
ABOUT_DISKS: set[type[AnyCommand]] = {PlugVolume, UnplugVolume, ResizeVolume, DeleteVolume}


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
async def test_these_are_all_effects(tmp_path: Path, database_url: str, situation: Situation) -> None:
    made, wrap = noted(Recorder)
    async with world(tmp_path, url=database_url, wrap=wrap) as lab:
        await situation.ready(lab)
        made[0].seen.clear()
        operation = await situation.ask(lab)
        assert (operation.kind, operation.state) == (situation.kind, DONE)
        assert tuple(made[0].seen) == situation.commands
        await lab.assert_sound()


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
async def test_every_effect_run_twice_leaves_the_same_world(tmp_path: Path, situation: Situation) -> None:
    made, wrap = noted(Twice)
    async with world(tmp_path, wrap=wrap) as lab:
        await situation.ready(lab)
        assert (await situation.ask(lab)).state == DONE
        assert made[0].seen
        await lab.assert_sound()


def test_every_command_about_disks_is_made_to_fail() -> None:
    assert {each.__name__ for each in ABOUT_DISKS} <= {name for each in SITUATIONS for name in each.commands}


@every_effect
async def test_a_failure_at_any_step_leaves_the_disk_as_it_was(
    tmp_path: Path, database_url: str, situation: Situation, command: str
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await situation.ready(lab)
        fault = await lab.order(command, FaultKind.REFUSE_VM)
        await assert_undone(lab, situation)
        assert await lab.simulator.fired(fault) == 1


@every_effect
async def test_an_effect_that_happened_unheard_is_undone(
    tmp_path: Path, database_url: str, situation: Situation, command: str
) -> None:
    # A pool that is not heard is avoided, and the other one is asked.
    tries = Policy().tries * (2 if command == "CreateVolume" else 1)
    async with world(tmp_path, url=database_url) as lab:
        await situation.ready(lab)
        fault = await lab.order(command, FaultKind.LOST_REPLY, times=tries)
        await assert_undone(lab, situation, happened=True)
        assert await lab.simulator.fired(fault) == tries


async def assert_undone(lab: World, situation: Situation, *, happened: bool = False) -> None:
    """The operation fails and leaves nothing behind; asked again, it succeeds."""
    books, disk = await lab.books(), await lab.engine.disk("data")
    operation = await situation.ask(lab)
    assert operation.state == "Failed" and operation.error
    left = await lab.engine.disk("data")
    if situation.kind == "delete-disk":
        # What is deleted cannot come back: it holds its space until it is known to be gone.
        assert left.state == "Destroy" and left.pool_id == disk.pool_id
        assert (await lab.books()).pools == books.pools
        assert ((await lab.books()).truth == books.truth) is not happened
    else:
        assert unmoved(left) == unmoved(disk)
        assert rebooted(await lab.books()) == rebooted(books)
        assert (await lab.books()).charged == books.charged
    await lab.assert_sound()
    assert (await situation.ask(lab)).state == DONE
    await lab.assert_sound()


@pytest.mark.parametrize("kind", [FaultKind.TRANSIENT, FaultKind.FAIL_UNKNOWN, FaultKind.LOST_REPLY])
@every_effect
async def test_what_may_succeed_when_asked_again_is_asked_again(
    tmp_path: Path, situation: Situation, command: str, kind: FaultKind
) -> None:
    async with world(tmp_path) as lab:
        await situation.ready(lab)
        fault = await lab.order(command, kind, times=2)
        assert (await situation.ask(lab)).state == DONE
        assert await lab.simulator.fired(fault) == 2
        await lab.assert_sound()


@every_effect
async def test_a_cancelled_operation_leaves_the_disk_as_it_was(
    tmp_path: Path, situation: Situation, command: str
) -> None:
    async with world(tmp_path) as lab:
        await situation.ready(lab)
        before = await lab.engine.disk("data")
        fault = await lab.order(command, FaultKind.TRANSIENT)
        lab.engine._orchestrator.commits.rules = slow(lab)
        task = asyncio.ensure_future(situation.ask(lab))
        while not await lab.simulator.fired(fault):
            await asyncio.sleep(0)
        (handle,) = await lab.engine.handles()
        await handle.cancel()
        operation = await task
        assert operation.state == "Cancelled"
        left = await lab.engine.disk("data")
        if situation.kind == "delete-disk":
            assert left.state == "Destroy"
        else:
            assert unmoved(left) == unmoved(before)
        await lab.assert_sound()


async def test_a_pool_that_refuses_is_avoided_and_another_takes_the_disk(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await BY_NAME["attach-new"].ready(lab)
        fault = await lab.order("CreateVolume", FaultKind.REFUSE)
        operation = await attach(lab)
        assert await lab.simulator.fired(fault) == 1
        assert (operation.state, operation.attempt) == (DONE, 2)
        (avoided,) = operation.avoid
        disk = await lab.engine.disk("data")
        assert disk.pool_id and disk.pool_id != avoided.id
        await lab.assert_sound()


async def test_a_host_that_refuses_the_disk_is_the_only_one_there_is(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await BY_NAME["attach-new"].ready(lab)
        before = await lab.engine.disk("data")
        fault = await lab.order("PlugVolume", FaultKind.REFUSE)
        operation = await attach(lab)
        assert await lab.simulator.fired(fault) == 1
        assert operation.state == "Failed"
        assert operation.error and f"host {(await lab.vm()).host_id} refused it" in operation.error
        assert unmoved(await lab.engine.disk("data")) == unmoved(before)
        await lab.assert_sound()


UNDONE_BY = (("attach-ready", "PlugVolume", "UnplugVolume"), ("attach-new", "PlugVolume", "DeleteVolume"))


@pytest.mark.parametrize(("name", "command", "undo"), UNDONE_BY)
async def test_an_undo_that_is_refused_is_stuck_until_a_person_resolves_it(
    tmp_path: Path, database_url: str, name: str, command: str, undo: str
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await BY_NAME[name].ready(lab)
        before = await lab.engine.disk("data")
        faults = [await lab.order(each, FaultKind.REFUSE_VM) for each in (command, undo)]
        operation = await attach(lab)
        assert [await lab.simulator.fired(fault) for fault in faults] == [1, 1]
        assert operation.state == "Stuck"
        for refused in (lab.engine.delete_disk("data"), lab.engine.stop("web")):
            with pytest.raises(InvalidRequest, match="resolve it first"):
                await refused
        resolved = await (await lab.engine.resolve(operation.id, Way.UNDO, "well again")).ended()
        assert resolved.state == "Failed"
        assert unmoved(await lab.engine.disk("data")) == unmoved(before)
        await lab.assert_sound()


async def test_while_a_disk_grows_its_pool_and_its_account_hold_the_greater_size(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await BY_NAME["grow-plugged"].ready(lab)
        await lab.order("ResizeVolume", FaultKind.REFUSE_VM, times=2)
        operation = await grow(lab)
        assert operation.state == "Stuck", "its undo is refused as well"
        disk = await lab.engine.disk("data")
        assert (disk.state, disk.size_mib) == ("Resizing", GREATER)
        assert [each for each in await lab.engine.check() if each.code == "ledger"] == []
        resolved = await (await lab.engine.resolve(operation.id, Way.ACCEPT, "it has the former size")).ended()
        assert resolved.state == "Failed"
        assert (await lab.engine.disk("data")).size_mib == SIZE
        await lab.assert_sound()


class Unpluggable(Recorder):
    """A hypervisor that cannot change the disks of a guest that runs."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset(Capability) - {Capability.HOT_PLUG}


async def test_without_hot_plug_a_guest_must_be_stopped_first(tmp_path: Path) -> None:
    made, wrap = noted(Unpluggable)
    async with world(tmp_path, wrap=wrap) as lab:
        await lab.deploy()
        await create(lab)
        with pytest.raises(InvalidRequest, match="stop it first"):
            await attach(lab)
        await lab.run("stop")
        assert (await attach(lab)).state == DONE
        assert (await lab.run("start")).state == DONE
        await lab.assert_sound()
        with pytest.raises(InvalidRequest, match="stop it first"):
            await detach(lab)
        await lab.run("stop")
        assert (await detach(lab)).state == DONE
        assert (await delete(lab)).state == DONE
        assert not {"PlugVolume", "UnplugVolume"} & set(made[0].seen)
        await lab.assert_sound()
