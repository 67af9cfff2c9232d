"""Limits under pressure: however many ask at once, through however many engines, no limit is passed by one.

Example tests of what must never change; that counters equal a recount at all times is promised by the property tests
of the ledger (test_guards*.py) and of the flow (test_flow.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from interlock import CloudDescription
from interlock.schema.cloud import Account, Domain
from interlock.schema.errors import NoRoom, OverLimit
from interlock.schema.records import Operation
from tests.world import CLOUD, World, world

ASKED, MOST = 50, 20

PEOPLE = """
[[domains]]
name = "corp"
limits = {{ {corp} }}
[[domains]]
name = "team"
parent = "corp"
[[accounts]]
name = "ann"
domain = "team"
limits = {{ {ann} }}
[[accounts]]
name = "ben"
domain = "corp"
"""


def described(ann: str = "", corp: str = "", network: str = "") -> CloudDescription:
    """Room for all, but for these limits; `network` are more keys of it."""
    cloud = CLOUD.format(hosts=8, memory=8192, space=100_000)
    return CloudDescription.parse(
        cloud.replace("default = true", f"default = true\n{network}") + PEOPLE.format(ann=ann, corp=corp)
    )


async def ask(labs: list[World], accounts: list[str], **wishes: Any) -> list[Operation | BaseException]:
    """Fifty deploys at once, over the engines and accounts in turn; how each ended."""

    async def one(number: int) -> Operation:
        account = accounts[number % len(accounts)]
        return await labs[number % len(labs)].deploy(f"vm-{number}", account=account, **wishes)

    return await asyncio.gather(*map(one, range(ASKED)), return_exceptions=True)


def outcomes(ended: list[Operation | BaseException]) -> Counter[str]:
    """How many ended how."""
    return Counter(each.state if isinstance(each, Operation) else type(each).__name__ for each in ended)


@pytest.mark.parametrize(
    ("limits", "wishes"),
    [
        ({"ann": f"vms = {MOST}"}, {}),
        ({"ann": f"cpu_cores = {MOST}"}, {}),
        ({"ann": f"memory_mib = {MOST * 1024 + 1023}"}, {}),
        ({"ann": f"volumes = {MOST * 2 + 1}"}, {"data_disks_mib": (1,)}),
        ({"ann": f"storage_mib = {MOST * 100 + 99}"}, {}),
        ({"corp": f"vms = {MOST}"}, {}),
    ],
    ids=lambda each: " ".join(f"{key} {value}" for key, value in each.items()) or "plain",
)
async def test_fifty_at_once_never_pass_a_limit_of_twenty(
    tmp_path: Path, database_url: str, limits: dict[str, str], wishes: dict[str, Any]
) -> None:
    async with world(tmp_path, url=database_url, description=described(**limits)) as lab:
        ended = outcomes(await ask([lab], ["ann"], **wishes))
        assert ended == {"Succeeded": MOST, "OverLimit": ASKED - MOST}
        await lab.assert_sound()


async def test_a_limit_of_a_domain_holds_for_all_its_accounts_together(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described(corp=f"vms = {MOST}")) as lab:
        ended = outcomes(await ask([lab], ["ann", "ben"]))
        assert ended == {"Succeeded": MOST, "OverLimit": ASKED - MOST}
        places = await lab.engine.places()
        used = {place.id: place.vms_used for place in (*places["domain"], *places["account"])}  # type: ignore[union-attr]
        assert used["corp"] == used["ROOT"] == MOST == used["ann"] + used["ben"]


async def test_two_engines_on_one_database_keep_the_limit_together(tmp_path: Path, database_url: str) -> None:
    description = described(ann=f"vms = {MOST}")
    async with (
        world(tmp_path, url=database_url, description=description) as first,
        world(tmp_path, url=database_url, recover=False) as second,
    ):
        ended = outcomes(await ask([first, second], ["ann"]))
        assert ended == {"Succeeded": MOST, "OverLimit": ASKED - MOST}


async def test_public_addresses_are_limited(tmp_path: Path, database_url: str) -> None:
    description = described(ann=f"public_ips = {MOST}", network="public = true")
    async with world(tmp_path, url=database_url, description=description) as lab:
        ended = outcomes(await ask([lab], ["ann"]))
        assert ended == {"Succeeded": MOST, "OverLimit": ASKED - MOST}


async def test_of_fifty_at_once_one_gets_the_only_free_address(tmp_path: Path, database_url: str) -> None:
    description = described(network='first_ip = "10.0.0.9"\nlast_ip = "10.0.0.9"')
    async with world(tmp_path, url=database_url, description=description) as lab:
        ended = await ask([lab], ["ann", "ben"])
        assert outcomes(ended) == {"Succeeded": 1, "NoRoom": ASKED - 1}
        assert all("expunge a VM that holds one" in str(each) for each in ended if isinstance(each, NoRoom))
        await lab.assert_sound()


async def test_of_fifty_at_once_one_gets_the_address_that_all_want(tmp_path: Path, database_url: str) -> None:
    from interlock import NicRequest

    async with world(tmp_path, url=database_url, description=described()) as lab:
        ended = await ask([lab], ["ann"], nics=(NicRequest("net", "10.0.0.77"),))
        assert outcomes(ended) == {"Succeeded": 1, "NoRoom": ASKED - 1}


async def test_a_refusal_says_whose_limit_what_is_used_and_what_to_do(tmp_path: Path) -> None:
    async with world(tmp_path, description=described(corp="cpu_cores = 1")) as lab:
        await lab.deploy("one", account="ben")
        with pytest.raises(OverLimit) as refused:
            await lab.deploy("two", account="ann")
        assert str(refused.value) == (
            "domain corp may have 1 cores and has 1, 1 more wanted; free some, or have the limit raised"
        )


async def test_what_is_destroyed_makes_room_and_recovering_needs_it(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described(ann="vms = 1")) as lab:
        assert (await lab.deploy("one", account="ann")).state == "Succeeded"
        await lab.run("destroy", "one")
        assert (await lab.deploy("two", account="ann")).state == "Succeeded"
        refused = await lab.run("recover", "one")
        assert refused.state == "Failed"
        assert "cannot come back: account ann may have 1 VMs and has 1" in str(refused.error)
        assert (await lab.vm("one")).state == "Destroyed"
        await lab.run("destroy", "two")
        assert (await lab.run("recover", "one")).state == "Succeeded"
        await lab.assert_sound()


async def test_a_limit_that_is_lowered_below_what_is_used_refuses_only_more(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described(ann="vms = 3")) as lab:
        for name in ("one", "two"):
            await lab.deploy(name, account="ann")
        await lab.engine.load(described(ann="vms = 1"))
        with pytest.raises(OverLimit):
            await lab.deploy("three", account="ann")
        await lab.run("stop", "one")
        assert (await lab.run("start", "one")).state == "Succeeded"
        places = await lab.engine.places()
        [ann] = [place for place in places["account"] if place.id == "ann"]
        assert isinstance(ann, Account)
        assert (ann.vms_limit, ann.vms_used) == (1, 2)
        assert all(place.vms_used == 2 for place in places["domain"] if isinstance(place, Domain))
