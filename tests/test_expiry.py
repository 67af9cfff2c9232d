"""Destroyed VMs are expunged by themselves when `expunge.delay` has passed, and neither before nor over and over.

Time passes by a setting that is shortened, or by a clock that the test turns; nothing here asserts how long it took.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock import CloudDescription, Engine
from interlock.drivers.simulator import FaultKind
from interlock.engine.orchestrator import expiry
from interlock.engine.orchestrator.clock import now
from interlock.engine.orchestrator.lease import SECOND
from interlock.schema.errors import InterlockError
from interlock.schema.requests import ExpungeVM
from interlock.schema.settings import EXPUNGE_DELAY
from tests.world import CLOUD, QUICK, World, world

DELAY = EXPUNGE_DELAY.name
DAY = 86_400
PATIENCE = 40.0
"""Seconds that a test waits for what must come."""
ACCOUNTS = ("a", "b")
OWNERS = CLOUD.format(hosts=2, memory=8192, space=100_000) + "".join(
    f'[[accounts]]\nname = "{name}"\n' for name in ACCOUNTS
)
Turn = Callable[[float], None]


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Turn:
    """Turns the clock by which VMs fall due, by so many seconds."""
    return turned(monkeypatch)


def turned(monkeypatch: pytest.MonkeyPatch) -> Turn:
    """The same, for one example of a property."""
    ahead = 0.0
    monkeypatch.setattr(expiry, "now", lambda: now() + int(ahead * SECOND))

    def by(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    return by


async def until(lab: World, *states: str, name: str = "web") -> None:
    """Wait until a VM is in one of some states."""
    async with asyncio.timeout(PATIENCE):
        while (await lab.vm(name)).state not in states:
            await asyncio.sleep(0.01)


async def look(lab: World) -> None:
    """What the timer does when it rings; and let what is begun end."""
    await lab.engine._orchestrator.expiry.look()
    await lab.engine.idle()


async def kinds(lab: World, name: str = "web") -> list[tuple[str, str]]:
    """The operations there were on a VM, and who asked for each."""
    return [(each.kind, each.actor) for each in await lab.engine.operations((await lab.vm(name)).id)]


async def test_a_destroyed_vm_is_expunged_when_the_delay_has_passed_and_not_before(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path) as lab:
        clean = await lab.books()
        await lab.deploy()
        await lab.run("destroy")
        turn(DAY - 60)
        await look(lab)
        assert (await lab.vm()).state == "Destroyed"
        turn(61)
        await look(lab)
        assert (await lab.vm()).state == "Expunged"
        assert (await kinds(lab))[-1] == ("expunge", "interlock")
        assert await lab.books() == clean


async def test_the_timer_rings_by_itself(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.engine.set_setting(DELAY, 1)
        await lab.deploy()
        await lab.run("destroy")
        await lab.engine.idle()
        assert (await lab.vm()).state == "Destroyed"
        await until(lab, "Expunged")


async def test_with_no_delay_it_is_expunged_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.engine.set_setting(DELAY, 0)
        await lab.deploy()
        await lab.run("destroy")
        await until(lab, "Expunged")


async def test_shortening_the_delay_expunges_what_is_due_by_the_new_one(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        await lab.run("destroy")
        turn(100)
        await lab.engine.set_setting(DELAY, 99)
        await lab.engine.idle()
        assert (await lab.vm()).state == "Expunged"


async def test_never_is_never_until_it_is_said_otherwise(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path) as lab:
        await lab.engine.set_setting(DELAY, -1)
        await lab.deploy()
        await lab.run("destroy")
        turn(1000 * DAY)
        await look(lab)
        assert (await lab.vm()).state == "Destroyed"
        await lab.engine.unset_setting(DELAY)
        await lab.engine.idle()
        assert (await lab.vm()).state == "Expunged"


@settings(max_examples=8)
@given(
    everywhere=st.sampled_from([-1, 0, 50, 200]),
    own=st.dictionaries(st.sampled_from(ACCOUNTS), st.sampled_from([-1, 0, 50, 200]), max_size=2),
    passed=st.sampled_from([10, 100, 1000]),
)
def test_each_account_has_its_own_delay_over_that_of_all(
    tmp_path_factory: pytest.TempPathFactory, everywhere: int, own: dict[str, int], passed: int
) -> None:
    async def check(folder: Path, turn: Turn) -> None:
        async with world(folder, description=CloudDescription.parse(OWNERS)) as lab:
            await lab.engine.set_setting(DELAY, 10_000_000)
            owners = {f"of-{owner}": owner for owner in (*ACCOUNTS, "system")}
            for name, owner in owners.items():
                await lab.deploy(name, account=owner, start=False)
                await lab.run("destroy", name)
            turn(passed)
            for owner, delay in own.items():
                await lab.engine.set_setting(DELAY, delay, scope="account", place=owner)
            await lab.engine.set_setting(DELAY, everywhere)
            await lab.engine.idle()
            for name, owner in owners.items():
                delay = own.get(owner, everywhere)
                expected = "Expunged" if 0 <= delay <= passed else "Destroyed"
                assert (await lab.vm(name)).state == expected, (name, delay)

    with pytest.MonkeyPatch.context() as patch:
        asyncio.run(check(tmp_path_factory.mktemp("accounts"), turned(patch)))


async def test_a_vm_that_is_due_can_be_recovered_until_it_is_asked_for(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        await lab.run("destroy")
        turn(DAY + 1)
        assert (await lab.run("recover")).state == "Succeeded"
        await look(lab)
        assert (await lab.vm()).state == "Stopped"
        await lab.run("destroy")
        await look(lab)
        assert (await lab.vm()).state == "Expunged"  # by a clock that is a day ahead it has been due all along


async def test_what_was_destroyed_before_is_expunged_by_the_next_engine(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        await lab.run("destroy")
    turn(DAY + 1)
    async with world(tmp_path) as lab:
        await lab.engine.idle()
        assert (await lab.vm()).state == "Expunged"


async def test_an_engine_that_only_looks_expunges_nothing(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        await lab.run("destroy")
    turn(DAY + 1)
    async with world(tmp_path, recover=False) as lab:
        await look(lab)
        assert (await lab.vm()).state == "Destroyed"


async def test_a_failed_expunge_is_left_to_a_person(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        await lab.run("destroy")
        fault = await lab.order("DeleteVolume", FaultKind.REFUSE_VM)
        turn(DAY + 1)
        await look(lab)
        assert await lab.simulator.fired(fault) == 1
        assert (await lab.vm()).state == "Error"
        before = await kinds(lab)
        turn(10 * DAY)
        await look(lab)
        assert await kinds(lab) == before
        assert (await lab.run("expunge")).state == "Succeeded"


async def test_a_vm_that_another_operation_owns_is_left_alone(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path, latency=0.2) as lab:
        await lab.deploy()
        await lab.run("destroy")
        turn(DAY + 1)
        handle = await lab.engine.expunge("web")
        await look(lab)
        assert (await handle.ended()).state == "Succeeded"
        assert [actor for kind, actor in await kinds(lab) if kind == "expunge"] == ["embedder"]


async def test_more_than_one_look_takes_are_all_expunged(
    tmp_path: Path, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "AT_ONCE", 3)
    monkeypatch.setattr(expiry, "PAUSE", 0.01)
    async with world(tmp_path) as lab:
        for number in range(8):
            await lab.deploy(f"vm-{number}", start=False)
            await lab.run("destroy", f"vm-{number}")
        turn(DAY + 1)
        await look(lab)
        for number in range(8):
            await until(lab, "Expunged", name=f"vm-{number}")


async def test_of_several_engines_one_expunges_it(tmp_path: Path, turn: Turn) -> None:
    async with world(tmp_path) as one:
        drivers = {"simulator": one.simulator}
        async with Engine.open(str(tmp_path / "interlock.db"), policy=QUICK, drivers=drivers) as other:
            names = [f"vm-{number}" for number in range(6)]
            for name in names:
                await one.deploy(name)
                await one.run("destroy", name)
            turn(DAY + 1)
            await asyncio.gather(*(engine._orchestrator.expiry.look() for engine in (one.engine, other)))
            for name in names:
                await until(one, "Expunged", name=name)
            await asyncio.gather(one.engine.idle(), other.idle())
            for name in names:
                operations = await one.engine.operations((await one.vm(name)).id)
                assert [each.state for each in operations if each.kind == "expunge"].count("Succeeded") == 1
                assert {each.state for each in operations} <= {"Succeeded", "Failed"}


async def test_what_was_admitted_while_another_operation_began_and_ended_fails_and_says_why(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        await lab.run("destroy")
        orchestrator = lab.engine._orchestrator
        case, event = await orchestrator.prepare(ExpungeVM((await lab.vm()).id), "slow", None)
        await lab.run("expunge")
        late = (await orchestrator.commits.request(case, event)).decision
        orchestrator.begin(late)
        operation = await orchestrator.ended(late.operation.id)
        assert operation.state == "Failed"
        assert operation.error and operation.error.startswith("cannot expunge VM web: it is Expunged")
        await lab.assert_sound()


async def test_an_engine_that_finds_that_others_wrote_looks_after_the_least_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "AGAIN", 0.05)
    async with world(tmp_path) as one:
        await one.engine.set_setting(DELAY, 1)
        await one.deploy("own")
        drivers = {"simulator": one.simulator}
        async with Engine.open(str(tmp_path / "interlock.db"), drivers=drivers, recover=False) as other:
            await (await other.deploy(one.request("web"))).wait()
            await (await other.destroy("web")).wait()
        await one.run("stop", "own")
        await until(one, "Expunged")


async def test_a_look_that_fails_is_made_again(tmp_path: Path, turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "AGAIN", 0.05)
    async with world(tmp_path) as lab:
        await lab.deploy()
        await lab.run("destroy")
        store, fired = lab.engine._store, 0
        rows = store.rows

        async def broken(query: object) -> object:
            nonlocal fired
            fired += 1
            monkeypatch.setattr(store, "rows", rows)
            raise InterlockError("the database is away")

        monkeypatch.setattr(store, "rows", broken)
        turn(DAY + 1)
        await look(lab)
        assert fired == 1
        await until(lab, "Expunged")


async def test_closing_leaves_no_timer_and_no_task(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()
    async with world(tmp_path) as lab:
        await lab.deploy()
        await lab.run("destroy")
        waits = lab.engine._orchestrator.expiry
        assert waits._timer is not None
        timer = waits._timer
        await asyncio.wait_for(lab.engine.idle(), PATIENCE)
    assert timer.cancelled() and waits._timer is None
    assert asyncio.all_tasks() == tasks
