"""Operations whose engine died, froze or stumbled, through the real engine: another one ends them, and only one does.

Every test asserts that what it is about happened: a command was held, a drive broke off, a late command arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from interlock import InvalidRequest, Way
from interlock.drivers.simulator import FaultKind
from interlock.engine.core import recovery as rules
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.program import Program
from interlock.engine.orchestrator import log, recovery
from interlock.engine.orchestrator.drive import Drive
from interlock.schema.commands import Done, Refused, ReleaseNic
from interlock.schema.errors import StoreError
from interlock.schema.records import Operation
from tests.bare import sqlite_url
from tests.disks import SITUATIONS, Situation
from tests.dying import AFTER, BEFORE, Holding, doomed, expire
from tests.test_ways_out import assert_at_rest
from tests.witness import noted
from tests.world import World, cloud, world

DEATHS = 5


async def workers(lab: World, vm_id: str | None) -> list[str]:
    """Who drove operations of a VM, in order."""
    assert vm_id is not None
    rows = await lab.engine.history(vm_id)
    return [row.changed["worker_id"] for row in rows if row.changed.get("worker_id")]


async def held(lab: World, driver: Holding, command: str, when: str = BEFORE, kind: str = "deploy") -> Any:
    """Ask for an operation and wait until it is held at a command; returns its handle."""
    driver.hold(command, when=when)
    handle = await (lab.engine.deploy(lab.request()) if kind == "deploy" else getattr(lab.engine, kind)("web"))
    await asyncio.wait_for(driver.held.wait(), 10)
    return handle


# Engines that die


@pytest.mark.parametrize(
    ("command", "when"), [("CreateVolume", AFTER), ("StartDomain", BEFORE), ("StartDomain", AFTER)]
)
async def test_whoever_recovers_and_dies_is_recovered_too(
    tmp_path: Path, empty_url: str, command: str, when: str
) -> None:
    made, wrap = noted(Holding)
    async with doomed(tmp_path, empty_url, wrap, description=cloud()) as lab:
        handle = await held(lab, made[-1], command, when)
    for _ in range(DEATHS):
        async with doomed(tmp_path, empty_url, _holding(wrap, command, when)) as lab:
            assert lab.engine.under_way() == 1
            await asyncio.wait_for(made[-1].held.wait(), 10)
            assert (await lab.engine._store.operation(handle.id)).state == "Running"
    async with world(tmp_path, url=empty_url) as lab:
        await lab.engine.idle()
        assert (await (await lab.engine.handle(handle.id)).ended()).state == "Succeeded"
        assert len(set(await workers(lab, handle.vm_id))) == DEATHS + 2
        await lab.assert_sound()


def _holding(wrap: type[Any], command: str, when: str) -> type[Any]:
    """The driver of an engine that stumbles over the same command as soon as it is open."""

    class Stumbling(wrap):  # type: ignore[misc]
        def __init__(self, simulator: Any) -> None:
            super().__init__(simulator)
            self.hold(command, when=when)

    return Stumbling


async def test_an_engine_that_dies_while_undoing_is_recovered_too(tmp_path: Path, empty_url: str) -> None:
    made, wrap = noted(Holding)
    async with doomed(tmp_path, empty_url, wrap, description=cloud()) as lab:
        await lab.order("StartDomain", FaultKind.REFUSE_VM)
        handle = await held(lab, made[-1], "StopDomain")
    for _ in range(DEATHS):
        async with doomed(tmp_path, empty_url, _holding(wrap, "StopDomain", AFTER)) as lab:
            await asyncio.wait_for(made[-1].held.wait(), 10)
            assert (await lab.engine._store.operation(handle.id)).state == "Undoing"
    async with world(tmp_path, url=empty_url) as lab:
        await lab.engine.idle()
        assert (await (await lab.engine.handle(handle.id)).ended()).state == "Failed"
        assert (await lab.books()).empty


async def test_an_engine_that_was_open_all_along_takes_over_what_somebody_waits_for(
    tmp_path: Path, empty_url: str
) -> None:
    async with world(tmp_path, url=empty_url) as idle:
        await _left_in_flight(tmp_path, empty_url)
        (vm,) = (await idle.engine.vms()).vms
        (operation,) = await idle.engine.operations(vm.id)
        ended = await asyncio.wait_for((await idle.engine.handle(operation.id)).ended(), 10)
        assert ended.state == "Succeeded"
        await idle.assert_sound()


async def test_an_engine_that_is_refused_for_what_nobody_drives_takes_it_over(tmp_path: Path, empty_url: str) -> None:
    made, wrap = noted(Holding)
    async with world(tmp_path, url=empty_url, wrap=wrap) as idle:
        made[-1].hold("StartDomain")  # it may hear of the death before it is asked, and must not be done by then
        await _left_in_flight(tmp_path, empty_url)
        with pytest.raises(InvalidRequest, match="is busy"):
            await idle.engine.stop("web")
        made[-1].let_go.set()
        await asyncio.wait_for(_runs(idle), 10)
        await idle.engine.idle()
        assert (await idle.run("stop")).state == "Succeeded"


async def test_an_engine_that_writes_after_another_died_takes_over_what_it_left(tmp_path: Path, empty_url: str) -> None:
    async with world(tmp_path, url=empty_url) as idle:
        await idle.deploy("mine", start=False)
        await _left_in_flight(tmp_path, empty_url)
        assert (await idle.run("start", "mine")).state == "Succeeded"
        await asyncio.wait_for(_runs(idle), 10)
        await idle.engine.idle()
        await idle.assert_sound()


async def _left_in_flight(folder: Path, url: str) -> None:
    """Another engine begins a deploy, and dies."""
    made, wrap = noted(Holding)
    async with doomed(folder, url, wrap) as other:
        await held(other, made[-1], "StartDomain")


async def _runs(lab: World) -> None:
    """Wait until the VM runs; nothing is asked of the engine meanwhile, reading takes nothing over."""
    while (await lab.vm()).state != "Running":
        await asyncio.sleep(0.005)


async def test_a_living_engine_is_left_alone_until_its_lease_ends(tmp_path: Path, empty_url: str) -> None:
    made, wrap = noted(Holding)
    async with world(tmp_path, url=empty_url, wrap=wrap) as one:
        handle = await held(one, made[-1], "StartDomain")
        async with world(tmp_path, url=empty_url) as other:
            assert other.engine.under_way() == 0
            alarm = other.engine._orchestrator.drives.recovery._alarm
            assert alarm is not None
            assert 20 < alarm.when() - asyncio.get_running_loop().time() < 31
        made[-1].let_go.set()
        assert (await handle.ended()).state == "Succeeded"
        assert len(set(await workers(one, handle.vm_id))) == 1


# Engines that freeze


async def test_a_worker_that_wakes_up_can_neither_commit_nor_act(
    tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "say", lambda level, words, **_: said.append(words))
    made, wrap = noted(Holding)
    async with world(tmp_path, url=empty_url, wrap=wrap) as frozen:
        handle = await held(frozen, made[0], "StartDomain")
        await expire(empty_url)
        refused = await frozen.order("StartDomain", FaultKind.REFUSE_VM)
        async with world(tmp_path, url=empty_url) as other:
            await other.engine.idle()
            assert await other.simulator.fired(refused) == 1
            assert (await other.vm()).state == "Error"
            before = await other.engine.history(handle.vm_id)
            made[0].let_go.set()
            await asyncio.wait_for(frozen.engine.idle(), 10)
            [late] = made[0].answers
            assert isinstance(late, Refused) and "fence" in late.reason
            assert "overtaken" in said
            assert await other.engine.history(handle.vm_id) == before
            assert (await other.books()).empty
        assert (await handle.ended()).state == "Failed"


async def test_what_a_frozen_worker_did_before_is_found_done_and_its_commit_is_refused(
    tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "say", lambda level, words, **_: said.append(words))
    made, wrap = noted(Holding)
    async with world(tmp_path, url=empty_url, wrap=wrap) as frozen:
        handle = await held(frozen, made[0], "StartDomain", AFTER)
        await expire(empty_url)
        # The other one freezes in the same place: both have done it, neither has committed.
        made_later, wrap_later = noted(Holding)
        async with world(tmp_path, url=empty_url, wrap=_holding(wrap_later, "StartDomain", AFTER)) as other:
            await asyncio.wait_for(made_later[-1].held.wait(), 10)
            made[0].let_go.set()
            await asyncio.wait_for(frozen.engine.idle(), 10)
            assert "overtaken" in said
            assert (await other.engine._store.operation(handle.id)).state == "Running"
            made_later[-1].let_go.set()
            await other.engine.idle()
            assert made_later[-1].answers == [Done()]
            assert [domain.boots for domain in (await other.simulator.world()).domains] == [1]
            await other.assert_sound()


# Engines that stumble


async def test_a_drive_that_breaks_off_again_and_again_is_looked_for_with_growing_waits(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "STRANDED", 0.02)
    monkeypatch.setattr(recovery, "MARGIN", 0.001)
    begun: list[float] = []
    run = Drive.run

    async def breaking(drive: Drive) -> Any:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) <= 5:
            raise RuntimeError("a defect that breaks drives off")
        return await run(drive)

    monkeypatch.setattr(Drive, "run", breaking)
    async with world(tmp_path, url=database_url) as lab:
        handle = await lab.engine.deploy(lab.request())
        ended = await asyncio.wait_for(handle.ended(), 20)
        assert ended.state == "Succeeded"
        assert len(begun) == 6
        waits = [later - earlier for earlier, later in pairwise(begun)]
        for number, wait in enumerate(waits, start=1):
            assert wait >= rules.rest_after(handle.id, number) / 1_000_000
        assert rules.rest_after(handle.id, 5) > 2 * rules.rest_after(handle.id, 2)
        assert not lab.engine._orchestrator.drives.recovery._broken, "it ended: what was before does not count"
        await lab.assert_sound()


async def test_of_what_broke_off_here_and_others_have_ended_nothing_is_kept(
    tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaking(drive: Drive) -> Any:
        raise RuntimeError("a defect that breaks drives off")

    async with world(tmp_path, url=empty_url) as one:
        with monkeypatch.context() as patched:
            patched.setattr(Drive, "run", breaking)
            handle = await one.engine.deploy(one.request())
            await asyncio.wait_for(one.engine.idle(), 10)
        mine = one.engine._orchestrator.drives.recovery
        assert list(mine._broken) == [handle.id]
        await mine.look()
        assert list(mine._broken) == [handle.id], "nobody has ended it yet"
        await expire(empty_url)
        async with world(tmp_path, url=empty_url) as other:
            await asyncio.wait_for(other.engine.idle(), 10)
            assert (await (await other.engine.handle(handle.id)).ended()).state == "Succeeded"
        await mine.look()
        assert not mine._broken


async def test_a_look_that_fails_is_repeated_with_growing_waits(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "FAILED", 0.02)
    looked: list[float] = []
    async with world(tmp_path, url=database_url) as lab:
        one, store = lab.engine._orchestrator.drives.recovery, lab.engine._store
        rows = store.rows

        async def sick(query: Any) -> Any:
            looked.append(asyncio.get_running_loop().time())
            if len(looked) <= 4:
                raise StoreError("the database cannot be read now")
            return await rows(query)

        monkeypatch.setattr(store, "rows", sick)
        one.look_in(0)
        while len(looked) < 5:
            await asyncio.sleep(0.005)
        waits = [later - earlier for earlier, later in pairwise(looked)]
        assert all(wait >= 0.01 * 2**number for number, wait in enumerate(waits))
        await asyncio.sleep(0.02)
        assert (one._alarm, one._failures) == (None, 0)


@pytest.mark.parametrize("end", ["Succeeded", "Stuck"])
async def test_what_ended_between_the_look_and_the_taking_is_left(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        if end == "Stuck":
            for command in ("StartDomain", "StopDomain"):
                await lab.order(command, FaultKind.REFUSE_VM)
        operation = await lab.deploy()
        assert operation.state == end
        said: list[str] = []
        monkeypatch.setattr(log, "say", lambda level, words, **_: said.append(words))
        lab.engine._orchestrator.drives.begin(operation.id)
        assert lab.engine.under_way() == 1
        await asyncio.wait_for(lab.engine.idle(), 10)
        assert said == []
        assert await lab.engine._store.operation(operation.id) == operation


# What is overdue


async def test_what_its_table_says_must_not_be_undone_is_left_to_a_person_when_it_is_overdue(
    tmp_path: Path, database_url: str
) -> None:
    made, wrap = noted(Holding)
    async with world(tmp_path, url=database_url, wrap=wrap) as lab:
        await lab.deploy()
        await lab.run("add-nic", network="back")
        made[0].hold("ReleaseNic")
        handle = await lab.engine.remove_nic("web", "back")
        await asyncio.wait_for(made[0].held.wait(), 10)
        made[0].hold()
        for alarm in [timer for timer in asyncio.get_running_loop()._scheduled if "ring" in repr(timer)]:  # type: ignore[attr-defined]
            if "Drive._sleep" in repr(alarm):
                alarm._run()
                alarm.cancel()
        stuck = await asyncio.wait_for(handle.ended(), 15)
        assert stuck.state == "Stuck"
        assert stuck.error and "has been Releasing" in stuck.error and "--retry" in stuck.error
        retried = await lab.engine.resolve(handle.id, Way.RETRY, "the host answers again")
        assert (await retried.ended()).state == "Succeeded"
        assert ReleaseNic.__name__ in made[0].seen
        await lab.assert_sound()


# What this release does not know


@contextmanager
def without(kind: str) -> Iterator[None]:
    """A release that does not know it. The table is put back in its order, which people read."""
    with patch.dict(cast("dict[str, Program]", PROGRAMS)) as programs:
        del programs[kind]
        yield


@pytest.mark.parametrize("command", ["PrepareNic", "StartDomain"])
async def test_what_this_release_does_not_know_is_stuck_when_found_and_frees_its_vm_when_vouched_for(
    tmp_path: Path, empty_url: str, command: str
) -> None:
    made, wrap = noted(Holding)
    async with doomed(tmp_path, empty_url, wrap, description=cloud()) as lab:
        await lab.deploy()
        await lab.run("stop")
        handle = await held(lab, made[-1], command, kind="start")
    with without("start"):
        async with world(tmp_path, url=empty_url) as lab:
            await lab.engine.idle()
            operation = await (await lab.engine.handle(handle.id)).ended()
            assert operation.state == "Stuck"
            assert operation.error and "no operation start" in operation.error and "--accept" in operation.error
            for way in (Way.RETRY, Way.UNDO):
                with pytest.raises(InvalidRequest, match="--accept"):
                    await lab.engine.resolve(handle.id, way, "try")
            with pytest.raises(InvalidRequest, match="resolve it first"):
                await lab.engine.destroy("web")
            resolved = await lab.engine.resolve(handle.id, Way.ACCEPT, "no guest there", actor="ada")
            assert (await resolved.ended()).state == "Failed"
            assert await lab.engine.check() == []
            vm = await lab.vm()
            assert (vm.state, vm.host_id) == ("Stopped", None)
            assert "ada: no guest there" in [row.cause for row in await lab.engine.history(vm.id)]
            assert [(await lab.run(kind)).state for kind in ("destroy", "expunge")] == ["Succeeded"] * 2
            await _assert_rests(lab, operation)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
async def test_a_disk_of_an_operation_this_release_does_not_know_is_free_for_all_requests_again(
    tmp_path: Path, situation: Situation
) -> None:
    made, wrap = noted(Holding)
    url = sqlite_url(tmp_path / "interlock.db")
    async with doomed(tmp_path, url, wrap) as lab:
        await situation.ready(lab)
        made[-1].hold(situation.commands[0])
        asking = asyncio.create_task(situation.ask(lab))
        await asyncio.wait_for(made[-1].held.wait(), 10)
        [operation_id] = lab.engine._orchestrator.driven
    await asyncio.gather(asking, return_exceptions=True)
    with ExitStack() as release:
        release.enter_context(without(situation.kind))
        async with world(tmp_path, url=url) as lab:
            await lab.engine.idle()
            assert (await (await lab.engine.handle(operation_id)).ended()).state == "Stuck"
            resolved = await lab.engine.resolve(operation_id, Way.ACCEPT, "looked at both")
            assert (await resolved.ended()).state == "Failed"
            await assert_at_rest(lab)
            release.close()
            disk = await lab.engine.disk("data")
            if disk.vm_id is not None:
                assert (await (await lab.engine.detach_disk("data")).ended()).state == "Succeeded"
            assert (await (await lab.engine.delete_disk("data")).ended()).state == "Succeeded"
            await assert_at_rest(lab)


async def _assert_rests(lab: World, operation: Operation) -> None:
    """Nothing is owned by records, and nothing is under way."""
    books = await lab.books()
    assert not books.addresses and not books.macs and not any(used for _, used in books.pools)
    assert not any(cpu or memory for _, cpu, memory in books.hosts)
    assert lab.engine.under_way() == 0
