"""A recorded history played otherwise: without a change it is what it was, and with one the differences are told."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks import people
from interlock.drivers.simulator import FaultKind
from interlock.engine.orchestrator import plugins
from interlock.replay.otherwise.compare import Comparison, compared
from interlock.replay.otherwise.script import Ask, Script
from interlock.replay.otherwise.simulation import Change, Simulation
from interlock.replay.otherwise.world import World
from interlock.replay.rules import Book
from interlock.replay.source import pages
from interlock.schema.commands import Done, Refused
from interlock.schema.errors import NotFound
from interlock.schema.records import Vm
from tests.command import Shell
from tests.journals import ups_and_downs
from tests.world import World as Lab
from tests.world import cloud as a_cloud
from tests.world import world


def book() -> Book:
    return Book(plugins.planners({}), plugins.gurus({}))


async def script_of(lab: Lab) -> Script:
    store = lab.engine._store
    script = Script()
    async for page in pages(store):
        script.add(page)
    script.end()
    return script


def played(script: Script, **change: object) -> Comparison:
    simulation = Simulation(script, book(), Change(**change))  # type: ignore[arg-type]
    simulation.run()
    return compared(script, simulation)


async def test_without_a_change_everything_stands_and_ends_as_it_did(tmp_path: Path) -> None:
    async with world(tmp_path, description=a_cloud(hosts=3)) as lab:
        await ups_and_downs(lab)
        await lab.deploy("last")
        script = await script_of(lab)
        vm: Vm = await lab.vm("last")
        simulation = Simulation(script, book(), Change())
        simulation.run()
    found = compared(script, simulation)
    assert (found.moved, found.fails, found.succeeds, simulation.refused) == ([], [], [], {})
    assert found.recorded == found.otherwise
    assert simulation.tally.vms[vm.id].host_id == vm.host_id
    assert simulation.tally.operations.keys() == script.tally.operations.keys()
    assert found.recorded.failed == 1
    assert found.recorded.replaced == 1


async def test_another_planner_puts_vms_elsewhere_and_fills_hosts_otherwise(tmp_path: Path) -> None:
    async with world(tmp_path, description=a_cloud(hosts=3)) as lab:
        for number in range(6):
            await lab.deploy(f"vm-{number}")
        found = played(await script_of(lab), planner="dispersing")
    assert [len(side.shares("memory")) for side in (found.recorded, found.otherwise)] == [1, 3]
    assert [round(fill.memory, 2) for fill in found.otherwise.fills] == [0.25, 0.25, 0.25]
    assert {each.vm for each in found.moved} == {each.vm for each in found.moved if each.was == "h-1"}
    assert len(found.moved) == 4
    assert found.vms == 6


async def test_a_cloud_that_grows_and_a_setting_that_is_turned_are_played_when_they_were(tmp_path: Path) -> None:
    async with world(tmp_path, description=a_cloud(hosts=1, memory=2048)) as lab:
        for number in range(3):
            await lab.deploy(f"early-{number}")
        await lab.engine.load(a_cloud(hosts=3, memory=2048))
        await lab.engine.set_setting("cluster.memory.allocated.capacity.disablethreshold", 0.5)
        for number in range(3):
            await lab.deploy(f"late-{number}")
        script = await script_of(lab)
    same, other = played(script), played(script, planner="dispersing")
    assert (same.moved, same.fails, same.succeeds) == ([], [], [])
    assert (same.recorded.succeeded, same.recorded.failed) == (4, 2)
    assert [round(fill.memory, 1) for fill in same.otherwise.fills] == [1.0, 1.0, 0.0, 0.0]
    assert [round(fill.memory, 1) for fill in other.otherwise.fills] == [1.0, 0.5, 0.5, 0.0]


async def test_another_guru_has_its_own_rules(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy("one")
        script = await script_of(lab)
    (turned,) = played(script, gurus={"net": "isolated"}).fails
    assert (turned.vm, turned.would_be) == ("one", "refused")
    assert "network net is isolated but belongs to no account" in turned.why
    assert played(script, gurus={"net": "direct"}).fails == []


async def test_room_that_another_planner_cuts_up_is_missing_later(tmp_path: Path) -> None:
    """Two hosts of 8 GiB: first-fit leaves one of them empty for the large VM, dispersing does not."""
    async with world(tmp_path, description=a_cloud(hosts=2, memory=2048)) as lab:
        await lab.deploy("small-1")
        await lab.deploy("small-2")
        large = await (
            await lab.engine.deploy(msgspec.structs.replace(lab.request("large"), offering="medium"))
        ).ended()
        assert large.state == "Succeeded"
        found = played(await script_of(lab), planner="dispersing")
    (turned,) = found.fails
    assert (turned.vm, turned.kind, turned.would_be) == ("large", "deploy", "Failed")
    assert "no place for VM large" in turned.why
    assert found.succeeds == []


async def test_a_host_that_refused_refuses_whoever_comes_instead(tmp_path: Path) -> None:
    async with world(tmp_path, description=a_cloud(hosts=2)) as lab:
        number = await lab.order("StartDomain", FaultKind.REFUSE, at="h-1")
        await lab.deploy("first")
        assert await lab.simulator.fired(number)
        script = await script_of(lab)
    refusal = next(answer for answer in script.answers if isinstance(answer.outcome, Refused))
    told = World(script)
    other = Ask("StartDomain", "domain other", "h-1")
    assert told.answer("another", other, refusal.at - 1) == Done()
    assert told.answer("another", other, refusal.at + 1) == refusal.outcome
    assert told.answer("another", Ask("StartDomain", "domain other", "h-2"), refusal.at + 1) == Done()
    assert told.answer(refusal.operation_id, refusal.ask, 0) == refusal.outcome


async def test_a_planner_that_is_not_installed_is_not_played(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no planner 'none'; there are: .*dispersing"):
        book().planner("none")


# --- the command, on a day that is recorded by the same command as the one of 10,000 deploys


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("day") / "day.db"
    assert asyncio.run(people.record(database, deploys=160, seed=1)) > 100
    return database


def test_a_day_under_another_planner_prints_its_table_and_its_picture(day: Path, tmp_path: Path) -> None:
    picture = tmp_path / "day.svg"
    said = Shell(day.parent)("--db", str(day), "replay", "--planner", "dispersing", "--svg", str(picture))
    assert "without the change it puts 0 of 160 VMs elsewhere" in " ".join(said.out.split())
    moved = re.search(r"(\d+) of 160 VMs would stand elsewhere", said.out)
    assert moved is not None
    assert int(moved[1]) > 80
    assert re.search(r"^operations that succeeded +\d+ +\d+$", said.out, re.MULTILINE)
    drawn = ElementTree.parse(picture).getroot()
    hosts = {each.get("data-host") for each in drawn.iter() if each.get("data-host")}
    assert hosts == set(re.findall(r"^(host\d-\d)  .*%", said.out, re.MULTILINE))
    assert len(hosts) >= 4


def test_a_setting_is_in_force_everywhere(day: Path) -> None:
    name = "cluster.memory.allocated.capacity.disablethreshold"
    said = Shell(day.parent)("--json", "--db", str(day), "replay", "--setting", f"{name}=0.5").json
    assert said["otherwise"] == f"{name} = 0.5"
    most = max(fill["most_memory"] for fill in said["comparison"]["recorded"]["fills"])
    assert most > 0.7
    assert len(said["comparison"]["fails"]) > 10
    assert "is over its threshold" in said["comparison"]["fails"][0]["why"]


def test_what_cannot_be_played_is_refused(day: Path) -> None:
    shell = Shell(day.parent)
    for words, code, why in (
        (("--planner", "none"), 3, "there is no planner 'none'"),
        (("--guru", "nowhere=direct"), 3, "there is no network 'nowhere'"),
        (("--setting", "none=1"), 3, "there is no setting"),
        ((), 2, "--check"),
    ):
        said = shell("--db", str(day), "replay", *words, exit=code)
        assert why in said.err
