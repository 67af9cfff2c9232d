"""Lives at random: sequences of commands for three VMs on the small cloud of `simulated.py`.

Chance alone hardly ever brings a VM up, gives it a second disk or moves it; so phrases do, each with a VM at a place,
and commands at random come between. Some are of another size, place or kind of clone than would fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from interlock.schema.commands import AnyCommand
from tests.simulated import (
    apply_rules,
    create,
    delete,
    look,
    migrate,
    plug_nic,
    plug_volume,
    prepare,
    quarantine,
    reboot,
    release,
    resize,
    rules,
    scale,
    start,
    stop,
    unplug_nic,
    unplug_volume,
)

VMS, DEVICES = st.sampled_from(["vm1", "vm2", "vm3"]), st.sampled_from([0, 1])
HOSTS, POOLS = st.sampled_from(["h1", "h1", "h2", "h2", "h9"]), st.sampled_from(["p1", "p1", "p2", "p2", "p9"])
SIZES, PORTS = st.sampled_from([5, 10, 12, 25]), st.sampled_from([22, 80])
CPU, MEMORY = st.sampled_from([200, 500, 900]), st.sampled_from([100, 256, 400])
CLONES, FILTERS = st.sampled_from(["full", "linked", None]), st.sampled_from([None, rules()])
NO_VM = ""

Commands = st.SearchStrategy[Sequence[AnyCommand]]


def of_no_vm(command: AnyCommand) -> AnyCommand:
    """The command as it is for a disk that belongs to no VM."""
    return msgspec.structs.replace(command, vm_id=NO_VM)


DISKS: st.SearchStrategy[AnyCommand] = st.one_of(
    st.builds(create, VMS, POOLS, SIZES, DEVICES, CLONES),
    st.builds(resize, VMS, POOLS, SIZES, st.one_of(st.none(), HOSTS), DEVICES),
    st.builds(delete, VMS, POOLS, DEVICES),
)
COMMANDS: st.SearchStrategy[AnyCommand] = st.one_of(
    DISKS,
    DISKS.map(of_no_vm),
    st.builds(prepare, VMS, HOSTS, DEVICES),
    st.builds(release, VMS, HOSTS, DEVICES),
    st.builds(start, VMS, HOSTS, POOLS, CPU, MEMORY, FILTERS),
    st.builds(stop, VMS, HOSTS),
    st.builds(reboot, VMS, HOSTS),
    st.builds(migrate, VMS, HOSTS, HOSTS, CPU, MEMORY),
    st.builds(scale, VMS, HOSTS, CPU, MEMORY),
    st.builds(plug_nic, VMS, HOSTS, DEVICES),
    st.builds(unplug_nic, VMS, HOSTS, DEVICES),
    st.builds(plug_volume, VMS, HOSTS, POOLS, DEVICES),
    st.builds(unplug_volume, VMS, HOSTS, DEVICES),
    st.builds(apply_rules, VMS, HOSTS, PORTS),
    st.builds(look, VMS, HOSTS),
    st.builds(quarantine, VMS, HOSTS),
)
THERE, IN = st.sampled_from(["h1", "h2"]), st.sampled_from(["p1", "p2"])


def up(vm: str, at: str, pool: str) -> list[AnyCommand]:
    """Bring it up."""
    return [prepare(vm, at), create(vm, pool), start(vm, at, pool)]


def more(vm: str, at: str, pool: str) -> list[AnyCommand]:
    """Give it a second NIC and a second disk, of another size than it had."""
    return [
        prepare(vm, at, 1),
        plug_nic(vm, at),
        create(vm, pool, 5, 1),
        plug_volume(vm, at, pool),
        resize(vm, pool, 12, at, 1),
    ]


def less(vm: str, at: str, pool: str) -> list[AnyCommand]:
    """Take those from it."""
    return [unplug_nic(vm, at), unplug_volume(vm, at), release(vm, at, 1), delete(vm, pool, 1)]


def other(vm: str, at: str, pool: str) -> list[AnyCommand]:
    """Change what it is while it runs."""
    return [scale(vm, at, 300, 150), apply_rules(vm, at), reboot(vm, at), resize(vm, pool, 9, at)]


def move(vm: str, at: str, pool: str) -> list[AnyCommand]:
    """Move it to the other host and back."""
    to = "h2" if at == "h1" else "h1"
    return [prepare(vm, to), prepare(vm, to, 1), migrate(vm, at, to, 400), reboot(vm, to), migrate(vm, to, at)]


def down(vm: str, at: str, pool: str) -> list[AnyCommand]:
    """Take it down."""
    return [stop(vm, at), delete(vm, pool), release(vm, at)]


PARTS = st.lists(st.sampled_from([more, less, other, move, move, down]), max_size=4)
PHRASE: Commands = st.builds(
    lambda vm, at, pool, parts: [command for part in (up, *parts) for command in part(vm, at, pool)],
    VMS,
    THERE,
    IN,
    PARTS,
)
PHRASES = st.lists(st.one_of(PHRASE, PHRASE, st.lists(COMMANDS, min_size=1, max_size=3)), min_size=1, max_size=8)
LIVES: st.SearchStrategy[list[AnyCommand]] = PHRASES.map(
    lambda phrases: [command for phrase in phrases for command in phrase]
)
