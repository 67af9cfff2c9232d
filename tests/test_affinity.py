"""Affinity groups, through the whole engine: what is strict holds always, what is not is followed if it can be.

That the guards refuse a hand-written breach is tested with the other guards; that planners follow a demand, with the
planners.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from interlock import CloudDescription
from interlock.schema.cloud import APART, APART_IF_POSSIBLE, TOGETHER, TOGETHER_IF_POSSIBLE
from interlock.schema.records import Operation
from tests.world import CLOUD, World, world


def described(kind: str, hosts: int = 4) -> CloudDescription:
    """A cloud whose hosts have room for eight VMs each, with group `g`."""
    text = CLOUD.format(hosts=hosts, memory=8192, space=100_000)
    return CloudDescription.parse(f'{text}\n[[affinity_groups]]\nname = "g"\nkind = "{kind}"\n')


async def deploys(labs: list[World], count: int, **wishes: Any) -> list[Operation]:
    """VMs of the group, all at once, over the engines in turn."""
    asked = (labs[n % len(labs)].deploy(f"vm-{n}", affinity_groups=("g",), **wishes) for n in range(count))
    return list(await asyncio.gather(*asked))


async def where(lab: World) -> list[str]:
    """The hosts of the VMs that run."""
    return [str(vm.host_id) for vm in await lab.vms() if vm.state == "Running"]


async def test_vms_of_an_anti_affinity_group_have_hosts_of_their_own(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described(APART)) as lab:
        ended = await deploys([lab], 7)
        assert Counter(operation.state for operation in ended) == {"Succeeded": 4, "Failed": 3}
        assert sorted(await where(lab)) == ["h-1", "h-2", "h-3", "h-4"]
        reasons = [dict(operation.reasons) for operation in ended if operation.state == "Failed"]
        assert all(f"a VM of {APART} group g is there" in each["host h-1"] for each in reasons)


async def test_two_engines_at_once_never_put_two_of_an_anti_affinity_group_on_one_host(
    tmp_path: Path, database_url: str
) -> None:
    async with (
        world(tmp_path, url=database_url, description=described(APART)) as first,
        world(tmp_path, url=database_url, recover=False) as second,
    ):
        ended = await deploys([first, second], 8)
        assert Counter(operation.state for operation in ended) == {"Succeeded": 4, "Failed": 4}
        assert sorted(await where(first)) == ["h-1", "h-2", "h-3", "h-4"]


async def test_vms_of_an_affinity_group_share_a_host_or_say_why_not(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described(TOGETHER)) as lab:
        ended = await deploys([lab], 10)
        assert Counter(operation.state for operation in ended) == {"Succeeded": 8, "Failed": 2}
        assert len(set(await where(lab))) == 1
        await lab.assert_sound()


async def test_two_engines_at_once_keep_an_affinity_group_together(tmp_path: Path, database_url: str) -> None:
    async with (
        world(tmp_path, url=database_url, description=described(TOGETHER)) as first,
        world(tmp_path, url=database_url, recover=False) as second,
    ):
        # The second engine knows of other VMs, so that it would choose another host than the first.
        for number in range(3):
            await second.deploy(f"other-{number}", planner="dispersing")
        ended = await deploys([first, second], 4, planner="dispersing")
        assert {operation.state for operation in ended} == {"Succeeded"}
        vms = {vm.name: vm.host_id for vm in await first.vms()}
        assert len({vms[f"vm-{number}"] for number in range(4)}) == 1


@pytest.mark.parametrize(("kind", "hosts"), [(APART_IF_POSSIBLE, 2), (TOGETHER_IF_POSSIBLE, 1)])
async def test_a_preference_is_followed_where_there_is_room_and_never_a_reason_to_fail(
    tmp_path: Path, kind: str, hosts: int
) -> None:
    async with world(tmp_path, description=described(kind, hosts=2)) as lab:
        for number in range(2):
            await lab.deploy(f"first-{number}", affinity_groups=("g",), planner="dispersing")
        assert len(set(await where(lab))) == hosts
        ended = await deploys([lab], 14)
        assert {operation.state for operation in ended} == {"Succeeded"}


async def test_a_vm_that_starts_again_is_not_in_its_own_way(tmp_path: Path) -> None:
    async with world(tmp_path, description=described(APART, hosts=1)) as lab:
        assert (await deploys([lab], 1))[0].state == "Succeeded"
        await lab.run("stop", "vm-0")
        assert (await lab.run("start", "vm-0")).state == "Succeeded"


async def test_the_place_of_an_expunged_vm_is_free(tmp_path: Path) -> None:
    async with world(tmp_path, description=described(APART, hosts=1)) as lab:
        await deploys([lab], 1)
        await lab.run("destroy", "vm-0")
        await lab.run("expunge", "vm-0")
        assert (await deploys([lab], 1))[0].state == "Succeeded"
