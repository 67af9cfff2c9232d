"""The engine at its edges: what others did before, what was left too long, what remains when all is done."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from interlock import CloudDescription, DeployVM, Engine, InvalidRequest, NicRequest
from interlock.drivers.simulator import Fault, FaultKind, Simulator
from interlock.engine.orchestrator.clock import now
from interlock.schema.commands import AnyCommand, Outcome
from tests.bare import bare, sqlite_url
from tests.world import CLOUD, QUICK, cloud, world


async def test_room_that_others_gave_back_before_our_first_commit_is_seen(tmp_path: Path) -> None:
    async with world(tmp_path, description=cloud(hosts=1, memory=1024)) as one:
        await one.deploy("first")
        async with Engine.open(str(tmp_path / "interlock.db"), drivers={"simulator": one.simulator}) as other:
            await one.run("stop", "first")
            assert (await (await other.deploy(one.request("second"))).ended()).state == "Succeeded"


async def test_drivers_that_loading_opened_answer_until_the_last_effect(tmp_path: Path) -> None:
    async with Engine.open(str(tmp_path / "interlock.db"), policy=QUICK) as engine:
        await engine.load(cloud())
        simulator = engine._drivers.opened["simulator"]
        assert isinstance(simulator, Simulator)
        simulator._latency = 0.05
        for number in range(5):
            await engine.deploy(DeployVM(name=f"vm-{number}", offering="small", template="t"))
    async with Engine.open(str(tmp_path / "interlock.db"), policy=QUICK) as engine:
        await engine.idle()
        assert await engine.counts() == {"Running": 5}
        history = [row for vm in (await engine.vms()).vms for row in await engine.history(vm.id)]
        assert [row for row in history if row.event == "OperationRetry"] == []


async def test_a_network_that_is_named_says_which_zone(tmp_path: Path) -> None:
    text = CLOUD.format(hosts=1, memory=65536, space=10_000)
    other = text.partition("[[accounts]]")[0]
    for name in ("z", "net", "back", "p", "c", "h", "nfs", "san"):
        other = other.replace(f'name = "{name}"', f'name = "{name}2"')
    async with world(tmp_path, description=CloudDescription.parse(text + other)) as lab:
        for number in range(8):
            await lab.engine.deploy(lab.request(f"vm-{number}", nics=(NicRequest("net2"),), start=False))
        assert {vm.zone_id for vm in await lab.vms()} == {"z2"}
        for number in range(32):
            await lab.engine.deploy(lab.request(f"any-{number}", start=False))
        assert {vm.zone_id for vm in await lab.vms() if vm.name.startswith("any")} == {"z", "z2"}


async def test_what_has_waited_too_long_is_undone_instead_of_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = iter([now() + 25 * 3600 * 1_000_000])
    monkeypatch.setattr("interlock.engine.orchestrator.drive.now", lambda: next(later, now()))
    async with world(tmp_path) as lab:
        operation = await lab.deploy()
        assert operation.state == "Failed"
        assert operation.error and "has been Queued for 86400 s" in operation.error
        assert (await lab.books()).empty


async def test_with_nothing_under_way_there_is_no_timer_and_no_task(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        assert [task for task in asyncio.all_tasks() if "interlock" in task.get_name()] == []
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]


async def test_a_stop_that_arrives_after_its_undo_does_not_kill_the_guest(tmp_path: Path) -> None:
    """The undo's fence is higher than that of what it undoes, so what arrives late is refused."""
    async with world(tmp_path) as lab:
        await lab.deploy()
        late = await lab.simulator.order(Fault(kind=FaultKind.LATE, command="StopDomain", times=4, seconds=0.3))
        assert (await lab.run("stop")).state == "Failed"
        assert await lab.simulator.fired(late) == 4
        await asyncio.sleep(0.4)
        assert (await lab.vm()).state == "Running"
        await lab.assert_sound()


@pytest.mark.parametrize(("kind", "command"), [("deploy", "StartDomain"), ("stop", "ReleaseNic")])
async def test_a_cancel_during_the_last_effects_is_still_heeded(tmp_path: Path, kind: str, command: str) -> None:
    async with world(tmp_path, wrap=Gate) as lab:
        gate = Gate.made[-1]
        if kind != "deploy":
            await lab.deploy()
        gate.holds = command
        handle = await (lab.engine.deploy(lab.request()) if kind == "deploy" else lab.engine.stop("web"))
        await gate.reached.wait()
        await handle.cancel()
        gate.open.set()
        assert (await handle.ended()).state == "Cancelled"
        assert (await lab.vm()).state == {"deploy": "Error", "stop": "Running"}[kind]
        await lab.assert_sound()


async def test_a_cancel_of_what_another_engine_has_taken_over_is_refused_in_words(tmp_path: Path) -> None:
    """As after a pause that was longer than the lease: nothing tells the first engine until it tries to commit."""
    async with world(tmp_path, wrap=Gate) as lab:
        gate = Gate.made[-1]
        gate.holds = "StartDomain"
        handle = await lab.engine.deploy(lab.request())
        await gate.reached.wait()
        async with bare(sqlite_url(tmp_path / "interlock.db")) as database:
            await database.run("UPDATE worker SET lease_until = 0")
        async with world(tmp_path) as other:
            await other.engine.idle()
            with pytest.raises(InvalidRequest, match="another process drives the operation now"):
                await handle.cancel()
        gate.open.set()
        assert (await handle.ended()).state == "Succeeded"
        await lab.assert_sound()


class Gate:
    """A driver that holds one kind of command until it is let go."""

    made: ClassVar[list[Gate]] = []

    def __init__(self, simulator: Simulator) -> None:
        self.attach, self.close = simulator.attach, simulator.close
        self._simulator = simulator
        self.capabilities = simulator.capabilities
        self.holds = ""
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self.made.append(self)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        if type(command).__name__ == self.holds:
            self.holds = ""
            self.reached.set()
            await self.open.wait()
        return await self._simulator.perform(command, token=token, fence=fence)


@pytest.mark.parametrize("after", [0.0, 0.001, 0.005, 0.02, 0.05])
async def test_opening_can_be_given_up_at_any_time(tmp_path: Path, after: float) -> None:
    threads = set(threading.enumerate())

    async def opened() -> None:
        async with Engine.open(str(tmp_path / "interlock.db")):
            await asyncio.sleep(60)

    opening = asyncio.create_task(opened())
    await asyncio.sleep(after)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert set(threading.enumerate()) == threads
    assert asyncio.all_tasks() == {asyncio.current_task()}
    async with Engine.open(str(tmp_path / "interlock.db")) as engine:
        assert await engine.check() == []


async def test_a_defect_in_the_store_is_not_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()

        async def broken(*_: object) -> None:
            raise TypeError("a bug of ours")

        monkeypatch.setattr(lab.engine._store._writer.database, "write", broken)
        with pytest.raises(TypeError, match="a bug of ours"):
            await lab.engine.stop("web")
        monkeypatch.undo()
        assert (await lab.run("stop")).state == "Succeeded"


async def test_a_place_that_vms_hold_does_not_move_and_does_not_shrink_below_them(tmp_path: Path) -> None:
    text = CLOUD.format(hosts=2, memory=8192, space=10_000)
    async with world(tmp_path, description=CloudDescription.parse(text)) as lab:
        await lab.deploy()
        elsewhere = CloudDescription.parse(text.replace('name = "z"', 'name = "y"'))
        with pytest.raises(InvalidRequest, match="pod p has zone_id z, which cannot become y"):
            await lab.engine.load(elsewhere)
        with pytest.raises(InvalidRequest, match="move or destroy VMs first"):
            await lab.engine.load(CloudDescription.parse(text.replace("memory_mib = 8192", "memory_mib = 512")))
        assert [zone.id for zone in (await lab.engine.places())["zone"]] == ["z"]
        await lab.engine.load(CloudDescription.parse(text.replace("memory_mib = 8192", "memory_mib = 1024")))
        assert (await lab.deploy("second")).state == "Succeeded"
        assert (await lab.deploy("third")).state == "Failed"
        await lab.assert_sound()


async def test_a_full_cloud_of_many_hosts_is_told_in_few_words(tmp_path: Path) -> None:
    async with world(tmp_path, description=cloud(hosts=130, memory=64)) as lab:
        operation = await lab.deploy("large")
    assert operation.state == "Failed" and operation.error
    assert operation.error.endswith("; and 110 more, see the operation's reasons")
    *named, (place, counted) = operation.reasons
    assert len(named) == 100 and all("MiB memory" in reason for _, reason in named)
    assert (place, counted) == ("zone z", "has 130 hosts: 130 short of memory")
