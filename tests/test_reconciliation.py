"""Whatever happens to guests and hosts behind our back, the records say so soon, and no report ever harms a healthy VM.

The simulator is the outside world. What it tells is true unless a test has it lie; the truth is read from its world.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from interlock import Engine, OperationFailed
from interlock.drivers.simulator import FaultKind, Power, Simulator
from interlock.embed.strays import Stray
from interlock.engine.orchestrator import reconciliation
from interlock.schema.commands import Done, LookForDomain
from interlock.schema.errors import EngineClosed, InvalidRequest, NotFound
from interlock.schema.records import Operation
from interlock.schema.reports import HostReport
from interlock.schema.requests import EvictGuest
from tests.dying import Telling
from tests.witness import noted
from tests.world import World, cloud, world

SETTING = "vm.unknown.domain"


async def settled(lab: World) -> None:
    """What was told has been dealt with."""
    for _ in range(3):
        await asyncio.sleep(0)
        await lab.engine.idle()


async def asked(lab: World, kind: str = "follow") -> list[Operation]:
    """What the engine has asked for by itself, oldest first."""
    found = [each for vm in await lab.vms() for each in await lab.engine.operations(vm.id) if each.kind == kind]
    assert {each.actor for each in found} <= {"interlock"}
    return sorted(found, key=lambda each: each.id)


async def cause(lab: World) -> str | None:
    """Why the VM was last moved."""
    rows = await lab.engine.history((await lab.vm()).id)
    return next(row.cause for row in reversed(rows) if row.machine == "vm" and row.cause)


async def where(lab: World, name: str = "web") -> tuple[str, str | None]:
    """State and host."""
    vm = await lab.vm(name)
    return vm.state, vm.host_id


async def up(lab: World, name: str = "web") -> str:
    """Have a VM run on h-1; its id."""
    assert (await lab.deploy(name)).state == "Succeeded"
    assert await where(lab, name) == ("Running", "h-1")
    return (await lab.vm(name)).id


# Guests


@pytest.mark.parametrize("how", ["power_off_inside", "crash", "undefine_outside"])
async def test_a_guest_that_ends_by_itself_is_stopped_and_gives_back_what_it_held(
    tmp_path: Path, database_url: str, how: str
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        vm_id = await up(lab)
        addresses = (await lab.books()).addresses
        await getattr(lab.simulator, how)(vm_id)
        await settled(lab)
        assert await where(lab) == ("Stopped", None)
        said = {"power_off_inside": "shut down from inside", "crash": "crashed", "undefine_outside": "not have it"}
        assert said[how] in (await cause(lab) or "")
        books = await lab.books()
        assert not any(used for _, *amounts in books.hosts for used in amounts)
        assert books.addresses == addresses and not books.truth.domains and not books.truth.nics
        await lab.assert_sound()
        assert (await lab.run("start")).state == "Succeeded"
        await lab.assert_sound()


@pytest.mark.parametrize("backwards", [False, True])
async def test_a_vm_that_somebody_moved_is_followed_whichever_host_reports_first(
    tmp_path: Path, database_url: str, backwards: bool
) -> None:
    """CloudStack 3741, 3743: the old host's report comes first, and the VM is taken for stopped."""
    async with world(tmp_path, url=database_url) as lab:
        vm_id = await up(lab)
        lab.simulator.tales.withhold()
        await lab.simulator.move(vm_id, "h-2")
        assert lab.simulator.tales.let_go(backwards=backwards) == 2
        await settled(lab)
        assert await where(lab) == ("Running", "h-2")
        assert "runs on host h-2" in (await cause(lab) or "")
        await lab.assert_sound()
        assert (await lab.run("reboot")).state == "Succeeded"


async def test_the_old_hosts_report_alone_does_not_stop_a_vm_that_moved(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=cloud(hosts=3)) as lab:
        vm_id = await up(lab)
        lab.simulator.tales.withhold()
        await lab.simulator.move(vm_id, "h-3")
        assert lab.simulator.tales.let_go(forget=True) == 2
        await lab.simulator.report("h-1")
        await settled(lab)
        assert await where(lab) == ("Running", "h-3")
        await lab.assert_sound()
        events = [row.event for row in await lab.engine.history(vm_id) if row.machine == "vm"]
        assert "AgentReportMigrated" in events and not any("Off" in event for event in events)
        assert events[-1] == "RulesTold", "the new host is told the rules of its security groups"


async def test_a_vm_that_moved_and_ended_leaves_no_remains_that_keep_it_from_starting(
    tmp_path: Path, database_url: str
) -> None:
    """Found by the fuzzer: the guest that is off on the new host would be a second one of the VM anywhere else."""
    async with world(tmp_path, url=database_url, listen=False) as lab:
        vm_id = await up(lab)
        await lab.simulator.move(vm_id, "h-2")
        await lab.simulator.crash(vm_id)
        assert (await lab.run("follow")).state == "Succeeded"
        assert await where(lab) == ("Stopped", None)
        assert not (await lab.books()).truth.domains
        assert (await lab.run("start")).state == "Succeeded"
        assert await where(lab) == ("Running", "h-1")
        await lab.assert_sound()


async def test_a_move_to_where_the_books_have_no_room_is_recorded_when_there_is(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "AGAIN_FIRST", 0.02)
    async with world(tmp_path, url=database_url, description=cloud(memory=1024)) as lab:
        vm_id = await up(lab)
        await lab.deploy("two")
        await lab.simulator.move(vm_id, "h-2")
        await settled(lab)
        assert await where(lab) == ("Running", "h-1")
        [first] = await asked(lab)
        assert first.state == "Failed" and "make room" in (first.error or "")
        await lab.run("stop", "two")
        async with asyncio.timeout(20):
            while await where(lab) != ("Running", "h-2"):
                await asyncio.sleep(0.01)
        await lab.engine.idle()
        await lab.assert_sound()


async def test_what_happened_while_no_engine_was_open_is_found_at_the_next_open(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "HOSTS", 2)  # of three: they are held against the records in two turns
    async with world(tmp_path, url=database_url, description=cloud(hosts=3)) as lab:
        ids = [await up(lab, name) for name in ("web", "two", "three", "four")]
    async with await Simulator.at(tmp_path / "world.simulator") as outside:
        await outside.crash(ids[0])
        await outside.move(ids[1], "h-2")
        await outside.undefine_outside(ids[2])
    async with world(tmp_path, url=database_url) as lab:
        await lab.engine.idle()
        assert [await where(lab, name) for name in ("web", "two", "three", "four")] == [
            ("Stopped", None),
            ("Running", "h-2"),
            ("Stopped", None),
            ("Running", "h-1"),
        ]
        await lab.assert_sound()
        # An old report may cost one of the three a second look.
        assert {each.vm_id for each in await asked(lab)} == set(ids[:3]), "the healthy one is not even looked at"


async def test_a_guest_that_is_started_behind_our_back_after_it_was_found_off_is_left_running(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        vm_id = await up(lab)
        fault = await lab.order("StopDomain", FaultKind.TRANSIENT, times=2)
        lab.simulator.tales.withhold()
        await lab.simulator.crash(vm_id)
        lab.simulator.tales.let_go()
        while not await lab.simulator.fired(fault):
            await asyncio.sleep(0)
        await lab.simulator.boot_outside(vm_id)
        await settled(lab)
        assert await where(lab) == ("Running", "h-1")
        [guest] = (await lab.simulator.world()).domains
        assert guest.power is Power.ON
        assert (await asked(lab))[0].state == "Failed"


# Strays


ENDS = {"stopped": ("stop",), "destroyed": ("destroy",), "expunged": ("destroy", "expunge")}


@pytest.mark.parametrize("way", ["report", "quarantine", "end"])
@pytest.mark.parametrize("kind", ["stopped", "destroyed", "expunged", "stranger", "double"])
async def test_a_guest_that_should_not_be_is_done_with_as_the_setting_says(
    tmp_path: Path, database_url: str, way: str, kind: str
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.engine.set_setting(SETTING, way)
        guest = await up(lab)
        for earlier in ENDS.get(kind, ()):
            assert (await lab.run(earlier)).state == "Succeeded"
        guest = "stranger" if kind == "stranger" else guest
        before = await where(lab)
        await lab.simulator.appear(guest, "h-2")
        await settled(lab)
        assert await where(lab) == before
        found = [each.power for each in (await lab.simulator.world()).domains if each.host_id == "h-2"]
        assert found == {"report": [Power.ON], "quarantine": [Power.PAUSED], "end": []}[way]
        listed = await lab.engine.strays()
        assert [(each.host_id, each.guest_id) for each in listed] == ([] if way == "end" else [("h-2", guest)])
        await lab.engine.reconcile()
        await settled(lab)
        assert [each.power for each in (await lab.simulator.world()).domains if each.host_id == "h-2"] == found
        if kind == "double":
            assert await where(lab) == ("Running", "h-1")


async def test_a_stray_is_named_with_what_its_vm_is(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        vm_id = await up(lab)
        await lab.simulator.appear("who", "h-2")
        await lab.simulator.appear(vm_id, "h-2")
        await settled(lab)
        listed = {each.guest_id: each for each in await lab.engine.strays()}
        assert listed[vm_id].why == "VM web is Running on host h-1"
        assert listed["who"] == Stray(
            host_id="h-2",
            guest_id="who",
            power=listed["who"].power,
            vm_name=None,
            why="it is no VM of this database",
        )


async def test_strays_are_evicted_when_the_setting_changes(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await up(lab)
        await lab.simulator.appear("stranger", "h-2")
        await settled(lab)
        assert len((await lab.simulator.world()).domains) == 2
        await lab.engine.set_setting(SETTING, "end")
        await settled(lab)
        assert [each.vm_id for each in (await lab.simulator.world()).domains] == [(await lab.vm()).id]


async def test_a_vm_is_never_evicted(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.engine.set_setting(SETTING, "end")
        vm_id = await up(lab)
        with pytest.raises(InvalidRequest, match="is VM web"):
            await lab.engine.submit(EvictGuest(vm_id, "h-1"))
        with pytest.raises(NotFound, match="no host 'h-9'"):
            await lab.engine.submit(EvictGuest("stranger", "h-9"))
        await lab.assert_sound()


async def test_a_hypervisor_that_cannot_halt_a_guest_has_it_reported(tmp_path: Path) -> None:
    simulator = await Simulator.at(tmp_path / "other", cannot=["quarantine"])  # type: ignore[list-item]
    async with simulator, Engine.open(str(tmp_path / "db"), drivers={"simulator": simulator}) as engine:
        await engine.load(cloud())
        await engine.set_setting(SETTING, "quarantine")
        await simulator.appear("stranger", "h-2")
        await settled(World(engine, simulator))
        assert [each.power for each in (await simulator.world()).domains] == [Power.ON]
        assert len(await engine.strays()) == 1


# Hosts


@pytest.mark.parametrize("dies", [False, True])
async def test_vms_of_a_lost_host_are_unknown_until_it_is_back(tmp_path: Path, database_url: str, dies: bool) -> None:
    async with world(tmp_path, url=database_url) as lab:
        for name in ("web", "two"):
            await up(lab, name)
        before = (await lab.books()).hosts
        await lab.simulator.lose("h-1", dies=dies)
        await settled(lab)
        assert [await where(lab, name) for name in ("web", "two")] == [("Unknown", "h-1")] * 2
        assert (await lab.books()).hosts == before, "they hold what they held"
        assert "does not answer" in (await cause(lab) or "")
        with pytest.raises(InvalidRequest, match="Unknown"):
            await lab.engine.start("web")
        await lab.simulator.bring_back("h-1")
        await settled(lab)
        ended = ("Stopped", None) if dies else ("Running", "h-1")
        assert [await where(lab, name) for name in ("web", "two")] == [ended] * 2
        await lab.assert_sound()


async def test_a_host_that_is_back_without_saying_so_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "AGAIN_FIRST", 0.02)
    async with world(tmp_path) as lab:
        for name in ("web", "two"):
            await up(lab, name)
        await lab.simulator.lose("h-1")
        await settled(lab)
        assert await where(lab) == ("Unknown", "h-1")
        lab.simulator.tales.withhold()
        await lab.simulator.bring_back("h-1")
        lab.simulator.tales.let_go(forget=True)
        async with asyncio.timeout(20):
            while {await where(lab, name) for name in ("web", "two")} != {("Running", "h-1")}:
                await asyncio.sleep(0.01)
        await settled(lab)
        await lab.assert_sound()
        assert lab.engine._orchestrator.reconciliation._later is None


async def test_a_lost_host_that_never_answers_holds_nothing_up(tmp_path: Path) -> None:
    import msgspec

    from tests.world import QUICK

    async with world(tmp_path, policy=msgspec.structs.replace(QUICK, look_within=0.02)) as lab:
        await up(lab)
        await lab.simulator.lose("h-1", silent=True)
        await settled(lab)
        assert await where(lab) == ("Unknown", "h-1")


async def test_a_report_that_a_host_is_lost_does_no_harm_if_it_answers(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await up(lab)
        await lab.simulator.lose("h-1")
        await lab.simulator.bring_back("h-1")
        await settled(lab)
        lab.simulator.tales.retell([each for each in lab.simulator.tales.told if type(each).__name__ == "HostLost"])
        await settled(lab)
        assert await where(lab) == ("Running", "h-1")


async def test_a_host_that_is_lost_when_the_engine_opens_is_noticed(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await up(lab)
    async with await Simulator.at(tmp_path / "world.simulator") as outside:
        await outside.lose("h-1", dies=True)
    async with world(tmp_path, url=database_url) as lab:
        await settled(lab)
        assert await where(lab) == ("Unknown", "h-1")
    async with world(tmp_path, url=database_url) as lab:
        await lab.simulator.bring_back("h-1")
        await settled(lab)
        assert await where(lab) == ("Stopped", None)
        await lab.assert_sound()


async def test_a_user_may_stop_a_vm_whose_host_is_lost_once_it_answers(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await up(lab)
        await lab.simulator.lose("h-1")
        await settled(lab)
        stopped = await lab.run("stop")
        assert stopped.state in ("Failed", "Stuck"), "nobody can say that it does not run"
        assert (await lab.vm()).host_id == "h-1"


# Beside other operations


@pytest.mark.parametrize("kind", ["reboot", "stop", "migrate"])
async def test_a_guest_that_ends_while_an_operation_owns_it_is_seen_to_afterwards(
    tmp_path: Path, database_url: str, kind: str
) -> None:
    made, wrap = noted(Telling)
    async with world(tmp_path, url=database_url, wrap=wrap) as lab:
        vm_id = await up(lab)
        made[0].hold({"reboot": "RebootDomain", "stop": "StopDomain", "migrate": "MigrateDomain"}[kind])
        handle = await getattr(lab.engine, kind)("web")
        await made[0].held.wait()
        await lab.simulator.crash(vm_id)
        made[0].let_go.set()
        ended = await handle.ended()
        await settled(lab)
        if ended.state == "Stuck":
            return  # a person has the say, and is asked
        assert await where(lab) == ("Stopped", None)
        await lab.assert_sound()


async def test_our_own_work_is_no_news(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        for kind in ("migrate", "stop", "start", "destroy", "recover", "start", "destroy", "expunge"):
            if not await lab.vms():
                await up(lab)
            await lab.run(kind)
            await lab.simulator.report()
            await settled(lab)
        assert await asked(lab) == []


async def test_a_failed_migration_leaves_the_vm_running(tmp_path: Path, database_url: str) -> None:
    """CloudStack 11286, 7285: what fails around a migration never stops the VM."""
    async with world(tmp_path, url=database_url) as lab:
        await up(lab)
        for command in ("PrepareNic", "MigrateDomain", "ReleaseNic"):
            fault = await lab.order(command, FaultKind.REFUSE_VM)
            assert (await lab.run("migrate")).state == "Failed"
            assert await lab.simulator.fired(fault) == 1
            await lab.simulator.report()
            await settled(lab)
            assert await where(lab) == ("Running", "h-1")
            await lab.assert_sound()


async def test_a_vm_that_runs_elsewhere_is_not_started_again(tmp_path: Path, database_url: str) -> None:
    """CloudStack 2736: a start succeeds on host B while the VM runs on host A."""
    async with world(tmp_path, url=database_url) as lab:
        vm_id = await up(lab)
        await lab.run("stop")
        await lab.simulator.appear(vm_id, "h-2")
        await settled(lab)
        with pytest.raises(OperationFailed, match="already runs on host h-2"):
            await (await lab.engine.start("web")).wait()
        assert len((await lab.simulator.world()).domains) == 1
        assert await where(lab) == ("Stopped", None)


async def test_two_engines_hear_the_same_and_one_acts(tmp_path: Path, database_url: str) -> None:
    async with (
        world(tmp_path, url=database_url) as lab,
        Engine.open(database_url, drivers={"simulator": lab.simulator}) as other,
    ):
        ids = [await up(lab, f"vm-{number}") for number in range(5)]
        for vm_id in ids:
            await lab.simulator.crash(vm_id)
        for _ in range(3):
            await settled(lab)
            await other.idle()
        assert {await where(lab, f"vm-{number}") for number in range(5)} == {("Stopped", None)}
        await lab.assert_sound()


# What it costs, and what it leaves


class Deaf:
    """A driver that neither tells nor surveys."""

    def __init__(self, simulator: Simulator) -> None:
        self.inner, self.capabilities = simulator, simulator.capabilities

    async def attach(self, hosts: Sequence[Any], pools: Sequence[Any]) -> None:
        await self.inner.attach(hosts, pools)

    async def perform(self, command: Any, *, token: str, fence: int) -> Any:
        return await self.inner.perform(command, token=token, fence=fence)

    async def close(self) -> None:
        """The test closes the simulator."""


async def test_a_driver_that_tells_nothing_works_and_its_vms_are_followed_on_demand(
    tmp_path: Path, database_url: str
) -> None:
    async with world(tmp_path, url=database_url, wrap=Deaf) as lab:
        vm_id = await up(lab)
        await lab.simulator.crash(vm_id)
        await settled(lab)
        assert await where(lab) == ("Running", "h-1")
        assert await lab.engine.reconcile() == []
        await (await lab.engine.follow("web")).wait()
        assert await where(lab) == ("Stopped", None)


@pytest.mark.parametrize("answer", [Done(), None, ZeroDivisionError("a bug")])
async def test_a_driver_that_cannot_be_asked_says_nothing_about_the_vm(tmp_path: Path, answer: Any) -> None:
    """One that was written before it could be asked, or has a bug, makes nobody Unknown."""

    class Old(Deaf):
        async def perform(self, command: Any, *, token: str, fence: int) -> Any:
            if not isinstance(command, LookForDomain):
                return await self.inner.perform(command, token=token, fence=fence)
            if isinstance(answer, Exception):
                raise answer
            return answer

    async with world(tmp_path, wrap=Old) as lab:
        await up(lab)
        operation = await lab.run("follow")
        assert operation.state == "Failed" and "cannot be asked" in (operation.error or "")
        assert await where(lab) == ("Running", "h-1")


async def test_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await up(lab)
        await lab.simulator.lose("h-1")
        await settled(lab)
        engine, simulator = lab.engine, lab.simulator
        assert engine._orchestrator.reconciliation._later is not None, "nothing is proved"
    assert engine._orchestrator.reconciliation._later is None
    assert engine._orchestrator.reconciliation.under_way == ()
    assert simulator.tales._listeners == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(EngineClosed):
        await engine.reconcile()


async def test_closing_waits_for_no_survey(tmp_path: Path) -> None:
    """A driver that never says what its hosts have."""
    simulator = await Simulator.at(tmp_path / "other")
    asked = asyncio.Event()

    async def survey() -> Sequence[HostReport]:
        asked.set()
        await asyncio.Event().wait()
        return ()

    simulator.survey = survey  # type: ignore[method-assign]
    async with simulator, asyncio.timeout(20):
        async with Engine.open(str(tmp_path / "db"), drivers={"simulator": simulator}) as engine:
            await engine.load(cloud())
            await asked.wait()
        assert engine._orchestrator.reconciliation.under_way == ()


async def test_a_survey_that_raises_is_the_drivers_bug_and_no_more(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        vm_id = await up(lab)

        async def survey() -> Sequence[HostReport]:
            raise ZeroDivisionError

        lab.simulator.survey = survey  # type: ignore[method-assign]
        assert await lab.engine.reconcile() == []
        assert await lab.engine.strays() == []
        assert await where(lab) == ("Running", "h-1")
        await lab.simulator.crash(vm_id)
        await settled(lab)
        assert await where(lab) == ("Stopped", None)


async def test_reconcile_says_what_it_asked_for(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        vm_id = await up(lab)
        lab.simulator.tales.withhold()
        await lab.simulator.crash(vm_id)
        lab.simulator.tales.let_go(forget=True)
        assert await lab.engine.reconcile("h-2") == []
        [handle] = await lab.engine.reconcile("h-1")
        assert (handle.kind, handle.vm_id) == ("follow", vm_id)
        await handle.wait()
        assert await where(lab) == ("Stopped", None)
        with pytest.raises(NotFound, match="no host 'h-9'"):
            await lab.engine.reconcile("h-9")


async def test_a_report_of_garbage_is_logged_and_no_more(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await up(lab)
        lab.simulator.tales.tell(["what?", HostReport(host_id="h-9", epoch=1, observed_at=1, guests={})])  # type: ignore[list-item]
        await settled(lab)
        assert await where(lab) == ("Running", "h-1")
