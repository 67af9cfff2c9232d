"""Callers that give up, and plug-ins, drivers and loggers that misbehave: nothing is lost, and the culprit is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from interlock import Engine, InvalidRequest, NicRequest, Way
from interlock.drivers.simulator import FaultKind, Simulator
from interlock.engine.orchestrator import drives
from interlock.engine.orchestrator.clock import now
from interlock.planners.protocol import Address, Plan
from interlock.schema.commands import Refusal, Refused, Scope
from interlock.schema.errors import NoRoom, PluginError, StoreError
from tests.world import World, world


async def assert_nothing_is_lost(lab: World) -> None:
    """Every operation has ended, every VM is where it can be asked again."""
    await asyncio.wait_for(lab.engine.idle(), 30)
    for vm in await lab.vms():
        for operation in await lab.engine.operations(vm.id):
            assert operation.state in ("Succeeded", "Failed", "Cancelled", "Stuck")
    await lab.assert_sound()


async def test_a_caller_that_gives_up_waiting_loses_no_operation(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        for number in range(40):
            asking = asyncio.create_task(lab.engine.deploy(lab.request(f"vm-{number}", start=False)))
            await asyncio.sleep(0.0003 * (number % 10))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await assert_nothing_is_lost(lab)


async def test_waiting_operations_may_be_cancelled_by_many_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drives, "IN_FLIGHT", 1)
    async with world(tmp_path, latency=0.02) as lab:
        handles = [await lab.engine.deploy(lab.request(f"vm-{number}")) for number in range(5)]
        asked = [asyncio.create_task(handles[4].cancel()) for _ in range(3)]
        asked[0].cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert (await handles[4].ended()).state == "Cancelled"
        await assert_nothing_is_lost(lab)


class Says:
    """A planner or guru that does whatever a test wants."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self.plan = self.allocate = lambda *_: does()


def raises(error: BaseException) -> Callable[[], Any]:
    """Something that raises."""

    def act() -> None:
        raise error

    return act


PLANS = [
    (raises(NoRoom("no")), "NoRoom"),
    (raises(StoreError("no")), "StoreError"),
    (raises(ValueError("\udcff\0")), "ValueError"),
    (lambda: None, "NoneType"),
    (lambda: Plan(host_id="nowhere", pools={}, rejected=()), "nowhere"),
    (lambda: Plan(host_id="h-1", pools={}, rejected=()), "pool None"),
]


@pytest.mark.parametrize(("does", "words"), PLANS)
async def test_a_planner_with_a_bug_fails_its_operations_and_is_named(
    tmp_path: Path, does: Callable[[], Any], words: str
) -> None:
    async with world(tmp_path, planners={"mine": Says(does)}) as lab:
        operation = await lab.deploy(planner="mine")
        assert operation.state == "Failed"
        assert operation.error and "planner mine has a bug" in operation.error and words in operation.error
        assert (await lab.books()).empty


def address(ip: str, mac: str = "02:00:00:00:00:01") -> Address:
    """An answer of a guru."""
    return Address(ip_address=ip, mac_address=mac, gateway="10.0.0.1", netmask="255.255.255.0")


@pytest.mark.parametrize(
    "does",
    [
        raises(ValueError("no")),
        lambda: None,
        lambda: address("fd00::1"),
        lambda: address(""),
        lambda: address("10.9.0.1"),
        lambda: address("10.0.0.9", mac="none"),
    ],
)
async def test_a_guru_with_a_bug_is_named_and_poisons_nothing(tmp_path: Path, does: Callable[[], Any]) -> None:
    async with world(tmp_path, gurus={"direct": Says(does)}) as lab:
        with pytest.raises(PluginError, match="guru direct has a bug: in network net"):
            await lab.deploy()
        assert (await lab.books()).empty
        lab.engine._orchestrator.commits.rules.gurus["direct"].allocate = lambda *_: address("10.0.0.9")  # type: ignore[method-assign]
        assert (await lab.deploy()).state == "Succeeded"
        with pytest.raises(PluginError, match="taken"):
            await lab.deploy("another")


class Mad:
    """A driver that answers StartDomain as a test wants."""

    does: Callable[[], Any]

    def __init__(self, simulator: Simulator) -> None:
        self.attach, self.close, self._perform = simulator.attach, simulator.close, simulator.perform
        self.capabilities = simulator.capabilities

    async def perform(self, command: Any, *, token: str, fence: int) -> Any:
        if type(command).__name__ == "StartDomain":
            return type(self).does()
        return await self._perform(command, token=token, fence=fence)


@pytest.mark.parametrize(
    "does",
    [
        raises(asyncio.CancelledError()),
        raises(RuntimeError("\udcff")),
        lambda: None,
        lambda: Refused(kind="permanent", scope="host", reason="x" * 1_000_000),  # type: ignore[arg-type]
        lambda: Refused(kind="sideways", scope="host", reason="x"),  # type: ignore[arg-type]
        lambda: Refused(kind=Refusal.PERMANENT, scope=Scope.POOL, reason="\0"),
    ],
)
async def test_whatever_a_driver_answers_the_operation_ends(
    tmp_path: Path, does: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(100, "interlock")  # xdist cannot carry a log with such text in it
    async with world(tmp_path, wrap=type("Mad", (Mad,), {"does": staticmethod(does)})) as lab:
        operation = await lab.deploy()
        assert operation.state == "Failed"
        assert operation.error and len(operation.error) < 20_000
        assert {entry.id for entry in operation.avoid} <= {"h-1", "h-2", "nfs", "san"}
        assert (await lab.books()).empty


async def test_an_embedders_logging_cannot_stop_the_engine(tmp_path: Path) -> None:
    def broken(*_: object) -> Any:
        raise BrokenPipeError("stdout is gone")

    structlog.configure(processors=[broken])
    try:
        async with world(tmp_path) as lab:
            assert (await lab.deploy()).state == "Succeeded"
            await assert_nothing_is_lost(lab)
    finally:
        structlog.reset_defaults()


async def test_the_undo_waits_for_what_it_undoes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver may take its time to end a call that was cancelled; nothing else is asked of it before."""
    seen: list[str] = []

    class Slow(Mad):
        async def perform(self, command: Any, *, token: str, fence: int) -> Any:
            name = type(command).__name__
            if name == "StartDomain":
                try:
                    await asyncio.sleep(60)
                finally:
                    await asyncio.sleep(0.1)
                    seen.append("StartDomain ended")
            seen.append(name)
            return await self._perform(command, token=token, fence=fence)

    async with world(tmp_path, wrap=Slow) as lab:
        handle = await lab.engine.deploy(lab.request())
        while len(seen) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        for timer in [each for each in asyncio.get_running_loop()._scheduled if "ring" in repr(each)]:  # type: ignore[attr-defined]
            timer._run()
            timer.cancel()
        assert (await handle.ended()).state == "Failed"
        assert seen.index("StartDomain ended") < seen.index("StopDomain")


@pytest.mark.parametrize("name", ["web\n", "-web", "web-", "", "1web", "w" * 64, "wéb"])
async def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    async with world(tmp_path) as lab:
        with pytest.raises(InvalidRequest, match="name"):
            await lab.deploy(name)


async def test_requests_have_bounds(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        with pytest.raises(InvalidRequest, match="length <= 64"):
            await lab.deploy(data_disks_mib=(1,) * 65)
        with pytest.raises(InvalidRequest, match="length <= 32"):
            await lab.deploy(nics=(NicRequest("net"),) * 33)
        assert (await lab.deploy(data_disks_mib=(1,) * 64)).state == "Succeeded"


@pytest.mark.parametrize("name", ["a?b.db", "a%25b.db", "a b#c.db", "ü.db"])
async def test_a_path_is_the_name_of_the_file(tmp_path: Path, name: str) -> None:
    async with Engine.open(str(tmp_path / name)):
        assert (tmp_path / name).exists()
    with pytest.raises(StoreError, match="take no options"):
        async with Engine.open(f"sqlite:///{tmp_path}/x.db?mode=ro"):
            pass


async def test_a_retry_days_later_has_its_time_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as lab:
        await lab.order("StartDomain", FaultKind.REFUSE_VM)
        await lab.order("StopDomain", FaultKind.REFUSE_VM)
        stuck = await lab.deploy()
        assert stuck.state == "Stuck"
        days = 3 * 24 * 3600 * 1_000_000
        for module in ("commits", "drive"):
            monkeypatch.setattr(f"interlock.engine.orchestrator.{module}.now", lambda: now() + days)
        ended = await (await lab.engine.resolve(stuck.id, Way.UNDO, "it is well")).ended()
        assert ended.state == "Failed"
        assert (await lab.books()).empty


async def test_whoever_asks_is_written_down_whatever_they_are_called(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        handle = await lab.engine.deploy(lab.request(), actor="caf\udce9\0")
        assert (await handle.wait()).actor == "caf\\udce9\\0"
