"""Admission as an embedder meets it: through the engine, with a database behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interlock import CloudDescription
from interlock.schema.cloud import SecurityGroup
from interlock.schema.errors import InvalidRequest, NotAllowed
from interlock.schema.requests import StartVM
from tests.world import CLOUD, World, world

PEOPLE = """
[[domains]]
name = "customers"
[[accounts]]
name = "acme"
domain = "customers"
[[accounts]]
name = "rival"
"""


def filtering() -> CloudDescription:
    """The world's cloud with customers, and security groups on its network."""
    text = CLOUD.format(hosts=2, memory=8192, space=100_000)
    text = text.replace('SecurityGroup = "SecurityGroupProvider"', 'SecurityGroup = "P", UserData = "P"')
    return CloudDescription.parse(PEOPLE + text)


async def default_groups(lab: World) -> list[SecurityGroup]:
    groups = (await lab.engine.places())["security_group"]
    return [group for group in groups if isinstance(group, SecurityGroup) and group.name == "default"]


async def test_a_refused_deploy_leaves_nothing_behind(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        before = await lab.books()
        with pytest.raises(InvalidRequest, match="offering small fixes cpu_cores at 1"):
            await lab.deploy(cpu_cores=2)
        assert await lab.books() == before
        assert await lab.vms() == []


async def test_the_first_deploy_of_an_account_makes_its_default_group_and_later_ones_join_it(tmp_path: Path) -> None:
    async with world(tmp_path, description=filtering()) as lab:
        requests = [lab.request(f"web{number}") for number in range(3)]
        handles = await asyncio.gather(*(lab.engine.deploy(each, caller="acme") for each in requests))
        assert [(await handle.ended()).state for handle in handles] == ["Succeeded"] * 3
        assert {vm.security_groups for vm in await lab.vms()} == {("acme/default",)}
        (group,) = await default_groups(lab)
        assert (group.account_id, group.ingress, group.egress) == ("acme", (), ())
        await lab.assert_sound()


async def test_a_refused_deploy_makes_no_default_group(tmp_path: Path) -> None:
    async with world(tmp_path, description=filtering()) as lab:
        with pytest.raises(InvalidRequest, match="user_data is not Base64"):
            await lab.deploy(user_data="?")
        assert await default_groups(lab) == []


async def test_a_start_by_a_user_chooses_no_host_and_by_the_operator_does(tmp_path: Path) -> None:
    async with world(tmp_path, description=filtering()) as lab:
        handle = await lab.engine.deploy(lab.request(start=False), caller="acme")
        assert (await handle.ended()).state == "Succeeded"
        with pytest.raises(NotAllowed, match="host may be chosen by administrators only"):
            await lab.engine.submit(StartVM("web", host="h-2"), caller="acme")
        with pytest.raises(NotAllowed, match="account rival may not act for account acme"):
            await lab.engine.submit(StartVM("web"), caller="rival")
        started = await (await lab.engine.submit(StartVM("web", host="h-2"))).ended()
        assert started.state == "Succeeded"
        assert (await lab.vm()).host_id == "h-2"
