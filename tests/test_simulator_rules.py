"""What the simulator promises of each command: done once however often said, refused for the right reason.

Most of it needs no event loop: the rules are synchronous, and are tested where they are.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.drivers.simulator import Domain, Nic, Power, Volume, World
from interlock.drivers.simulator import world as outside
from interlock.drivers.simulator.file import WorldFile
from interlock.schema.commands import AnyCommand, Done, Outcome, Refusal, Refused, Scope
from interlock.schema.errors import StoreError
from tests.simulated import (
    LIFE,
    Synchronous,
    create,
    delete,
    name,
    prepare,
    reboot,
    release,
    start,
    stop,
    synchronous,
)

DONE = Done()


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Synchronous]:
    """An empty cloud."""
    with synchronous(tmp_path / "world") as made:
        yield made


def is_refused(outcome: Outcome | None, scope: Scope, *words: str) -> bool:
    """Whether it is a permanent refusal of that scope whose reason has these words."""
    assert isinstance(outcome, Refused), outcome
    assert (outcome.kind, outcome.scope) == (Refusal.PERMANENT, scope), outcome
    assert all(word in outcome.reason for word in words), outcome
    return True


def up(sim: Synchronous, vm: str = "vm1", at: str = "h1", pool: str = "p1") -> None:
    """Bring a VM up."""
    for command in (prepare(vm, at), create(vm, pool), start(vm, at, pool)):
        assert sim.say(command) == DONE


# Once, twice, five times

Said: TypeAlias = tuple[tuple[AnyCommand, int, int], ...]
VMS, PLACES = st.sampled_from(["vm1", "vm2", "vm3"]), st.sampled_from(["1", "2"])
COMMANDS: st.SearchStrategy[AnyCommand] = st.one_of(
    st.builds(lambda vm, n: prepare(vm, "h" + n), VMS, PLACES),
    st.builds(lambda vm, n: release(vm, "h" + n), VMS, PLACES),
    st.builds(lambda vm, n: create(vm, "p" + n), VMS, PLACES),
    st.builds(lambda vm, n: delete(vm, "p" + n), VMS, PLACES),
    st.builds(lambda vm, n, m: start(vm, "h" + n, "p" + m), VMS, PLACES, PLACES),
    st.builds(lambda vm, n: stop(vm, "h" + n), VMS, PLACES),
    st.builds(lambda vm, n: reboot(vm, "h" + n), VMS, PLACES),
)
UP = st.builds(
    lambda vm, n, m: [prepare(vm, "h" + n), create(vm, "p" + m), start(vm, "h" + n, "p" + m)],
    VMS,
    PLACES,
    PLACES,
)
PHRASES = st.lists(st.one_of(UP, st.lists(COMMANDS, min_size=1, max_size=3)), min_size=1, max_size=12)
"""Chance alone hardly ever brings a VM up; commands at random come between."""
LAG, TIMES = st.sampled_from([0, 0, 0, 0, 0, 9]), st.sampled_from([1, 2, 5])
SAID = PHRASES.map(lambda phrases: [command for phrase in phrases for command in phrase]).flatmap(
    lambda commands: st.tuples(*(st.tuples(st.just(command), LAG, TIMES) for command in commands))
)
"""Commands, how far each one's fence lags behind, and how often it is said."""


@contextmanager
def two_worlds() -> Iterator[tuple[Synchronous, Synchronous]]:
    """Two that are equal and empty."""
    with (
        tempfile.TemporaryDirectory() as folder,
        synchronous(Path(folder) / "once") as once,
        synchronous(Path(folder) / "often") as often,
    ):
        yield once, often


@settings(deadline=None, max_examples=100)
@given(SAID)
def test_saying_it_five_times_makes_the_same_world_as_once(said: Said) -> None:
    with two_worlds() as (once, often):
        answers = []
        for number, (command, lag, times) in enumerate(said):
            sent = (command, f"token-{number}", number - lag)
            answer = once.say(*sent)
            repeated = [often.say(*sent) for _ in range(times)]
            assert repeated == [answer] * times
            answers.append(answer)
        assert often.world() == once.world()
        years_later(once, said, answers)


def years_later(sim: Synchronous, said: Said, answers: list[Outcome | None]) -> None:
    """What was Done is Done when said again at the end, in any order, and changes nothing."""
    before = sim.world()
    for number, (command, lag, _) in reversed(list(enumerate(said))):
        if answers[number] == DONE:
            assert sim.say(command, f"token-{number}", number - lag) == DONE
    assert sim.world() == before
    usage_is_right(sim)


def usage_is_right(sim: Synchronous) -> None:
    """The figures that the triggers keep are those that a recount gives."""
    recount = """
        SELECT id, (SELECT coalesce(sum(cpu_mhz), 0) FROM domain WHERE host = id AND power = 'On'),
            (SELECT coalesce(sum(memory_mib), 0) FROM domain WHERE host = id AND power = 'On') FROM host
    """
    assert sim.query("SELECT id, cpu_used_mhz, memory_used_mib FROM host") == sim.query(recount)
    recount = "SELECT id, (SELECT coalesce(sum(size_mib), 0) FROM volume WHERE pool = pool.id) FROM pool"
    assert sim.query("SELECT id, used_mib FROM pool") == sim.query(recount)


def test_a_life_leaves_the_world_as_it_was(sim: Synchronous) -> None:
    for command in LIFE:
        assert sim.say(command) == DONE
    assert sim.world() == World()


def test_the_world_shows_what_was_done(sim: Synchronous) -> None:
    up(sim)
    sim.say(reboot())
    assert sim.world() == World(
        domains=(Domain("vm1", "h1", "i-vm1", 500, 256, Power.ON, 2),),
        volumes=(Volume("vol1", "p1", "vm1", 10, "debian"),),
        nics=(Nic("nic1", "h1", "vm1", "10.0.0.1", "02:00:00:00:00:01"),),
    )


@pytest.mark.parametrize("command", LIFE[:3], ids=name)
def test_what_is_there_already_is_done_under_another_token_too(sim: Synchronous, command: AnyCommand) -> None:
    up(sim)
    before = sim.world()
    assert sim.say(command) == DONE
    assert sim.world() == before


@pytest.mark.parametrize("command", LIFE[4:], ids=name)
@pytest.mark.parametrize("at", ["h1", "nowhere"])
def test_undoing_nothing_is_done(sim: Synchronous, command: AnyCommand, at: str) -> None:
    assert sim.say(msgspec.structs.replace(command, at=at)) == DONE
    assert sim.world() == World()


@pytest.mark.parametrize("command", [stop(at="h2"), release(at="h2"), delete(at="p2")], ids=name)
def test_undoing_elsewhere_leaves_it(sim: Synchronous, command: AnyCommand) -> None:
    up(sim)
    before = sim.world()
    assert sim.say(command) == DONE
    assert sim.world() == before


def test_only_done_is_remembered(sim: Synchronous) -> None:
    assert is_refused(sim.say(start(), "same"), Scope.HOST)
    sim.say(prepare())
    sim.say(create())
    assert sim.say(start(), "same") == DONE


def test_one_token_is_for_one_effect(sim: Synchronous) -> None:
    sim.say(prepare(), "same")
    assert is_refused(sim.say(prepare(at="h2"), "same"), Scope.VM, "same", "PrepareNic h1 nic nic1")
    assert [nic.host_id for nic in sim.world().nics] == ["h1"]


# Fences


def test_a_lower_fence_is_refused_and_changes_nothing(sim: Synchronous) -> None:
    sim.say(prepare(), fence=7)
    before = sim.world()
    assert is_refused(sim.say(release(), fence=6), Scope.VM, "fence 6", "7")
    assert is_refused(sim.say(create(), fence=6), Scope.VM)
    assert sim.world() == before
    assert sim.say(release(), fence=7) == DONE


def test_a_fence_is_one_vms_own(sim: Synchronous) -> None:
    sim.say(prepare("vm1"), fence=7)
    assert sim.say(prepare("vm2"), fence=1) == DONE


def test_a_fence_counts_from_when_it_is_seen_even_if_nothing_was_done(sim: Synchronous) -> None:
    sim.say(prepare(), "done", fence=1)
    assert is_refused(sim.say(start(), fence=5), Scope.VM, "volume")
    assert is_refused(sim.say(create(), fence=4), Scope.VM, "fence")
    assert sim.say(prepare(), "done", fence=9) == DONE
    assert is_refused(sim.say(create(), fence=8), Scope.VM, "fence")


# Refusals


def test_places_that_are_not_there(sim: Synchronous) -> None:
    assert is_refused(sim.say(prepare(at="h9")), Scope.HOST, "h9")
    assert is_refused(sim.say(start(at="h9")), Scope.HOST, "h9")
    assert is_refused(sim.say(create(at="p9")), Scope.POOL, "p9")


def test_a_host_has_so_much_room(sim: Synchronous) -> None:
    up(sim, "vm1")
    for command in (prepare("vm2"), create("vm2")):
        sim.say(command)
    assert is_refused(sim.say(start("vm2", cpu=501)), Scope.HOST, "h1", "500 MHz free", "501")
    assert is_refused(sim.say(start("vm2", memory=257)), Scope.HOST, "h1", "256 MiB free", "257")
    assert sim.say(start("vm2")) == DONE
    sim.say(prepare("vm3"))
    assert is_refused(sim.say(start("vm3", cpu=1)), Scope.HOST)
    sim.say(stop("vm1"))
    sim.say(create("vm3"))
    assert sim.say(start("vm3")) == DONE


def test_overcommit_is_room(sim: Synchronous) -> None:
    for command in (prepare("vm1", "h2"), create("vm1", "p2")):
        sim.say(command)
    assert sim.say(start("vm1", "h2", "p2", memory=1024)) == DONE


def test_a_pool_has_so_much_space(sim: Synchronous) -> None:
    assert sim.say(create("vm1", size=25)) == DONE
    assert is_refused(sim.say(create("vm2", size=6)), Scope.POOL, "p1", "5 MiB free", "6")
    sim.say(delete("vm1"))
    assert sim.say(create("vm2", size=30)) == DONE


def test_what_a_guest_needs_must_be_there(sim: Synchronous) -> None:
    assert is_refused(sim.say(start()), Scope.HOST, "nic1", "h1")
    sim.say(prepare(at="h2"))
    assert is_refused(sim.say(start()), Scope.HOST, "nic1", "h1")
    sim.say(prepare())
    assert is_refused(sim.say(start()), Scope.VM, "vol1", "p1")
    sim.say(create(at="p2"))
    assert is_refused(sim.say(start()), Scope.VM, "vol1", "p1")
    sim.say(create())
    assert sim.say(start()) == DONE


def test_a_vm_never_has_two_guests(sim: Synchronous) -> None:
    up(sim)
    sim.say(prepare(at="h2"))
    assert is_refused(sim.say(start(at="h2")), Scope.VM, "already runs on host h1")
    sim.file.run([lambda db: outside.power_off_inside(db, "vm1")])
    assert is_refused(sim.say(start(at="h2")), Scope.VM, "defined", "h1")
    sim.say(stop())
    assert sim.say(start(at="h2")) == DONE


def test_a_volume_of_another_make_is_in_the_way(sim: Synchronous) -> None:
    sim.say(create(size=10))
    assert is_refused(sim.say(create(size=11)), Scope.VM, "vol1", "10 MiB")


def test_only_a_guest_that_runs_can_be_rebooted(sim: Synchronous) -> None:
    assert is_refused(sim.say(reboot()), Scope.VM, "vm1", "h1")
    up(sim)
    assert is_refused(sim.say(reboot(at="h2")), Scope.VM, "h2")
    sim.file.run([lambda db: outside.power_off_inside(db, "vm1")])
    assert is_refused(sim.say(reboot()), Scope.VM)


def test_a_guest_that_is_off_takes_no_room_and_can_be_started_again(sim: Synchronous) -> None:
    up(sim, "vm1")
    up(sim, "vm2")
    sim.file.run([lambda db: outside.power_off_inside(db, "vm1")])
    usage_is_right(sim)
    sim.say(prepare("vm3"))
    sim.say(create("vm3"))
    assert sim.say(start("vm3")) == DONE
    assert is_refused(sim.say(start("vm1")), Scope.HOST, "0 MHz free")
    sim.say(stop("vm3"))
    assert sim.say(start("vm1")) == DONE
    assert [(guest.vm_id, guest.boots) for guest in sim.world().domains] == [("vm1", 2), ("vm2", 1)]
    usage_is_right(sim)


# The file


def test_a_job_that_raises_does_not_disturb_the_others(sim: Synchronous) -> None:
    def bug(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM host")
        raise ZeroDivisionError

    good = "INSERT INTO fence (vm, fence) VALUES ('a', 1) RETURNING fence"
    answers = sim.file.run([lambda db: db.execute(good).fetchone(), bug, outside.read])
    assert answers[0] == (1,)
    assert isinstance(answers[1], ZeroDivisionError)
    assert answers[2] == World()
    assert sim.query("SELECT count(*) FROM host") == [(2,)]


@pytest.mark.parametrize("content", [b"not a database at all " * 99, None])
def test_a_strangers_file_is_refused_and_left_alone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "theirs"
    if content is None:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE precious (id)")
        db.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    file = WorldFile(path, lambda: 0.0)
    with pytest.raises(StoreError, match="theirs"):
        file.open()
    file.close()
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["theirs"]
