"""The simulator as a driver: many commands at once, processes that die, and a clean end."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interlock.drivers.protocol import Driver, Home
from interlock.drivers.simulator import Fault, FaultKind, Power, Simulator, World, file
from interlock.drivers.simulator.worker import Worker
from interlock.schema.commands import Capability, Done, Refusal, Refused, Scope
from interlock.schema.errors import EngineClosed, NotFound, PluginError, StoreError
from tests.simulated import (
    HOSTS,
    POOLS,
    apply_rules,
    create,
    delete,
    prepare,
    reboot,
    release,
    say,
    start,
    stop,
    synchronous,
    until,
)

DONE = Done()


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """An empty cloud."""
    async with await Simulator.at(tmp_path / "world") as made:
        await made.attach(HOSTS, POOLS)
        yield made


def files(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(found.name for found in folder.iterdir())


async def test_it_is_a_driver_that_can_everything(sim: Simulator) -> None:
    assert isinstance(sim, Driver)
    assert sim.capabilities == frozenset(Capability)


# The outside world


async def test_a_guest_can_shut_itself_down(sim: Simulator) -> None:
    await until(sim, reboot())
    await sim.power_off_inside("vm1")
    assert [guest.power for guest in (await sim.world()).domains] == [Power.OFF]
    assert await say(sim, stop()) == DONE
    with pytest.raises(NotFound, match="vm1"):
        await sim.power_off_inside("vm1")


async def test_attaching_again_resizes_and_forgets_nothing(sim: Simulator) -> None:
    await until(sim, reboot())
    before = await sim.world()
    await sim.attach(HOSTS, POOLS)
    await sim.attach(HOSTS[1:], ())
    assert await sim.world() == before
    assert await say(sim, reboot()) == DONE


# Many at once


async def test_commands_of_one_moment_share_a_transaction(sim: Simulator) -> None:
    before = sim.transactions
    answers = await asyncio.gather(*(say(sim, prepare(f"vm{n}")) for n in range(1, 201)))
    assert answers == [DONE] * 200
    assert sim.transactions == before + 1


async def test_nothing_runs_when_nothing_is_asked(sim: Simulator) -> None:
    before = sim.transactions
    await asyncio.sleep(0.02)
    assert sim.transactions == before
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_some_leaves_the_others_alone(sim: Simulator) -> None:
    tasks = [asyncio.create_task(say(sim, prepare(f"vm{n}"))) for n in range(1, 91)]
    for round in range(3):
        for task in tasks[round::9]:
            task.cancel()
        await asyncio.sleep(0)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [answer for answer in answers if not isinstance(answer, asyncio.CancelledError)]
    assert kept == [DONE] * len(kept) and len(kept) >= 60
    again = await asyncio.gather(*(say(sim, prepare(f"vm{n}")) for n in range(1, 91)))
    assert again == [DONE] * 90


async def test_what_is_cancelled_before_the_hop_is_not_done(tmp_path: Path) -> None:
    worker = Worker(file.WorldFile(tmp_path / "world", time.time))
    await worker.open()
    done: list[str] = []
    first = worker.submit(lambda _: done.append("first"))
    second = worker.submit(lambda _: done.append("second"))
    first.cancel()
    await second
    await worker.close()
    assert done == ["second"]


async def test_latency_is_travelled_by_all_at_once(tmp_path: Path) -> None:
    async with await Simulator.at(tmp_path / "world", latency=0.05, jitter=0.01) as sim:
        await sim.attach(HOSTS, POOLS)
        began = time.monotonic()
        await asyncio.gather(*(say(sim, prepare(f"vm{n}")) for n in range(1, 21)))
        assert 0.05 <= time.monotonic() - began < 0.5


async def test_two_simulators_work_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "world"
    one, two = await asyncio.gather(Simulator.at(path), Simulator.at(path))
    async with one, two:
        await one.attach(HOSTS, POOLS)
        for sim in (one, two):
            await until(sim, reboot())
        both = [say(sim, reboot(), f"t{n}") for n in range(100) for sim in (one, two)]
        assert await asyncio.gather(*both) == [DONE] * 200
        world = await one.world()
        assert world == await two.world()
        assert [guest.boots for guest in world.domains] == [101]


async def test_a_file_that_stays_locked_is_an_error_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "LOCK_SECONDS", 0.05)
    async with await Simulator.at(tmp_path / "world") as sim:
        await sim.attach(HOSTS, POOLS)
        db = sqlite3.connect(tmp_path / "world", isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        answers = await asyncio.gather(say(sim, prepare()), say(sim, create()), return_exceptions=True)
        assert all(isinstance(answer, StoreError) and "locked" in str(answer) for answer in answers)
        db.close()
        assert await say(sim, prepare()) == DONE


# Ends

ROOT = Path(__file__).parents[1]
VICTIM = """
import asyncio, sys
from interlock.drivers.simulator import Simulator
from tests.simulated import HOSTS, POOLS, prepare, create

async def one(sim, first):
    for n in range(first, 10**6, 8):
        await sim.perform(prepare(f"vm{n % 250}"), token=f"t{n}", fence=n)
        print(n, flush=True)

async def main():
    sim = await Simulator.at(sys.argv[1])
    await sim.attach(HOSTS, POOLS)
    await asyncio.gather(*(one(sim, n) for n in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 200, 1000])
def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "world"
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdout is not None
        answered = [int(victim.stdout.readline()) for _ in range(lines)]
        victim.kill()
        answered += [int(line) for line in victim.stdout if line.endswith("\n")]
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    remembered = {token for (token,) in db.execute("SELECT token FROM token")}
    db.close()
    assert {f"t{n}" for n in answered} <= remembered
    with synchronous(path) as sim:
        assert sim.say(prepare("vm251"), fence=0) == DONE


async def test_closing_leaves_nothing_and_ends_all(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    sim = await Simulator.at(tmp_path / "world")
    await sim.attach(HOSTS, POOLS)
    assert len(set(threading.enumerate()) - before) == 1
    await asyncio.gather(sim.close(), sim.close())
    await sim.close()
    assert set(threading.enumerate()) == before
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert files(tmp_path) == ["world"]
    for late in (say(sim, prepare()), sim.world(), sim.attach((), ()), sim.fired(1)):
        with pytest.raises(EngineClosed, match="closed"):
            await late


async def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    sim = await Simulator.at(tmp_path / "world", latency=0.03)
    await sim.attach(HOSTS, POOLS)
    travelling = asyncio.create_task(say(sim, prepare()))
    await asyncio.sleep(0)
    await sim.close()
    assert travelling.done() and travelling.result() == DONE


async def test_closing_does_not_wait_for_what_hangs(tmp_path: Path) -> None:
    sim = await Simulator.at(tmp_path / "world")
    order = await sim.order(Fault(kind=FaultKind.HANG))
    hanging = asyncio.create_task(say(sim, prepare()))
    await asyncio.sleep(0)
    assert await sim.fired(order) == 1
    await sim.close()
    with pytest.raises(EngineClosed):
        await hanging


async def test_closing_after_everybody_was_cancelled(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    sim = await Simulator.at(tmp_path / "world")
    tasks = [asyncio.create_task(say(sim, prepare(f"vm{n}"))) for n in range(1, 51)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await sim.close()
    assert set(threading.enumerate()) == before


async def test_the_world_survives_closing(tmp_path: Path) -> None:
    async with await Simulator.at(tmp_path / "world") as sim:
        await sim.attach(HOSTS, POOLS)
        await until(sim, reboot())
        world = await sim.world()
    async with await Simulator.at(tmp_path / "world") as sim:
        assert await sim.world() == world
        assert [await say(sim, command) for command in (start(), stop(), delete(), release())] == [DONE] * 4
        assert await sim.world() == World()


# Options


async def test_the_file_is_in_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path, "cloud")
    async with await Simulator.open({}, home):
        assert (tmp_path / "cloud.simulator").exists()
    async with await Simulator.open({"file": "other", "latency_ms": 1, "jitter_ms": 0.5}, home):
        assert (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"latency": 1}, "'latency'.*cannot, file, jitter_ms, latency_ms"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"latency_ms": float("inf")}, "latency_ms"),
        ({"latency_ms": float("nan")}, "latency_ms"),
        ({"jitter_ms": "soon"}, "jitter_ms"),
        ({"jitter_ms": True}, "jitter_ms"),
        ({"file": 3}, "file"),
        ({"cannot": "hot-plug"}, "cannot"),
        ({"cannot": ["fly"]}, "'fly' in cannot.*security-groups, live-migration"),
    ],
)
async def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(PluginError, match=says):
        await Simulator.open(options, Home(tmp_path, "cloud"))
    assert files(tmp_path) == []


async def test_a_hypervisor_can_be_less_able(tmp_path: Path) -> None:
    options = {"cannot": ["security-groups", "hot-plug"]}
    async with await Simulator.open(options, Home(tmp_path, "cloud")) as sim:
        assert sim.capabilities == set(Capability) - {Capability.SECURITY_GROUPS, Capability.HOT_PLUG}
        await sim.attach(HOSTS, POOLS)
        await until(sim, apply_rules())
        answer = await say(sim, apply_rules())
        assert isinstance(answer, Refused)
        assert (answer.kind, answer.scope) == (Refusal.PERMANENT, Scope.VM)


async def test_a_file_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(StoreError, match="missing"):
        await Simulator.at(tmp_path / "missing" / "world")
    assert set(threading.enumerate()) == before
