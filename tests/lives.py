"""Lives at random: sequences of commands for three VMs on the small cloud of `simulated.py`.

Chance alone hardly ever brings a VM up, gives it a second disk or moves it; so there are phrases that do, and commands
at random come between. One command in some has another size, place or kind of clone than would fit.
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
    migrate,
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
)
UP: Commands = st.builds(
    lambda vm, at, pool: [prepare(vm, at), create(vm, pool), start(vm, at, pool)], VMS, HOSTS, POOLS
)
MORE: Commands = st.builds(
    lambda vm, at, pool: [
        prepare(vm, at, 1),
        plug_nic(vm, at),
        create(vm, pool, 5, 1),
        plug_volume(vm, at, pool),
        resize(vm, pool, 12, at, 1),
    ],
    VMS,
    HOSTS,
    POOLS,
)
MOVE: Commands = st.builds(
    lambda vm, at, to, cpu: [prepare(vm, to), prepare(vm, to, 1), migrate(vm, at, to, cpu), scale(vm, to)],
    VMS,
    HOSTS,
    HOSTS,
    CPU,
)
PHRASES = st.lists(st.one_of(UP, UP, MORE, MOVE, st.lists(COMMANDS, min_size=1, max_size=3)), min_size=1, max_size=12)
LIVES: st.SearchStrategy[list[AnyCommand]] = PHRASES.map(
    lambda phrases: [command for phrase in phrases for command in phrase]
)
