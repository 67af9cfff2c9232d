"""What befalls a guest while it runs: moved, scaled, plugged, filtered; and what a hypervisor may be unable to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from interlock.drivers.simulator import PluggedVolume, Power
from interlock.drivers.simulator.capabilities import ALL, NEEDS
from interlock.schema.commands import (
    AnyCommand,
    ApplyRules,
    Capability,
    Command,
    Done,
    MigrateDomain,
    PlugNic,
    PlugVolume,
    QuarantineDomain,
    RuleSpec,
    ScaleDomain,
    Scope,
    UnplugNic,
    UnplugVolume,
)
from tests.simulated import (
    HOSTS,
    LIFE,
    POOLS,
    UNDOING,
    Synchronous,
    apply_rules,
    assert_counted,
    create,
    delete,
    is_refused,
    migrate,
    name,
    nic,
    plug_nic,
    plug_volume,
    prepare,
    reboot,
    release,
    resize,
    rules,
    scale,
    start,
    stop,
    synchronous,
    unplug_nic,
    unplug_volume,
    up,
    up_with_all,
)

DONE = Done()


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Synchronous]:
    """An empty cloud."""
    with synchronous(tmp_path / "world") as made:
        yield made


def used(sim: Synchronous) -> dict[str, tuple[int, int]]:
    """What each host counts as used."""
    rows = sim.query("SELECT id, cpu_used_mhz, memory_used_mib FROM host")
    return {id: (cpu, memory) for id, cpu, memory in rows}


@pytest.mark.parametrize("command", [reboot(), scale(), plug_nic(), plug_volume(), migrate()], ids=name)
def test_a_guest_must_run_where_the_command_goes(sim: Synchronous, command: AnyCommand) -> None:
    sim.say(prepare(device=1))
    sim.say(create(size=5, device=1))
    assert is_refused(sim.say(command), Scope.VM, "vm1", "h1")
    up(sim)
    assert is_refused(sim.say(msgspec.structs.replace(command, at="h3")), Scope.VM, "vm1", "h3")
    sim.power_off_inside("vm1")
    before = sim.world()
    assert is_refused(sim.say(command), Scope.VM, "vm1", "h1")
    assert sim.world() == before


# Moving


def test_a_guest_moves_with_all_it_has(sim: Synchronous) -> None:
    up_with_all(sim)
    sim.say(reboot())
    [before] = sim.world().domains
    assert used(sim) == {"h1": (500, 256), "h2": (0, 0)}
    for command in (prepare(at="h2"), prepare(at="h2", device=1), migrate(cpu=300, memory=200)):
        assert sim.say(command) == DONE
    [after] = sim.world().domains
    moved = msgspec.structs.replace(before, host_id="h2", cpu_held_mhz=300, memory_held_mib=200)
    assert after == moved
    assert used(sim) == {"h1": (0, 0), "h2": (300, 200)}


def test_the_source_may_be_cleared_and_a_repeated_migration_is_done(sim: Synchronous) -> None:
    up(sim)
    for command in (prepare(at="h2"), migrate(), release(), stop()):
        assert sim.say(command) == DONE
    before = sim.world()
    assert sim.say(migrate()) == DONE
    assert sim.world() == before
    assert [guest.host_id for guest in before.domains] == ["h2"]


def test_a_migration_needs_room_where_it_goes(sim: Synchronous) -> None:
    up(sim, "vm1", "h1")
    up(sim, "vm2", "h2")
    sim.say(prepare(at="h2"))
    before = sim.world()
    assert is_refused(sim.say(migrate(to="h9")), Scope.HOST, "h9")
    assert is_refused(sim.say(migrate(cpu=501)), Scope.HOST, "h2", "500 MHz free", "501")
    assert is_refused(sim.say(migrate(memory=257)), Scope.HOST, "h2", "256 MiB free", "257")
    assert sim.world() == before
    assert sim.say(migrate()) == DONE
    assert_counted(sim)


def test_a_migration_needs_the_nics_where_it_goes(sim: Synchronous) -> None:
    up_with_all(sim)
    assert is_refused(sim.say(migrate()), Scope.HOST, "nic1", "h2")
    sim.say(prepare(at="h2"))
    assert is_refused(sim.say(migrate()), Scope.HOST, "nic1-1", "h2")
    other = msgspec.structs.replace(nic("vm1", 1), ip6_address=None)
    sim.say(msgspec.structs.replace(prepare(at="h2", device=1), nic=other))
    assert is_refused(sim.say(migrate()), Scope.HOST, "nic1-1", "h2")
    sim.say(prepare(at="h2", device=1))
    assert sim.say(migrate()) == DONE


def test_a_migration_needs_the_volumes(sim: Synchronous) -> None:
    up_with_all(sim)
    for command in (prepare(at="h2"), prepare(at="h2", device=1), delete(device=1)):
        sim.say(command)
    assert is_refused(sim.say(migrate()), Scope.VM, "vol1-1", "p1")


# Scaling


def test_scaling_takes_and_gives_back_the_difference(sim: Synchronous) -> None:
    up(sim)
    up(sim, "vm2")
    assert is_refused(sim.say(scale(cpu=501, memory=256)), Scope.HOST, "h1", "0 MHz free", "1 needed")
    assert is_refused(sim.say(scale(cpu=500, memory=257)), Scope.HOST, "h1", "0 MiB free", "1 needed")
    assert sim.say(scale("vm2", cpu=400, memory=200)) == DONE
    assert sim.say(scale(cpu=600, memory=312)) == DONE
    assert used(sim)["h1"] == (1000, 512)
    assert [(guest.cpu_cores, guest.cpu_mhz, guest.memory_mib) for guest in sim.world().domains] == [
        (2, 1200, 624),
        (2, 800, 400),
    ]


def test_a_guest_may_shrink_on_a_host_that_has_shrunk(sim: Synchronous) -> None:
    up(sim)
    sim.attach(msgspec.structs.replace(HOSTS[0], cpu_mhz=100, memory_mib=100))
    assert is_refused(sim.say(scale(cpu=501, memory=256)), Scope.HOST, "-400 MHz free")
    assert sim.say(scale(cpu=300, memory=200)) == DONE
    assert used(sim)["h1"] == (300, 200)


def test_what_was_scaled_is_given_back_when_the_guest_is_off(sim: Synchronous) -> None:
    up(sim)
    sim.say(scale())
    sim.power_off_inside("vm1")
    assert used(sim)["h1"] == (0, 0)
    assert sim.say(start(cpu=200, memory=100)) == DONE
    assert used(sim)["h1"] == (200, 100)


# Plugs


def test_a_nic_must_be_ready_where_it_is_plugged(sim: Synchronous) -> None:
    up(sim)
    sim.say(prepare(at="h2", device=1))
    assert is_refused(sim.say(plug_nic()), Scope.HOST, "nic1-1", "h1")
    sim.say(prepare(device=1))
    assert sim.say(plug_nic()) == DONE


def test_a_volume_must_exist_to_be_plugged(sim: Synchronous) -> None:
    up(sim)
    sim.say(create(at="p2", size=5, device=1))
    assert is_refused(sim.say(plug_volume()), Scope.VM, "vol1-1", "p1")
    assert sim.say(plug_volume(pool="p2")) == DONE


def test_a_volume_that_is_plugged_already_stays_as_it_is(sim: Synchronous) -> None:
    up_with_all(sim)
    sim.say(resize(size=12, device=1))
    before = sim.world()
    assert sim.say(plug_volume()) == DONE
    assert sim.world() == before


def test_what_is_unplugged_stays_where_it_is(sim: Synchronous) -> None:
    up_with_all(sim)
    before = sim.world()
    for command in (unplug_nic(), unplug_volume()):
        assert sim.say(command) == DONE
    after = sim.world()
    assert (after.nics, after.volumes) == (before.nics, before.volumes)
    [guest] = after.domains
    assert [plug.id for plug in guest.nics] == ["nic1"]
    assert [plug.id for plug in guest.volumes] == ["vol1"]


def test_a_guest_that_is_stopped_leaves_nothing_plugged(sim: Synchronous) -> None:
    up_with_all(sim)
    before = sim.world()
    sim.say(stop())
    after = sim.world()
    assert (after.domains, after.nics, after.volumes) == ((), before.nics, before.volumes)
    assert sim.query("SELECT * FROM plugged_nic") == sim.query("SELECT * FROM plugged_volume") == []


def test_a_guest_that_starts_again_has_only_what_it_is_started_with(sim: Synchronous) -> None:
    up_with_all(sim)
    sim.say(apply_rules())
    sim.power_off_inside("vm1")
    assert sim.say(start()) == DONE
    [guest] = sim.world().domains
    assert ([plug.id for plug in guest.nics], [plug.id for plug in guest.volumes]) == (["nic1"], ["vol1"])
    assert (guest.rules, guest.power, guest.boots) == (None, Power.ON, 2)


def test_a_volume_deleted_under_a_guest_is_seen(sim: Synchronous) -> None:
    up(sim)
    assert sim.say(delete()) == DONE
    world = sim.world()
    assert world.volumes == ()
    assert [guest.volumes for guest in world.domains] == [(PluggedVolume(0, "vol1", "p1", 10),)]


def test_a_volume_in_two_guests_is_seen(sim: Synchronous) -> None:
    up(sim, "vm1")
    up(sim, "vm2")
    assert sim.say(msgspec.structs.replace(plug_volume("vm1", device=0), vm_id="vm2")) == DONE
    assert [[plug.id for plug in guest.volumes] for guest in sim.world().domains] == [["vol1"], ["vol1", "vol2"]]


# Sizes of disks


def test_resizing_takes_and_gives_back_the_difference(sim: Synchronous) -> None:
    sim.say(create("vm1", size=10))
    sim.say(create("vm2", size=15))
    assert is_refused(sim.say(resize(size=16)), Scope.POOL, "p1", "5 MiB free", "6 needed")
    assert sim.say(resize(size=15)) == DONE
    assert sim.say(resize(size=15)) == DONE
    assert sim.say(resize("vm2", size=5)) == DONE
    assert sim.say(resize(size=25)) == DONE
    assert_counted(sim)


def test_a_volume_may_shrink_in_a_pool_that_has_shrunk(sim: Synchronous) -> None:
    sim.say(create(size=20))
    sim.attach(msgspec.structs.replace(POOLS[0], size_mib=5))
    assert is_refused(sim.say(resize(size=21)), Scope.POOL, "-15 MiB free")
    assert sim.say(resize(size=19)) == DONE
    assert_counted(sim)


def test_only_a_volume_that_exists_can_be_resized(sim: Synchronous) -> None:
    sim.say(create(at="p2"))
    assert is_refused(sim.say(resize()), Scope.VM, "vol1", "p1")
    assert is_refused(sim.say(resize(at="p9")), Scope.VM, "vol1", "p9")


def test_a_guest_is_told_of_a_new_size_only_where_it_is_said_to_be(sim: Synchronous) -> None:
    up(sim)
    told = [10, 10, 12]
    for host, size in zip((None, "h2", "h1"), told, strict=True):
        assert sim.say(resize(size=12, host=host)) == DONE
        [guest] = sim.world().domains
        assert guest.volumes == (PluggedVolume(0, "vol1", "p1", size),)


# Filters


def test_rules_are_replaced(sim: Synchronous) -> None:
    assert is_refused(sim.say(apply_rules()), Scope.VM, "vm1", "h1")
    up(sim)
    assert is_refused(sim.say(apply_rules(at="h2")), Scope.VM, "vm1", "h2")
    found: list[tuple[RuleSpec, ...] | None] = []
    for port in (22, 80):
        assert sim.say(apply_rules(port=port)) == DONE
        found += [guest.rules for guest in sim.world().domains]
    assert found == [rules(22), rules(80)]


# What a hypervisor cannot

SPECIAL: dict[type[Command], Capability] = {
    ApplyRules: Capability.SECURITY_GROUPS,
    MigrateDomain: Capability.LIVE_MIGRATION,
    ScaleDomain: Capability.LIVE_SCALE,
    PlugNic: Capability.HOT_PLUG,
    UnplugNic: Capability.HOT_PLUG,
    PlugVolume: Capability.HOT_PLUG,
    UnplugVolume: Capability.HOT_PLUG,
    QuarantineDomain: Capability.QUARANTINE,
}


@pytest.mark.parametrize("lacking", Capability)
def test_what_a_hypervisor_cannot_is_refused_and_all_else_is_done(sim: Synchronous, lacking: Capability) -> None:
    for command in LIFE:
        sim.capabilities = ALL - {lacking}
        if SPECIAL.get(type(command)) is lacking:
            before = sim.world()
            assert is_refused(sim.say(command), Scope.VM, name(command), lacking)
            assert sim.world() == before
            sim.capabilities = ALL
        assert sim.say(command) == DONE


def test_the_page_for_authors_of_drivers_says_what_needs_which_capability() -> None:
    page = (Path(__file__).parents[1] / "docs/plugins.md").read_text()
    said = {
        (command, capability)
        for capability, needing in re.findall(r"^\| `([a-z-]+)` \| (`[A-Z].*) \|$", page, re.MULTILINE)
        for command in re.findall(r"`([A-Z]\w+)`", needing)
    }
    assert said == {(command.__name__, capability.value) for command, capability in NEEDS.items()}


def test_what_makes_a_command_special_is_refused_and_else_it_is_not(sim: Synchronous) -> None:
    sim.capabilities = ALL - {Capability.SECURITY_GROUPS, Capability.LINKED_CLONE}
    sim.say(prepare())
    assert is_refused(sim.say(create(clone="linked")), Scope.VM, "linked-clone")
    assert sim.say(create()) == DONE
    assert is_refused(sim.say(start(filters=())), Scope.VM, "security-groups")
    assert sim.say(start()) == DONE


@pytest.mark.parametrize("command", UNDOING, ids=name)
def test_undoing_what_never_was_is_done_by_the_least_able_hypervisor(sim: Synchronous, command: AnyCommand) -> None:
    sim.capabilities = frozenset()
    assert sim.say(command) == DONE
    up(sim)
    assert sim.say(command) == DONE


def test_what_was_done_is_done_though_the_hypervisor_can_it_no_more(sim: Synchronous) -> None:
    up(sim)
    sim.say(scale(), "same")
    sim.capabilities = frozenset()
    assert sim.say(scale(), "same") == DONE
