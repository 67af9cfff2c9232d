"""Basic zones, through the whole engine: an address comes with the pod, so it is taken after planning."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

from interlock import CloudDescription, NicRequest
from interlock.drivers.simulator import FaultKind
from interlock.schema.records import Nic
from tests.world import World, world

RANGES = {"h1": "10.1.1.0/24", "h2": "10.1.2.0/24"}
"""Each host is alone in its pod."""

CLOUD = """
[[zones]]
name = "z"
kind = "basic"
[[zones.networks]]
name = "guest"
cidr = "10.1.0.0/16"
services = { SecurityGroup = "provider" }
"""
RANGE = """
[[zones.networks.ranges]]
name = "r{n}"
pod = "p{n}"
cidr = "10.1.{n}.0/24"
first_ip = "10.1.{n}.10"
last_ip = "10.1.{n}.{last}"
"""
POD = """
[[zones.pods]]
name = "p{n}"
[[zones.pods.clusters]]
name = "c{n}"
[[zones.pods.clusters.hosts]]
name = "h{n}"
cpu_cores = 8
cpu_mhz = 1000
memory_mib = 8192
"""
REST = """
[[zones.pools]]
name = "nfs"
size_mib = 100000
[[offerings]]
name = "small"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 1024
[[templates]]
name = "t"
size_mib = 100
"""


@asynccontextmanager
async def basic(folder: Path, url: str | None = None, addresses: int = 5) -> AsyncIterator[World]:
    """Two pods with a host and so many addresses each."""
    last = 9 + addresses
    zone = CLOUD + "".join(RANGE.format(n=n, last=last) for n in (1, 2)) + REST
    before, pools, after = zone.partition("[[zones.pools]]")
    text = before + "".join(POD.format(n=n) for n in (1, 2)) + pools + after
    async with world(folder, url=url, description=CloudDescription.parse(text)) as lab:
        yield lab


async def only_nic(lab: World, name: str = "web") -> Nic:
    """Of a VM with one."""
    [nic] = await lab.engine.nics((await lab.vm(name)).id)
    return nic


def is_of(nic: Nic, host: str) -> bool:
    """Whether its address is of the host's pod."""
    return ip_address(str(nic.ip_address)) in ip_network(RANGES[host])


async def test_a_vm_that_was_never_placed_has_no_address_and_gets_one_of_its_pod(
    tmp_path: Path, database_url: str
) -> None:
    async with basic(tmp_path, database_url) as lab:
        await lab.deploy(start=False)
        nic = await only_nic(lab)
        assert (nic.ip_address, nic.gateway, nic.state) == (None, None, "Allocated")
        assert nic.mac_address
        assert (await lab.run("start")).state == "Succeeded"
        nic = await only_nic(lab)
        assert is_of(nic, str((await lab.vm()).host_id))
        assert (nic.gateway, nic.netmask) == ("10.1.1.1", "255.255.255.0")


async def test_a_new_plan_in_another_pod_gives_the_address_back_and_takes_one_there(
    tmp_path: Path, database_url: str
) -> None:
    async with basic(tmp_path, database_url, addresses=1) as lab:
        fault = await lab.order("StartDomain", FaultKind.REFUSE, at="h1")
        assert (await lab.deploy()).state == "Succeeded"
        assert await lab.simulator.fired(fault) == 1
        assert is_of(await only_nic(lab), "h2")
        # The only address of the first pod is free again: the next VM has it.
        assert (await lab.deploy("two")).state == "Succeeded"
        assert is_of(await only_nic(lab, "two"), "h1")
        await lab.assert_sound()


async def test_a_deploy_that_fails_gives_the_address_back(tmp_path: Path, database_url: str) -> None:
    async with basic(tmp_path, database_url, addresses=1) as lab:
        before = await lab.books()
        fault = await lab.order("StartDomain", FaultKind.REFUSE, times=2)
        assert (await lab.deploy()).state == "Failed"
        assert await lab.simulator.fired(fault) == 2
        assert await lab.books() == before


async def test_a_pod_without_addresses_is_passed_over_with_the_reason(tmp_path: Path, database_url: str) -> None:
    async with basic(tmp_path, database_url, addresses=2) as lab:
        ended = await asyncio.gather(*(lab.deploy(f"vm-{n}") for n in range(6)))
        assert Counter(operation.state for operation in ended) == {"Succeeded": 4, "Failed": 2}
        [reasons, _] = [dict(operation.reasons) for operation in ended if operation.state == "Failed"]
        assert "network guest has no address left for it in pod p1" in reasons["host h1"]
        await lab.assert_sound()


async def test_a_stopped_vm_keeps_its_address_and_has_another_only_in_another_pod(tmp_path: Path) -> None:
    async with basic(tmp_path) as lab:
        await lab.deploy()
        first = await only_nic(lab)
        await lab.run("stop")
        assert (await only_nic(lab)).ip_address == first.ip_address
        await lab.run("start")
        assert (await only_nic(lab)).ip_address == first.ip_address
        await lab.run("stop")
        await lab.order("StartDomain", FaultKind.REFUSE, at="h1")
        assert (await lab.run("start")).state == "Succeeded"
        moved = await only_nic(lab)
        assert is_of(first, "h1")
        assert is_of(moved, "h2")
        await lab.assert_sound()


async def test_a_wished_address_decides_the_pod(tmp_path: Path, database_url: str) -> None:
    async with basic(tmp_path, database_url) as lab:
        assert (await lab.deploy(nics=(NicRequest("guest", "10.1.2.12"),))).state == "Succeeded"
        assert (await lab.vm()).host_id == "h2"
        assert (await only_nic(lab)).ip_address == "10.1.2.12"
        refused = await lab.deploy("two", nics=(NicRequest("guest", "10.1.2.12"),))
        assert refused.state == "Failed"
        assert all("has no address left" in reason for _, reason in refused.reasons)
