"""The engine as an embedder meets it: handles, lists, subscriptions, several engines, closing, and kills."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from interlock import CloudDescription, DeployVM, Engine, InvalidRequest, OperationFailed, Policy, Transition
from interlock.drivers.simulator import FaultKind, Simulator
from interlock.engine.orchestrator import drives
from interlock.schema.errors import EngineClosed, NotFound, PluginError, StoreError
from tests.world import CLOUD, QUICK, cloud, world


async def test_wait_returns_the_record_or_raises_with_it(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        handle = await lab.engine.deploy(lab.request())
        assert (await handle.wait()).state == "Succeeded"
        await lab.order("StopDomain", FaultKind.REFUSE_VM)
        refused = await lab.engine.stop("web")
        with pytest.raises(OperationFailed, match="stop failed") as failed:
            await refused.wait()
        assert failed.value.operation == await refused.ended()


async def test_pages_list_every_vm_once_in_the_order_of_their_age(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        for number in range(7):
            await lab.engine.deploy(lab.request(f"vm-{number}", start=number % 2 == 0))
        await lab.engine.idle()
        names, after = [], None
        while True:
            page = await lab.engine.vms(after=after, limit=3)
            names += [vm.name for vm in page.vms]
            if (after := page.next) is None:
                break
        assert names == [f"vm-{number}" for number in range(7)]
        allocated = await lab.engine.vms(state="Allocated")
        assert [vm.name for vm in allocated.vms] == ["vm-1", "vm-3", "vm-5"]
        assert allocated.next is None
        assert (await lab.engine.vms(host="nowhere")).vms == []
        with pytest.raises(InvalidRequest, match="1 to 1000"):
            await lab.engine.vms(limit=0)


async def test_a_subscriber_sees_every_transition_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        early = asyncio.create_task(_collect(lab.engine, 0))
        await asyncio.gather(*(lab.deploy(f"vm-{number}") for number in range(5)))
        late = asyncio.create_task(_collect(lab.engine, 20))
        await lab.run("stop", "vm-0")
        await asyncio.sleep(0)
        total = (await lab.engine.history((await lab.vm("vm-0")).id))[-1].seq
        seen = await asyncio.wait_for(early, 10)
        assert [each.seq for each in seen] == list(range(1, total + 1))
        assert [each.seq for each in await asyncio.wait_for(late, 10)] == list(range(21, total + 1))


async def _collect(engine: Engine, after: int) -> list[Transition]:
    """Collect until the stop of vm-0 has succeeded."""
    seen, stopped = [], 0
    async for transition in engine.subscribe(after):
        seen.append(transition)
        if (transition.event, transition.destination) == ("OperationSucceeded", "Stopped"):
            stopped = transition.seq
        if transition.machine == "operation" and stopped and transition.event == "OperationSucceeded":
            break
    return seen


async def test_a_subscription_ends_when_the_engine_closes(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        listening = asyncio.create_task(_collect(lab.engine, 0))
        await asyncio.sleep(0.05)
    assert [row.machine for row in await asyncio.wait_for(listening, 5)] == ["cloud"]


async def test_two_engines_in_one_process_do_not_know_of_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with world(tmp_path / "a") as one, world(tmp_path / "b") as other:
        await asyncio.gather(one.deploy("same"), other.deploy("same"), other.deploy("more"))
        assert await one.engine.counts() == {"Running": 1}
        assert await other.engine.counts() == {"Running": 2}


async def test_two_engines_on_one_database_share_its_room_exactly(tmp_path: Path) -> None:
    """Neither lets the other's operations be driven twice, and together they fill the hosts to the last place."""
    small = cloud(hosts=2, memory=4096)
    async with world(tmp_path, description=small) as one:
        async with Engine.open(
            str(tmp_path / "interlock.db"), policy=QUICK, drivers={"simulator": one.simulator}
        ) as other:
            asked = [await (one.engine, other)[number % 2].deploy(one.request(f"vm-{number}")) for number in range(12)]
            ends = [await handle.ended() for handle in asked]
        assert sum(each.state == "Succeeded" for each in ends) == 8
        assert await one.engine.counts() == {"Error": 4, "Running": 8}
        await one.assert_sound()


async def test_a_second_engine_leaves_alone_what_a_living_one_drives(tmp_path: Path) -> None:
    async with world(tmp_path, latency=0.1) as one:
        handles = [await one.engine.deploy(one.request(f"vm-{number}")) for number in range(5)]
        async with Engine.open(str(tmp_path / "interlock.db"), drivers={"simulator": one.simulator}) as other:
            assert other.under_way() == 0
            assert (await (await other.handle(handles[0].id)).wait()).state == "Succeeded"
        assert {(await handle.ended()).state for handle in handles} == {"Succeeded"}
        assert await _workers(one.engine) == 1


async def test_closing_leaves_no_task_and_no_thread(tmp_path: Path) -> None:
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    async with world(tmp_path, latency=0.01) as lab:
        for number in range(20):
            await lab.engine.deploy(lab.request(f"vm-{number}", start=number % 3 > 0))
        listening = lab.engine.subscribe(0)
        await anext(listening)
        await listening.aclose()
    assert asyncio.all_tasks() == tasks
    assert set(threading.enumerate()) == threads


async def test_what_closing_interrupts_goes_on_at_the_next_open(tmp_path: Path) -> None:
    async with world(tmp_path, description=cloud(hosts=4), latency=0.2) as lab:
        handles = [await lab.engine.deploy(lab.request(f"vm-{number}")) for number in range(20)]
    with pytest.raises(EngineClosed):
        await handles[0].wait()
    async with world(tmp_path) as lab:
        await lab.engine.idle()
        assert await lab.engine.counts() == {"Running": 20}
        assert await _workers(lab.engine) == 2, "nothing was interrupted"
        await lab.assert_sound()


async def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        pass
    with pytest.raises(EngineClosed, match="open it again"):
        await lab.engine.deploy(lab.request())


async def test_no_more_than_so_many_are_driven_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drives, "IN_FLIGHT", 3)
    async with world(tmp_path, latency=0.05) as lab:
        handles = [await lab.engine.deploy(lab.request(f"vm-{number}")) for number in range(12)]
        most = 0
        while lab.engine.under_way():
            most = max(most, len(lab.engine._orchestrator.drives._by_id))
            await asyncio.sleep(0.001)
        assert most == 3
        assert {(await handle.ended()).state for handle in handles} == {"Succeeded"}


async def test_a_queued_operation_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drives, "IN_FLIGHT", 1)
    async with world(tmp_path, latency=0.05) as lab:
        first = await lab.engine.deploy(lab.request("first"))
        second = await lab.engine.deploy(lab.request("second"))
        await second.cancel()
        assert (await second.ended()).state == "Cancelled"
        assert (await first.ended()).state == "Succeeded"
        await lab.assert_sound()


async def test_a_defect_of_ours_is_stuck_and_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as lab:
        monkeypatch.setattr("interlock.engine.core.steps.place.demand_of", lambda _: 1 / 0)
        operation = await lab.deploy()
        assert operation.state == "Stuck"
        assert operation.error and "ZeroDivisionError" in operation.error
        monkeypatch.undo()
        found = await lab.engine.check()
        assert [finding.code for finding in found] == ["stuck"]


async def test_a_driver_that_raises_is_asked_again_and_then_undone(tmp_path: Path) -> None:
    async with world(tmp_path, wrap=Raising) as lab:
        operation = await lab.deploy()
        assert operation.state == "Failed"
        assert operation.error and "a bug in the driver" in operation.error
        assert len(operation.reasons) == 2
        assert (await lab.books()).empty


class Raising:
    """A driver with a bug: it starts no domain and says so by raising."""

    def __init__(self, simulator: Simulator) -> None:
        self.attach, self.close = simulator.attach, simulator.close
        self._perform = simulator.perform
        self.capabilities = simulator.capabilities

    async def perform(self, command: object, *, token: str, fence: int) -> object:
        if type(command).__name__ == "StartDomain":
            raise ValueError("a bug in the driver")
        return await self._perform(command, token=token, fence=fence)  # type: ignore[arg-type]


async def test_what_is_overdue_is_undone(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        fault = await lab.order("StartDomain", FaultKind.HANG)
        handle = await lab.engine.deploy(lab.request())
        while not await lab.simulator.fired(fault):
            await asyncio.sleep(0.001)
        drive = lab.engine._orchestrator.drives._by_id[handle.id]
        assert drive.case.operation is not None
        # Half an hour passes: the alarm that the deadline set goes off.
        loop = asyncio.get_running_loop()
        alarms = [timer for timer in loop._scheduled if "ring" in repr(timer)]  # type: ignore[attr-defined]
        assert alarms
        for alarm in alarms:
            alarm._run()
            alarm.cancel()
        operation = await asyncio.wait_for(handle.ended(), 10)
        assert operation.state == "Failed"
        assert operation.error and "overdue" in operation.error
        assert (await lab.books()).empty


async def test_openings_that_cannot_be_say_why(tmp_path: Path) -> None:
    for url, words in {
        str(tmp_path / "none.db"): "interlock init",
        "mysql://host/x": "not mysql",
        "sqlite://": "give a file",
        "no such://url": "is not a database URL",
    }.items():
        with pytest.raises(StoreError, match=words):
            async with Engine.open(url, create=False):
                pass


async def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        with pytest.raises(NotFound, match="'nobody'"):
            await lab.engine.start("nobody")
        with pytest.raises(InvalidRequest, match="begins with a hyphen"):
            await lab.engine.deploy(DeployVM(name="-x", offering="small", template="t"))
        with pytest.raises(InvalidRequest, match="not a request"):
            await lab.engine.submit("deploy")  # type: ignore[arg-type]


async def test_a_cloud_that_names_an_unknown_driver_is_refused(tmp_path: Path) -> None:
    text = CLOUD.format(hosts=1, memory=8192, space=1000).replace('name = "h"', 'name = "h"\ndriver = "abacus"')
    async with Engine.open(str(tmp_path / "x.db")) as engine:
        with pytest.raises(PluginError, match="abacus"):
            await engine.load(CloudDescription.parse(text))


async def test_of_many_operations_that_were_overtaken_one_reads_the_figures_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two busy engines overtake each other with each batch: to read once for each operation takes all their time."""
    async with world(tmp_path, description=cloud(hosts=8)) as lab, world(tmp_path) as other:
        await other.deploy("other")
        read, follow = 0, lab.engine._store.follow

        async def counted(*asked: Any) -> bool:
            nonlocal read
            read += 1
            return await follow(*asked)

        monkeypatch.setattr(lab.engine._store, "follow", counted)
        handles = await asyncio.gather(*(lab.engine.deploy(lab.request(f"vm-{number}")) for number in range(20)))
        for handle in handles:
            await handle.wait()
        assert read == 1
        await lab.assert_sound()


async def _workers(engine: Engine) -> int:
    """How many workers have driven deploys; an engine that opens meanwhile may have looked at VMs by itself."""
    vms = (await engine.vms(limit=1000)).vms
    rows = [row for vm in vms for row in await engine.history(vm.id)]
    deploys = {row.entity_id for row in rows if row.changed.get("kind") == "deploy"}
    return len({row.changed.get("worker_id") for row in rows if row.entity_id in deploys} - {None})


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.world import cloud, world

async def main():
    async with world(Path(sys.argv[1]), description=cloud(hosts=8), latency=0.2) as lab:
        for number in range(50):
            await lab.engine.deploy(lab.request(f"vm-{number}"))
        await asyncio.sleep(float(sys.argv[2]))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
"""It kills itself: however busy the machine is, its last deploy, of two effects of 0.2 s, is still under way."""


@pytest.mark.parametrize("after", [0.0, 0.1, 0.2, 0.3])
async def test_a_kill_is_only_a_pause(tmp_path: Path, after: float) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(after)], cwd=Path(__file__).parent.parent, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    async with world(tmp_path, policy=Policy()) as lab:
        await asyncio.wait_for(lab.engine.idle(), 60)
        assert await lab.engine.counts() == {"Running": 50}
        assert await _workers(lab.engine) == 2, "the kill came too late to prove anything"
        await lab.assert_sound()
