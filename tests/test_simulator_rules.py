"""What the simulator promises of each command: done once however often said, refused for the right reason.

Most of it needs no event loop: the rules are synchronous, and are tested where they are.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.drivers.simulator import Domain, Nic, PluggedNic, PluggedVolume, Power, Volume, World
from interlock.drivers.simulator import world as outside
from interlock.drivers.simulator.file import WorldFile
from interlock.schema import reports
from interlock.schema.commands import (
    COMMANDS,
    AnyCommand,
    AtPool,
    Done,
    LookForDomain,
    Outcome,
    RebootDomain,
    Scope,
)
from interlock.schema.errors import StoreError
from interlock.schema.reports import Found
from tests.lives import LIVES, of_no_vm
from tests.simulated import (
    LIFE,
    UNDOING,
    Synchronous,
    apply_rules,
    assert_counted,
    create,
    delete,
    is_refused,
    look,
    name,
    plug_volume,
    prepare,
    quarantine,
    reboot,
    release,
    rules,
    scale,
    start,
    stop,
    synchronous,
    up,
    up_with_all,
    volume,
)

DONE = Done()


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Synchronous]:
    """An empty cloud."""
    with synchronous(tmp_path / "world") as made:
        yield made


# Once, twice, five times

Said: TypeAlias = tuple[tuple[AnyCommand, int, int], ...]
LAG, TIMES = st.sampled_from([0, 0, 0, 0, 0, 9]), st.sampled_from([1, 2, 5])
SAID = LIVES.flatmap(lambda commands: st.tuples(*(st.tuples(st.just(command), LAG, TIMES) for command in commands)))
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
    assert_counted(sim)


def test_a_life_has_every_command_and_leaves_the_world_as_it_was(sim: Synchronous) -> None:
    assert {type(command) for command in LIFE} == set(COMMANDS) - {LookForDomain}
    for command in LIFE:
        assert sim.say(command) == DONE
    assert sim.world() == World()


def test_a_look_says_what_is_there_each_time_and_changes_nothing(sim: Synchronous) -> None:
    def found(at: str = "h1") -> Found | None:
        before = sim.world()
        answer = sim.say(look(at=at), "the same token")
        assert sim.world() == before
        assert isinstance(answer, Done)
        return answer.found

    assert found() == Found(reports.Power.ABSENT)
    up(sim)
    assert found() == Found(reports.Power.ON)
    assert found("h2") == Found(reports.Power.ABSENT)
    sim.say(quarantine())
    assert found() == Found(reports.Power.PAUSED)
    sim.power_off_inside("vm1")
    assert found() == Found(reports.Power.OFF)


def test_what_was_sent_before_a_look_never_happens_after_it(sim: Synchronous) -> None:
    for command in (prepare(), create()):
        sim.say(command, fence=5)
    assert isinstance(sim.say(look(), fence=6), Done)
    assert is_refused(sim.say(start(), fence=5), Scope.VM, "too low")


def test_only_what_does_not_run_is_removed_if_so_asked(sim: Synchronous) -> None:
    up(sim)
    gently = msgspec.structs.replace(stop(), unless_up=True)
    assert is_refused(sim.say(gently), Scope.VM, "runs on host h1")
    sim.say(quarantine())
    assert is_refused(sim.say(gently), Scope.VM)
    assert is_refused(sim.say(start()), Scope.VM, "halted")
    sim.power_off_inside("vm1")
    assert sim.say(gently) == sim.say(gently) == DONE
    assert sim.world().domains == ()


def test_the_world_shows_what_was_done(sim: Synchronous) -> None:
    up_with_all(sim)
    for command in (reboot(), apply_rules(), scale()):
        assert sim.say(command) == DONE
    guest = Domain(
        vm_id="vm1",
        host_id="h1",
        name="vm1",
        instance_name="i-vm1",
        cpu_cores=2,
        cpu_mhz=1200,
        memory_mib=600,
        cpu_held_mhz=600,
        memory_held_mib=300,
        iso=None,
        user_data_sha256=None,
        ssh_keys=(),
        details=(),
        rules=rules(),
        power=Power.ON,
        boots=2,
        nics=(
            PluggedNic(0, "nic1", True, "10.0.0.1", None, "02:00:00:00:00:01"),
            PluggedNic(1, "nic1-1", False, "10.0.1.1", "fd00::1:1", "02:00:00:00:01:01"),
        ),
        volumes=(PluggedVolume(0, "vol1", "p1", 10), PluggedVolume(1, "vol1-1", "p1", 5)),
    )
    assert sim.world() == World(
        domains=(guest,),
        volumes=(
            Volume("vol1", "p1", "vm1", 10, "debian", "full"),
            Volume("vol1-1", "p1", "vm1", 5, "debian", "full"),
        ),
        nics=(
            Nic("nic1", "h1", "vm1", "10.0.0.1", None, "02:00:00:00:00:01"),
            Nic("nic1-1", "h1", "vm1", "10.0.1.1", "fd00::1:1", "02:00:00:00:01:01"),
        ),
    )
    assert hash(sim.world()) == hash(sim.world())


def test_a_guest_is_defined_with_all_that_its_command_says(sim: Synchronous) -> None:
    more: dict[str, Any] = {
        "iso": "debian-iso",
        "user_data": "aGVsbG8=",
        "ssh_keys": ("ssh-ed25519 A",),
        "details": {"b": "2", "a": "1"},
    }
    for command in (prepare(), create(), msgspec.structs.replace(start(filters=rules()), **more)):
        assert sim.say(command) == DONE
    [guest] = sim.world().domains
    assert (guest.iso, guest.ssh_keys, guest.details) == ("debian-iso", ("ssh-ed25519 A",), (("a", "1"), ("b", "2")))
    assert guest.user_data_sha256 == hashlib.sha256(b"aGVsbG8=").hexdigest()
    assert guest.rules == rules()


@pytest.mark.parametrize("command", LIFE, ids=name)
def test_what_is_so_already_is_done_under_another_token_too(sim: Synchronous, command: AnyCommand) -> None:
    for earlier in LIFE[: LIFE.index(command) + 1]:
        assert sim.say(earlier) == DONE
    before = sim.world()
    assert sim.say(command) == DONE
    assert (sim.world() == before) == (not isinstance(command, RebootDomain))
    assert_counted(sim)


@pytest.mark.parametrize("command", UNDOING, ids=name)
@pytest.mark.parametrize("at", ["h1", "p1", "nowhere"])
def test_undoing_nothing_is_done(sim: Synchronous, command: AnyCommand, at: str) -> None:
    assert sim.say(msgspec.structs.replace(command, at=at)) == DONE
    assert sim.world() == World()


@pytest.mark.parametrize("command", UNDOING, ids=name)
def test_undoing_elsewhere_leaves_it(sim: Synchronous, command: AnyCommand) -> None:
    up_with_all(sim)
    command = msgspec.structs.replace(command, at="p2" if isinstance(command, AtPool) else "h2")
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


def test_a_disk_of_no_vm_has_a_fence_of_its_own(sim: Synchronous) -> None:
    sim.say(of_no_vm(create(vm="vm1")), fence=7)
    sim.say(of_no_vm(create(vm="vm2")), fence=1)
    before = sim.world()
    assert is_refused(sim.say(of_no_vm(delete("vm1")), fence=6), Scope.VM, "fence 6", "vol vol1", "7")
    assert sim.world() == before
    assert sim.say(of_no_vm(delete("vm2")), fence=6) == DONE


def test_a_disk_takes_its_fence_along_from_vm_to_vm(sim: Synchronous) -> None:
    sim.say(of_no_vm(create("vm1")), fence=5)
    up(sim, "vm2")
    handed_over = msgspec.structs.replace(plug_volume("vm1", device=0), vm_id="vm2")
    assert sim.say(handed_over, fence=9) == DONE
    before = sim.world()
    assert is_refused(sim.say(of_no_vm(delete("vm1")), fence=6), Scope.VM, "vol vol1", "9")
    assert is_refused(sim.say(delete("vm1"), fence=6), Scope.VM, "vol vol1", "9")
    assert sim.world() == before


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


def test_a_host_has_no_more_than_it_has_whatever_its_overcommit(sim: Synchronous) -> None:
    for command in (prepare("vm1", "h2"), create("vm1", "p2")):
        sim.say(command)
    assert is_refused(sim.say(start("vm1", "h2", "p2", memory=513)), Scope.HOST, "512 MiB free", "513")
    assert sim.say(start("vm1", "h2", "p2", memory=512)) == DONE
    assert [guest.memory_mib for guest in sim.world().domains] == [1024]


def test_a_pool_has_its_overcommit(sim: Synchronous) -> None:
    assert is_refused(sim.say(create(at="p2", size=31)), Scope.POOL, "p2", "30 MiB free", "31")
    assert sim.say(create(at="p2", size=30)) == DONE


def test_a_linked_clone_takes_its_whole_size(sim: Synchronous) -> None:
    assert sim.say(create(size=20, clone="linked")) == DONE
    assert is_refused(sim.say(create("vm2", size=11)), Scope.POOL, "10 MiB free")
    assert [volume.clone for volume in sim.world().volumes] == ["linked"]


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
    sim.power_off_inside("vm1")
    assert is_refused(sim.say(start(at="h2")), Scope.VM, "defined", "h1")
    sim.say(stop())
    assert sim.say(start(at="h2")) == DONE


def test_a_volume_of_another_make_is_in_the_way(sim: Synchronous) -> None:
    sim.say(create(size=10))
    assert is_refused(sim.say(create(size=11)), Scope.VM, "vol1", "VM vm1 with 10 MiB", "full clone of template debian")
    assert is_refused(sim.say(create(clone="linked")), Scope.VM, "vol1", "full clone")
    assert is_refused(sim.say(of_no_vm(create())), Scope.VM, "vol1", "VM vm1")
    sim.say(delete())
    blank = msgspec.structs.replace(volume("vm1"), template_id=None, clone=None)
    sim.say(of_no_vm(msgspec.structs.replace(create(), volume=blank)))
    assert is_refused(sim.say(create()), Scope.VM, "vol1", "no VM", "blank")


def test_only_a_guest_that_runs_can_be_rebooted(sim: Synchronous) -> None:
    assert is_refused(sim.say(reboot()), Scope.VM, "vm1", "h1")
    up(sim)
    assert is_refused(sim.say(reboot(at="h2")), Scope.VM, "h2")
    sim.power_off_inside("vm1")
    assert is_refused(sim.say(reboot()), Scope.VM)


def test_a_guest_that_is_off_takes_no_room_and_can_be_started_again(sim: Synchronous) -> None:
    up(sim, "vm1")
    up(sim, "vm2")
    sim.power_off_inside("vm1")
    assert_counted(sim)
    sim.say(prepare("vm3"))
    sim.say(create("vm3"))
    assert sim.say(start("vm3")) == DONE
    assert is_refused(sim.say(start("vm1")), Scope.HOST, "0 MHz free")
    sim.say(stop("vm3"))
    assert sim.say(start("vm1")) == DONE
    assert [(guest.vm_id, guest.boots) for guest in sim.world().domains] == [("vm1", 2), ("vm2", 1)]
    assert_counted(sim)


# The file


def test_a_job_that_raises_does_not_disturb_the_others(sim: Synchronous) -> None:
    def bug(db: sqlite3.Cursor) -> None:
        db.execute("DELETE FROM host")
        raise ZeroDivisionError

    good = "INSERT INTO fence (entity, fence) VALUES ('a', 1) RETURNING fence"
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
