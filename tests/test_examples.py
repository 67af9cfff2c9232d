"""Every example cloud, from `interlock init` to a destroyed and expunged fleet, with the ledger back at the start.

The fleets show what each cloud is about: what its VMs must have become is asserted, the oracle's promises hold in
between, and in the end nobody holds anything, neither in the tables nor in the simulated world.
"""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from interlock import DeployVM, DiskRequest, Engine, NicRequest
from interlock.drivers.simulator import Simulator
from interlock.drivers.simulator import World as Truth
from interlock.schema.cloud import Host
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import Operation, Vm
from tests.oracle import broken

EXAMPLES = Path(__file__).parent.parent / "examples"
USER_DATA = base64.b64encode(b"#cloud-config\n").decode()


class Fleet:
    """An open example, and short ways to ask."""

    def __init__(self, engine: Engine, path: Path, world: Path) -> None:
        self.engine, self.path, self.world = engine, path, world

    async def deploy(self, name: str, **wishes: Any) -> Vm:
        """A VM that runs."""
        operation = await self.ask(name, **wishes)
        assert operation.state == "Succeeded", operation.error
        return await self.vm(str(operation.vm_id))

    async def ask(self, name: str, **wishes: Any) -> Operation:
        """Deploy, whatever comes of it."""
        fields = {"offering": "small", "template": "debian-12", **wishes}
        return await (await self.engine.deploy(DeployVM(name=name, **fields))).ended()

    async def refused(self, name: str, **wishes: Any) -> str:
        """Why a request is refused."""
        with pytest.raises(InvalidRequest) as refusal:
            await self.ask(name, **wishes)
        return str(refusal.value)

    async def vm(self, vm_id: str) -> Vm:
        """As it is now."""
        return await self.engine.vm(vm_id)

    async def host(self, vm: Vm) -> Host:
        """Where it runs."""
        found = [place for place in (await self.engine.places())["host"] if place.id == vm.host_id]
        assert isinstance(found[0], Host)
        return found[0]

    async def truth(self) -> Truth:
        """What the hypervisors really have."""
        async with await Simulator.at(self.world) as simulator:
            return await simulator.world()

    def sound(self) -> None:
        """What the oracle promises holds."""
        with closing(sqlite3.connect(self.path)) as connection:
            assert broken(connection) == []


@asynccontextmanager
async def example(name: str, folder: Path) -> AsyncIterator[Fleet]:
    """`interlock init`, then an engine on what it made."""
    path = folder / "cloud.db"
    command = [sys.executable, "-m", "interlock.cli.main", "--db", str(path), "init", str(EXAMPLES / name)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    async with Engine.open(str(path), create=False) as engine:
        yield Fleet(engine, path, folder / "cloud.simulator")


async def basic(fleet: Fleet) -> None:
    web = [await fleet.deploy(f"web-{n}", account="shop", security_groups=("web",)) for n in range(3)]
    db = await fleet.deploy(
        "db",
        account="shop",
        security_groups=("database",),
        data_disks=(DiskRequest("data"),),
        ssh_keys=("shop-admin",),
        user_data=USER_DATA,
    )
    assert "there are: guest" in await fleet.refused("x", account="shop", nics=(NicRequest("elsewhere"),))
    truth = await fleet.truth()
    for vm in (*web, db):
        [nic] = await fleet.engine.nics(vm.id)
        assert str(nic.ip_address).startswith(f"10.1.{(await fleet.host(vm)).pod_id[-1]}.")
        [domain] = [each for each in truth.domains if each.vm_id == vm.id]
        told = {rule.group for rule in domain.rules or ()}
        assert {f"shop/{'database' if vm is db else 'web'}"} <= told


async def advanced(fleet: Fleet) -> None:
    apart = [
        await fleet.deploy(f"apart-{n}", account="alice", affinity_groups=("apart",), template="sales-image")
        for n in range(3)
    ]
    assert len({vm.host_id for vm in apart}) == 3
    fast = await fleet.deploy("fast", account="bob", offering="fast", data_disks=(DiskRequest("fast-disk"),))
    assert (await fleet.host(fast)).tags == ("ssd",)
    assert {volume.pool_id for volume in await fleet.engine.volumes(fast.id)} == {"nvme"}
    local = await fleet.deploy("local", account="bob", offering="local")
    assert {volume.pool_id for volume in await fleet.engine.volumes(local.id)} == {f"{local.host_id}-local"}
    custom = await fleet.deploy("custom", account="bob", offering="any-size", cpu_cores=3, memory_mib=1536)
    assert (custom.cpu_cores, custom.memory_mib) == (3, 1536)
    assert "1 to 4" in await fleet.refused("huge", account="bob", offering="any-size", cpu_cores=5, memory_mib=1536)
    installed = await fleet.deploy("iso", account="alice", template="installer", root_offering="data")
    [root] = await fleet.engine.volumes(installed.id)
    assert (root.template_id, root.size_mib) == (None, 4096)
    two = await fleet.deploy(
        "two", account="alice", nics=(NicRequest("public"), NicRequest("alice-net")), default_nic=1
    )
    assert [nic.is_default for nic in await fleet.engine.nics(two.id)] == [False, True]
    assert (await fleet.engine.nics(two.id))[0].ip6_address
    assert "any-size" in await fleet.refused("x", offering="any-size", cpu_cores=1, memory_mib=512)  # not of acme
    assert "bob" in await fleet.refused("x", account="alice", nics=(NicRequest("bob-net"),))
    for number in range(3):
        await fleet.deploy(f"more-{number}", account="alice")
    assert "account alice may have 8 VMs and has 8" in await fleet.refused("ninth", account="alice")


async def advanced_security_groups(fleet: Fleet) -> None:
    web = await fleet.deploy("web", account="alice", security_groups=("web",))
    plain = await fleet.deploy("plain", account="bob")
    assert "bob/default" in plain.security_groups
    truth = {domain.vm_id: domain for domain in (await fleet.truth()).domains}
    assert "alice/web" in {rule.group for rule in truth[web.id].rules or ()}
    assert "bob/default" in {rule.group for rule in truth[plain.id].rules or ()}
    second = await fleet.deploy(
        "both", account="alice", nics=(NicRequest("filtered"), NicRequest("storage")), security_groups=("web",)
    )
    assert len(await fleet.engine.nics(second.id)) == 2
    assert "storage" in await fleet.refused(
        "x", account="alice", nics=(NicRequest("storage"),), security_groups=("web",)
    )
    assert "monitoring" in await fleet.refused("x", account="alice", security_groups=("bob/monitoring",))


async def dedicated(fleet: Fleet) -> None:
    teller = await fleet.deploy("teller", account="teller", zone="bank", affinity_groups=("bank-only",))
    assert teller.host_id == "bank-host"
    assert "bank" in await fleet.refused("x", account="globex", zone="bank")
    globex = [
        await fleet.deploy(f"g-{n}", account="globex", zone="shared", affinity_groups=("globex-only",)) for n in (1, 2)
    ]
    assert {(await fleet.host(vm)).cluster_id for vm in globex} == {"globex-cluster"}
    initech = await fleet.deploy("i", account="initech", zone="shared", affinity_groups=("initech-only",))
    assert initech.host_id == "initech-host"
    alone = [
        await fleet.deploy(f"alone-{who}", account=who, zone="shared", offering="alone")
        for who in ("globex", "initech")
    ]
    common = [await fleet.deploy(f"common-{n}", account="system", zone="shared") for n in range(3)]
    assert not {vm.host_id for vm in alone} & {vm.host_id for vm in common}
    assert len({vm.host_id for vm in alone}) == 2


async def overcommitted(fleet: Fleet) -> None:
    request = {"account": "acme", "offering": "medium"}
    operations = await asyncio.gather(*(fleet.ask(f"vm-{n}", **request) for n in range(60)))
    ended = Counter(operation.state for operation in operations)
    # Memory ends first: of 95 % of two hosts' 8,192 MiB, VMs hold 1,365 each in one cluster and 1,024 in the other.
    # There would be CPU for 13 and 16, and disks for 57.
    assert ended == {"Succeeded": 11 + 15, "Failed": 60 - 26}
    vms = [await fleet.vm(str(operation.vm_id)) for operation in operations if operation.state == "Succeeded"]
    clusters = [(await fleet.host(vm)).cluster_id for vm in vms]
    held = Counter((where, vm.cpu_held_mhz, vm.memory_held_mib) for where, vm in zip(clusters, vms, strict=True))
    assert held == {("double", 1000, 1365): 11, ("quadruple", 500, 1024): 15}
    volumes = [volume for vm in vms for volume in await fleet.engine.volumes(vm.id)]
    assert {volume.clone for volume in volumes} == {"linked"}
    reasons = [operation.error or "" for operation in operations if operation.state == "Failed"]
    assert all("is over its threshold" in reason for reason in reasons)


Scenario = Callable[[Fleet], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {
    "basic.toml": basic,
    "advanced.toml": advanced,
    "advanced-security-groups.toml": advanced_security_groups,
    "dedicated.toml": dedicated,
    "overcommitted.toml": overcommitted,
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_an_example_runs_from_init_to_an_expunged_fleet(name: str, tmp_path: Path) -> None:
    async with example(name, tmp_path) as fleet:
        start = await fleet.engine.places()
        await SCENARIOS[name](fleet)
        fleet.sound()
        for vm in (await fleet.engine.vms(limit=1000)).vms:
            if vm.state == "Running":
                await (await fleet.engine.destroy(vm.id)).wait()
        fleet.sound()
        for vm in (await fleet.engine.vms(limit=1000)).vms:
            await (await fleet.engine.expunge(vm.id)).wait()
        assert await fleet.engine.check() == []
        end = await fleet.engine.places()
        made = {"security_group"}  # default groups stay with their accounts
        assert {kind: rows for kind, rows in end.items() if kind not in made} == {
            kind: rows for kind, rows in start.items() if kind not in made
        }
        truth = await fleet.truth()
        assert (truth.domains, truth.volumes, truth.nics) == ((), (), ())
        fleet.sound()


def test_every_example_cloud_has_its_scenario() -> None:
    elsewhere = {"cloud.toml", "libvirt.toml"}  # run by test_readme.py and test_libvirt_demo.py
    assert {path.name for path in EXAMPLES.glob("*.toml")} - elsewhere == set(SCENARIOS)
