"""The simulated outside world: what happens that no command asked for, what is told of it, and the lies about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interlock.drivers.protocol import Driver, Reporter
from interlock.drivers.simulator import Simulator
from interlock.schema import reports
from interlock.schema.commands import Done, Refusal, Refused, Scope
from interlock.schema.errors import NotFound
from interlock.schema.reports import Found, GuestEvent, HostBack, HostLost, HostReport, Report
from tests.simulated import HOSTS, POOLS, Clock, create, look, migrate, prepare, reboot, say, start, stop

ON, OFF, ABSENT = reports.Power.ON, reports.Power.OFF, reports.Power.ABSENT


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
async def sim(tmp_path: Path, clock: Clock) -> AsyncIterator[Simulator]:
    """A cloud with one guest, on h1."""
    async with await Simulator.at(tmp_path / "world", clock=clock) as made:
        await made.attach(HOSTS, POOLS)
        for command in (prepare(), prepare(at="h2"), create(), start()):
            assert await say(made, command) == Done()
        yield made


@pytest.fixture
def heard(sim: Simulator) -> list[Report]:
    """What is told from now on."""
    found: list[Report] = []
    sim.listen(found.append)
    return found


def event(power: reports.Power, host: str = "h1", vm: str = "vm1", epoch: int = 1) -> GuestEvent:
    """One as the simulator tells it while the clock stands."""
    return GuestEvent(host_id=host, epoch=epoch, observed_at=1_000_000_000, guest_id=vm, power=power)


def test_it_is_a_driver_that_reports(sim: Simulator) -> None:
    assert isinstance(sim, Driver) and isinstance(sim, Reporter)


@pytest.mark.parametrize(
    ("act", "told", "found"),
    [
        ("power_off_inside", [event(OFF)], Found(OFF, "shut down from inside")),
        ("crash", [event(OFF)], Found(OFF, "crashed")),
        ("undefine_outside", [event(ABSENT)], Found(ABSENT)),
        ("boot_outside", [], Found(ON)),
    ],
)
async def test_what_befalls_a_guest_is_told_and_found(
    sim: Simulator, heard: list[Report], act: str, told: list[Report], found: Found
) -> None:
    await getattr(sim, act)("vm1")
    assert heard == told
    assert await say(sim, look()) == Done(found=found)
    with pytest.raises(NotFound, match="vm9"):
        await getattr(sim, act)("vm9")


async def test_a_guest_that_is_off_can_be_started_by_somebody(sim: Simulator, heard: list[Report]) -> None:
    await sim.crash("vm1")
    await sim.boot_outside("vm1")
    assert heard == [event(OFF), event(ON)]
    assert await say(sim, look()) == Done(found=Found(ON))


async def test_a_guest_that_is_moved_takes_all_it_has_along(sim: Simulator, heard: list[Report]) -> None:
    [before] = (await sim.world()).domains
    await sim.move("vm1", "h2")
    [after] = (await sim.world()).domains
    assert heard == [event(ABSENT), event(ON, "h2")]
    assert (before.nics, before.volumes, after.host_id) == (after.nics, after.volumes, "h2")
    assert await say(sim, reboot(at="h2")) == Done()


async def test_one_vm_may_have_two_guests_but_never_by_a_command(sim: Simulator, heard: list[Report]) -> None:
    await sim.appear("vm1", "h2")
    assert heard == [event(ON, "h2")]
    assert [each.host_id for each in (await sim.world()).domains] == ["h1", "h2"]
    for command in (migrate(), start(at="h2")):
        assert await say(sim, command) == Done(), "it is there"
    assert await say(sim, stop(at="h2")) == Done()
    assert [each.host_id for each in (await sim.world()).domains] == ["h1"]
    await sim.appear("who", "h2")
    assert isinstance(await say(sim, start("vm1", "h2"), token="again"), Refused)


@pytest.mark.parametrize("dies", [False, True])
async def test_a_lost_host_hears_nothing_and_is_back_with_what_it_has_left(
    sim: Simulator, heard: list[Report], dies: bool
) -> None:
    await sim.lose("h1", dies=dies)
    answer = await say(sim, look())
    assert isinstance(answer, Refused) and (answer.kind, answer.scope) == (Refusal.TRANSIENT, Scope.HOST)
    assert isinstance(await say(sim, migrate("vm1", "h2", "h1")), Refused), "nor can anything go there"
    assert await say(sim, create("vm2")) == Done(), "pools are no hosts"
    assert [each.host_id for each in await sim.survey()] == ["h2"]
    await sim.bring_back("h1")
    epoch = 2 if dies else 1
    back = HostBack(host_id="h1", epoch=epoch, observed_at=1_000_000_000)
    report = HostReport(host_id="h1", epoch=epoch, observed_at=1_000_000_000, guests={"vm1": OFF if dies else ON})
    assert heard == [HostLost(host_id="h1", epoch=1, observed_at=1_000_000_000), back, report]
    assert [each.id for each in (await sim.world()).nics if each.host_id == "h1"] == ([] if dies else ["nic1"])
    with pytest.raises(NotFound, match="h9"):
        await sim.lose("h9")


async def test_what_is_sent_to_a_lost_host_leaves_no_fence_there(sim: Simulator) -> None:
    await sim.lose("h1")
    await say(sim, reboot(), token="lost", fence=50)
    await sim.bring_back("h1")
    assert await say(sim, reboot(), token="later", fence=5) == Done()


async def test_a_survey_sees_what_another_process_did(sim: Simulator, tmp_path: Path, clock: Clock) -> None:
    async with await Simulator.at(tmp_path / "world", clock=clock) as other:
        heard: list[Report] = []
        other.listen(heard.append)
        await sim.crash("vm1")
        assert heard == []
        await other.attach(HOSTS, POOLS)
        clock.now += 1
        assert [each.guests for each in await other.survey()] == [{"vm1": OFF}, {}]
        assert {each.observed_at for each in await other.survey()} == {1_001_000_000}


async def test_tales_are_withheld_reordered_repeated_retold_and_forgotten(
    sim: Simulator, heard: list[Report], clock: Clock
) -> None:
    def times() -> list[int]:
        told = [each.observed_at // 1_000_000 for each in heard]
        heard.clear()
        return told

    async def three() -> None:
        for _ in range(3):
            await sim.report("h1")
            clock.now += 1

    sim.tales.withhold()
    await three()
    assert times() == []
    assert sim.tales.let_go() == 3
    assert times() == [1000, 1001, 1002]
    sim.tales.withhold()
    await three()
    sim.tales.let_go(backwards=True)
    assert times() == [1005, 1004, 1003]
    sim.tales.withhold()
    await three()
    sim.tales.let_go(shuffled_by=3)
    assert sorted(shuffled := times()) == [1006, 1007, 1008] != shuffled
    sim.tales.withhold()
    await three()
    assert sim.tales.let_go(forget=True) == 3
    sim.tales.repeat(last=2, times=2)
    assert times() == [*shuffled[-2:], *shuffled[-2:]]
    sim.tales.retell(sim.tales.told[:1])
    assert times() == [1000]


async def test_who_listens_no_more_is_told_no_more(sim: Simulator) -> None:
    heard: list[Report] = []
    stop_listening = sim.listen(heard.append)
    await sim.report()
    stop_listening()
    stop_listening()
    await sim.report()
    assert len(heard) == 2


async def test_a_host_can_be_slow(sim: Simulator) -> None:
    import asyncio

    sim.slow("h1", 60)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(say(sim, reboot()), 0.02)
    assert await say(sim, look(at="h2")) == Done(found=Found(ABSENT))
    sim.slow("h1", 0)
    assert await say(sim, reboot()) == Done()
