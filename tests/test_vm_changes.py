"""migrate, scale, restore, assign: what each refuses and why, what it leaves as it was, and that whatever is asked in
whatever order, with whatever faults, the books are right.

That each effect may fail in every way, and is idempotent, is held in test_operations.py.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock import CloudDescription, InvalidRequest, MigrateVM, Policy, Way
from interlock.drivers.simulator import FaultKind
from interlock.engine.core.operations.scale import held
from interlock.schema.cloud import Account, Domain, Host, guaranteed
from interlock.schema.commands import Capability
from interlock.schema.errors import NameTaken, NoRoom, NotAllowed, NotFound, OverLimit
from interlock.schema.records import Operation, Vm, Volume
from interlock.schema.requests import AssignVM, Request, RestoreVM, ScaleVM
from tests.oracle import broken
from tests.witness import Recorder
from tests.world import CLOUD, World, world

MORE = """
[[offerings]]
name = "custom"
cpu_cores = {{ least = 1, most = 4 }}
cpu_mhz = 1000
memory_mib = {{ most = 8192 }}
[[offerings]]
name = "huge"
cpu_cores = 64
cpu_mhz = 1000
memory_mib = 1024
[[offerings]]
name = "off"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 512
enabled = false
[[offerings]]
name = "local"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 512
storage = "local"
[[offerings]]
name = "tagged"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 512
storage_tags = ["fast"]
[[offerings]]
name = "gpu"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 512
host_tags = ["gpu"]
[[offerings]]
name = "corp-only"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 512
domains = ["corp"]
[[offerings]]
name = "system"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 512
system = true
[[templates]]
name = "t2"
size_mib = 300
[[templates]]
name = "off"
size_mib = 1
enabled = false
[[templates]]
name = "cd"
size_mib = 1
kind = "iso"
[[templates]]
name = "dead"
size_mib = 1
bootable = false
[[templates]]
name = "bens"
size_mib = 1
account = "ben"
public = false
[[templates]]
name = "system"
size_mib = 1
system = true
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
limits = {{ {ben} }}
[[accounts]]
name = "chief"
domain = "corp"
role = "domain-admin"
[[accounts]]
name = "gone"
enabled = false
[[security_groups]]
account = "ben"
name = "web"
[[affinity_groups]]
name = "apart"
kind = "host anti-affinity"
[[zones.networks]]
name = "bens"
cidr = "10.1.0.0/24"
type = "isolated"
account = "ben"
[[zones.networks]]
name = "wide"
cidr = "10.2.0.0/24"
public = true
[[zones.pods.clusters]]
name = "dense"
cpu_overcommit = 4.0
memory_overcommit = 2.0
[[zones.pods.clusters.hosts]]
name = "lean"
cpu_cores = 2
cpu_mhz = 1000
memory_mib = 2048
[[zones.pods.clusters.pools]]
name = "dense-nfs"
size_mib = 100000
[[zones.pools]]
name = "wide"
size_mib = 100000
"""


def described(
    ann: str = "", ben: str = "", corp: str = "", hosts: int = 2, memory: int = 8192, wide: bool = False
) -> CloudDescription:
    """The small world, with more to ask for, people under these limits, and a cluster that promises more.

    `wide`: only the pool of the whole zone, so that disks are within reach of every host.
    """
    text = CLOUD.format(hosts=hosts, memory=memory, space=100_000) + MORE.format(ann=ann, ben=ben, corp=corp)
    if wide:
        text = re.sub(r"\[\[zones.pods.clusters.pools\]\]\nname = .*\nsize_mib = .*\n", "", text)
    return CloudDescription.parse(text)


async def asked(lab: World, request: Request, caller: str | None = None) -> Operation:
    """Ask on somebody's rights, and wait for the end."""
    return await (await lab.engine.submit(request, caller=caller)).ended()


async def refused(
    lab: World, request: Request, error: type[InvalidRequest], *words: str, caller: str | None = None
) -> None:
    """It is refused with these words, and nothing was written."""
    before = await lab.engine._head()
    with pytest.raises(error) as said:
        await lab.engine.submit(request, caller=caller)
    assert all(word in str(said.value) for word in words), str(said.value)
    assert await lab.engine._head() == before


async def root_of(lab: World) -> Volume:
    """The root disk that the VM has."""
    volumes = await lab.engine.volumes((await lab.vm()).id)
    (root,) = [each for each in volumes if each.kind == "ROOT" and each.state != "Expunged"]
    return root


async def assert_true(lab: World) -> None:
    """The books are right, and the guest has the size that is recorded, which is no more than what it holds."""
    await lab.assert_sound()
    guests = {each.vm_id: each for each in (await lab.simulator.world()).domains}
    for vm in await lab.vms():
        if vm.state == "Running":
            guest = guests[vm.id]
            for name in ("cpu_cores", "cpu_mhz", "memory_mib", "cpu_held_mhz", "memory_held_mib"):
                assert getattr(guest, name) == getattr(vm, name)


class Lame(Recorder):
    """A driver that can neither move nor change running guests."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities - {Capability.LIVE_MIGRATION, Capability.LIVE_SCALE}


# --- migrate


async def test_a_vm_migrates_where_it_is_told_and_holds_nothing_where_it_was(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.deploy()
        before = await lab.vm()
        assert (await lab.run("migrate", host="h-2")).state == "Succeeded"
        vm = await lab.vm()
        assert (before.host_id, vm.host_id, vm.last_host_id, vm.target_host_id) == ("h-1", "h-2", "h-1", None)
        assert [used for name, used, _ in (await lab.books()).hosts if name == "h-1"] == [0]
        await assert_true(lab)


async def test_a_vm_that_migrates_keeps_what_it_holds_whatever_the_target_promises(tmp_path: Path) -> None:
    async with world(tmp_path, description=described(wide=True)) as lab:
        await lab.deploy(host="h-1")
        assert (await lab.run("migrate", host="lean")).state == "Succeeded"
        vm = await lab.vm()
        assert (vm.host_id, vm.cpu_held_mhz, vm.memory_held_mib) == ("lean", 1000, 1024)
        await assert_true(lab)
        await lab.run("stop")
        await lab.run("start")
        assert ((await lab.vm()).host_id, (await lab.vm()).cpu_held_mhz) == ("lean", 250)


async def test_a_target_that_refuses_is_avoided_and_the_next_one_taken(tmp_path: Path, database_url: str) -> None:
    for command in ("PrepareNic", "MigrateDomain"):
        folder = tmp_path / command
        folder.mkdir()
        async with world(folder, description=described(hosts=3)) as lab:
            await lab.deploy()
            fault = await lab.order(command, FaultKind.REFUSE)
            operation = await lab.run("migrate")
            assert await lab.simulator.fired(fault) == 1
            assert (operation.state, operation.attempt) == ("Succeeded", 2)
            assert [each.id for each in operation.avoid] == ["h-2"]
            assert (await lab.vm()).host_id == "h-3"
            await assert_true(lab)


async def test_a_source_that_refuses_is_not_the_fault_of_the_target(tmp_path: Path) -> None:
    async with world(tmp_path, description=described(hosts=4)) as lab:
        await lab.deploy()
        fault = await lab.order("ReleaseNic", FaultKind.REFUSE, at="h-1")
        operation = await lab.run("migrate")
        assert await lab.simulator.fired(fault) == 1
        assert (operation.state, operation.attempt) == ("Failed", 1)
        assert (await lab.vm()).host_id == "h-1"
        await assert_true(lab)


async def test_a_target_that_is_named_is_not_replaced(tmp_path: Path) -> None:
    settings = '[settings]\n"allow.deploy.vm.if.deploy.on.given.host.fails" = true\n'
    text = settings + CLOUD.format(hosts=3, memory=8192, space=100_000)
    async with world(tmp_path, description=CloudDescription.parse(text)) as lab:
        await lab.deploy()
        await lab.order("MigrateDomain", FaultKind.REFUSE)
        operation = await lab.run("migrate", host="h-2")
        assert operation.state == "Failed"
        assert "is avoided" in dict(operation.reasons)["host h-2"]
        assert (await lab.vm()).host_id == "h-1"
        await assert_true(lab)


async def test_a_vm_does_not_migrate_to_a_host_without_room_or_beside_one_it_is_to_be_apart_from(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, description=described(memory=1024)) as lab:
        await lab.deploy()
        await lab.deploy("two")
        operation = await lab.run("migrate")
        assert operation.state == "Failed"
        assert "runs there now" in dict(operation.reasons)["host h-1"]
        assert "memory" in dict(operation.reasons)["host h-2"]
        assert "only reached from cluster c" in dict(operation.reasons)["host lean"]
        await assert_true(lab)


@pytest.mark.parametrize(
    ("host", "error", "words"),
    [
        ("h-1", InvalidRequest, ("runs on host h-1 already", "choose another")),
        ("nowhere", NotFound, ("no host 'nowhere'", "interlock hosts")),
    ],
)
async def test_no_vm_migrates_to_where_it_is_or_to_no_host(
    tmp_path: Path, host: str, error: type[InvalidRequest], words: tuple[str, ...]
) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        await refused(lab, MigrateVM("web", host), error, *words)


async def test_only_administrators_migrate(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await lab.deploy(account="ann")
        for caller in ("ann", "chief"):
            await refused(lab, MigrateVM("web"), NotAllowed, "VM web", "administrator", caller=caller)
        assert (await asked(lab, MigrateVM("web"), "system")).state == "Succeeded"


async def test_what_the_hypervisor_cannot_do_to_a_running_guest_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, wrap=Lame) as lab:
        await lab.deploy()
        await refused(lab, MigrateVM("web"), InvalidRequest, "driver simulator", "cannot move", "stop it")
        await refused(
            lab, ScaleVM("web", "medium"), InvalidRequest, "driver simulator", "cannot change", "stop it first"
        )
        await lab.run("stop")
        assert (await lab.run("scale", offering="medium")).state == "Succeeded"
        assert (await lab.run("start")).state == "Succeeded"


# --- scale


@pytest.mark.parametrize("state", ["Allocated", "Stopped", "Running"])
async def test_a_vm_has_the_sizes_it_is_given(tmp_path: Path, database_url: str, state: str) -> None:
    async with world(tmp_path, url=database_url, description=described()) as lab:
        await lab.deploy(start=state != "Allocated", account="ann")
        if state == "Stopped":
            await lab.run("stop")
        for wishes, sizes in (
            ({"offering": "custom", "cpu_cores": 4, "memory_mib": 512}, (4, 4000, 512)),
            ({"offering": "medium"}, (2, 2000, 2048)),
            ({"offering": "small"}, (1, 1000, 1024)),
        ):
            assert (await lab.run("scale", **wishes)).state == "Succeeded"
            vm = await lab.vm()
            assert (vm.state, vm.offering_id) == (state, wishes["offering"])
            assert (vm.cpu_cores, vm.cpu_mhz, vm.memory_mib) == sizes
            account = await place(lab, Account, "ann")
            assert (account.cores_used, account.memory_used_mib) == (sizes[0], sizes[2])
            await assert_true(lab)


async def place(lab: World, kind: type[Any], name: str) -> Any:
    """One place as it is now."""
    tables: dict[type[Any], str] = {Account: "account", Domain: "domain", Host: "host"}
    (found,) = [each for each in (await lab.engine.places())[tables[kind]] if each.id == name]
    return found


async def test_a_running_vm_holds_the_greater_of_both_sizes_until_it_has_the_new_one(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await lab.deploy(account="ann")
        fault = await lab.order("ScaleDomain", FaultKind.TRANSIENT)
        await lab.run("scale", offering="custom", cpu_cores=3, memory_mib=512)
        assert await lab.simulator.fired(fault) == 1
        moves = [
            each.changed for each in await lab.engine.history((await lab.vm()).id) if each.event.startswith("Scale")
        ]
        assert [each.get("cpu_held_mhz") for each in moves] == [3000, None]
        assert [each.get("memory_held_mib") for each in moves] == [None, 512]
        await assert_true(lab)


async def test_a_vm_that_grows_while_it_runs_keeps_its_overcommit_ratio(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await lab.deploy(host="lean")
        await lab.run("scale", offering="medium")
        vm = await lab.vm()
        assert (vm.cpu_mhz, vm.cpu_held_mhz, vm.memory_held_mib) == (2000, 500, 1024)
        await assert_true(lab)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(1.0, 100.0), st.floats(1.0, 100.0))
def test_what_is_held_for_another_size_follows_the_ratio_that_is_in_force(
    old: int, new: int, began: float, now: float
) -> None:
    assert held(new, old, guaranteed(old, began), began) == guaranteed(new, began)
    assert held(old, old, guaranteed(old, began), now) == guaranteed(old, began)
    assert 1 <= held(new, old, guaranteed(old, began), now) <= max(new, 1)


@pytest.mark.parametrize(
    ("wishes", "error", "words"),
    [
        ({"offering": "nil"}, NotFound, ("no offering 'nil'",)),
        ({"offering": "off"}, InvalidRequest, ("offering off is disabled",)),
        (
            {"offering": "corp-only"},
            InvalidRequest,
            ("offering corp-only is for domain corp, where account system is not",),
        ),
        ({"offering": "local"}, InvalidRequest, ("wants local storage", "is on shared")),
        ({"offering": "tagged"}, InvalidRequest, ("storage tags fast", "root disk")),
        ({"offering": "gpu"}, InvalidRequest, ("hosts with tags gpu", "host h-1 lacks", "stop VM web")),
        ({"offering": "small"}, InvalidRequest, ("has offering small and these sizes already",)),
        ({"offering": "small", "cpu_cores": 2}, InvalidRequest, ("fixes cpu_cores at 1", "leave cpu_cores out")),
        ({"offering": "custom", "cpu_cores": 2}, InvalidRequest, ("takes memory_mib from 1 to 8192", "say which")),
        (
            {"offering": "custom", "cpu_cores": 5, "memory_mib": 1},
            InvalidRequest,
            ("takes cpu_cores from 1 to 4, not 5",),
        ),
        ({"offering": "huge"}, NoRoom, ("VM web cannot grow", "63000 MHz CPU more", "host h-1 has 7000 free")),
    ],
)
async def test_each_rule_of_scale_names_what_is_wrong(
    tmp_path: Path, wishes: dict[str, Any], error: type[InvalidRequest], words: tuple[str, ...]
) -> None:
    async with world(tmp_path, description=described()) as lab:
        await lab.deploy()
        await refused(lab, ScaleVM("web", **wishes), error, *words)


async def test_users_do_not_scale_to_system_offerings_nor_above_limits(tmp_path: Path) -> None:
    async with world(tmp_path, description=described(ann="cpu_cores = 2", corp="memory_mib = 2000")) as lab:
        await lab.deploy(account="ann")
        await refused(lab, ScaleVM("web", "system"), InvalidRequest, "for administrators only", caller="ann")
        custom: dict[str, Any] = {"offering": "custom", "cpu_cores": 1}
        await refused(lab, ScaleVM("web", **custom, memory_mib=2001), OverLimit, "domain corp", "977 more wanted")
        assert (await asked(lab, ScaleVM("web", **custom, memory_mib=2000), "ann")).state == "Succeeded"
        await refused(lab, ScaleVM("web", "custom", 3, memory_mib=1), OverLimit, "account ann", "2 more wanted")
        await assert_true(lab)


# --- restore


async def test_a_restored_vm_starts_from_a_new_root_disk_and_keeps_its_data(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described(ann="volumes = 2, storage_mib = 310")) as lab:
        await lab.deploy(account="ann", data_disks_mib=(10,))
        await lab.run("stop")
        before = await root_of(lab)
        assert (await lab.run("restore", template="t2")).state == "Succeeded"
        root, vm = await root_of(lab), await lab.vm()
        assert (vm.state, vm.template_id) == ("Stopped", "t2")
        assert (root.id != before.id, root.state, root.template_id) == (True, "Allocated", "t2")
        assert (root.size_mib, root.device, root.name) == (300, 0, before.name)
        account = await place(lab, Account, "ann")
        assert (account.volumes_used, account.storage_used_mib) == (2, 310)
        await assert_true(lab)
        assert (await lab.run("start")).state == "Succeeded"
        await assert_true(lab)
        # A root disk never shrinks: the smaller template leaves room.
        await lab.run("stop")
        assert (await lab.run("restore", template="t")).state == "Succeeded"
        assert ((await root_of(lab)).size_mib, (await lab.vm()).template_id) == (300, "t")


async def test_a_restore_takes_no_more_of_the_limits_than_the_larger_disk(tmp_path: Path) -> None:
    async with world(tmp_path, description=described(ann="volumes = 1, storage_mib = 299")) as lab:
        await lab.deploy(account="ann")
        await lab.run("stop")
        await refused(lab, RestoreVM("web", "t2"), OverLimit, "VM web cannot be restored", "storage", "200 more wanted")
        assert (await lab.run("restore")).state == "Succeeded"
        fault = await lab.order("StartDomain", FaultKind.REFUSE_VM)
        assert (await lab.run("start")).state == "Failed"
        assert await lab.simulator.fired(fault) == 1
        # Its root disk is only a record now: nothing is deleted, and one more record ends.
        assert (await lab.run("restore")).state == "Succeeded"
        await assert_true(lab)


@pytest.mark.parametrize("kind", [FaultKind.FAIL_UNKNOWN, FaultKind.LOST_REPLY])
async def test_a_root_disk_that_may_be_gone_is_there_again_after_the_undo(tmp_path: Path, kind: FaultKind) -> None:
    async with world(tmp_path, description=described(ann="volumes = 1, storage_mib = 300")) as lab:
        await lab.deploy(account="ann")
        await lab.run("stop")
        before = await lab.books()
        root = await root_of(lab)
        fault = await lab.order("DeleteVolume", kind, times=4)
        assert (await lab.run("restore", template="t2")).state == "Failed"
        assert await lab.simulator.fired(fault) == 4
        after = await root_of(lab)
        assert (after.id, after.state, after.pool_id, after.charged_to) == (root.id, "Ready", root.pool_id, "ann")
        assert await lab.books() == before
        assert ((await lab.vm()).state, (await lab.vm()).template_id) == ("Stopped", "t")
        await assert_true(lab)
        assert (await lab.run("restore", template="t2")).state == "Succeeded"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("nil", ("no template 'nil'",)),
        ("off", ("template off is disabled",)),
        ("cd", ("template cd is an ISO",)),
        ("dead", ("template dead is not bootable",)),
        ("bens", ("template bens is private to account ben",)),
        ("system", ("template system is a system one, for administrators only",)),
    ],
)
async def test_each_rule_of_restore_names_what_is_wrong(tmp_path: Path, template: str, words: tuple[str, ...]) -> None:
    async with world(tmp_path, description=described()) as lab:
        await lab.deploy(account="ann")
        await refused(lab, RestoreVM("web"), InvalidRequest, "it is Running, not Stopped", "stop it first")
        await lab.run("stop")
        await refused(lab, RestoreVM("web", template), InvalidRequest, *words, caller="ann")


# --- assign


async def test_an_assigned_vm_is_the_new_owners_with_all_it_has(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described()) as lab:
        await lab.deploy(account="ann", data_disks_mib=(10,))
        await lab.run("stop")
        before = await lab.engine.nics((await lab.vm()).id)
        request = AssignVM("web", "ben", ("net", "bens", "wide"), ("web",))
        operation = await asked(lab, request, "chief")
        assert operation.state == "Succeeded"
        vm = await lab.vm()
        assert (vm.account_id, vm.charged_to, vm.name_scope) == ("ben", "ben", "account/ben")
        assert (vm.affinity_groups, vm.security_groups) == ((), ("ben/web",))
        assert {(each.account_id, each.charged_to) for each in await lab.engine.volumes(vm.id)} == {("ben", "ben")}
        old, *new = await lab.engine.nics(vm.id)
        assert (old.id, old.state, old.ip_address) == (before[0].id, "Deallocated", None)
        assert [(each.network_id, each.is_default, each.charged_to) for each in new] == [
            ("net", True, None),
            ("bens", False, None),
            ("wide", False, "ben"),
        ]
        ann, ben = await place(lab, Account, "ann"), await place(lab, Account, "ben")
        assert not any(getattr(ann, name) for name in USED)
        assert [getattr(ben, name) for name in USED] == [1, 1, 1024, 2, 110, 1]
        await assert_true(lab)
        with pytest.raises(InvalidRequest):
            await (await lab.engine.handle(operation.id)).cancel()
        # The addresses of the old NICs are free again.
        await lab.deploy("heir", account="ann")
        assert (await lab.engine.nics((await lab.vm("heir")).id))[0].ip_address == before[0].ip_address


USED = ("vms_used", "cores_used", "memory_used_mib", "volumes_used", "storage_used_mib", "ips_used")


async def test_a_domain_above_both_accounts_gains_nothing_by_an_assignment(tmp_path: Path) -> None:
    limit = "vms = 1, cpu_cores = 1, memory_mib = 1024, volumes = 1, storage_mib = 100, public_ips = 1"
    async with world(tmp_path, description=described(corp=limit)) as lab:
        await lab.deploy(account="ann", nics=(nic("wide"),), start=False)
        assert (await asked(lab, AssignVM("web", "ben", ("wide",)))).state == "Succeeded"
        assert [getattr(await place(lab, Domain, "corp"), name) for name in USED] == [1, 1, 1024, 1, 100, 1]
        await assert_true(lab)


def nic(network: str) -> Any:
    """A NIC there."""
    from interlock import NicRequest

    return NicRequest(network)


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (AssignVM("web", "nil"), NotFound, ("no account 'nil'",)),
        (AssignVM("web", "gone"), InvalidRequest, ("account gone, the owner, is disabled",)),
        (AssignVM("web", "ann"), InvalidRequest, ("belongs to account ann already",)),
        (AssignVM("web", "ben", ("nil",)), NotFound, ("no network 'nil'",)),
        (AssignVM("web", "ben", ("net", "net")), InvalidRequest, ("named once",)),
        (AssignVM("web", "eve", ("bens",)), InvalidRequest, ("network bens belongs to account ben, not account eve",)),
        (AssignVM("web", "eve"), InvalidRequest, ("offering corp-only is for domain corp, where account eve is not",)),
        (AssignVM("web", "ben", (), ("nil",)), NotFound, ("no security group 'nil'",)),
    ],
)
async def test_each_rule_of_assign_names_what_is_wrong(
    tmp_path: Path, request_: AssignVM, error: type[InvalidRequest], words: tuple[str, ...]
) -> None:
    async with world(tmp_path, description=described()) as lab:
        await lab.deploy(account="ann", start=False)
        await lab.run("scale", offering="corp-only")
        if "network" in words[0]:
            await lab.run("scale", offering="small")
        await refused(lab, request_, error, *words)


async def test_a_template_or_a_group_of_somebody_else_does_not_go_along(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await lab.deploy(account="ben", start=False)
        group = "ben/web"
        await refused(lab, AssignVM("web", "ann", (), (group,)), InvalidRequest, group, "ben")
        await lab.run("start")
        await refused(lab, AssignVM("web", "ann"), InvalidRequest, "it is Running", "stop it first")
        await lab.run("stop")
        assert (await lab.run("restore", template="bens")).state == "Succeeded"
        await refused(
            lab, AssignVM("web", "ann"), InvalidRequest, "template bens is private to account ben", "have it shared"
        )


async def test_a_vm_is_given_away_by_administrators_of_both_only(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await lab.deploy(account="ann", start=False)
        await refused(lab, AssignVM("web", "ben"), NotAllowed, "ann may not give VM web away", caller="ann")
        await refused(lab, AssignVM("web", "eve"), NotAllowed, "chief may not act for account eve", caller="chief")
        assert (await asked(lab, AssignVM("web", "ben"), "chief")).state == "Succeeded"


@pytest.mark.parametrize(
    "limit", ["vms = 0", "cpu_cores = 0", "memory_mib = 1023", "volumes = 0", "storage_mib = 99", "public_ips = 0"]
)
async def test_a_vm_is_not_given_to_one_who_may_not_have_it(tmp_path: Path, limit: str) -> None:
    async with world(tmp_path, description=described(ben=limit)) as lab:
        await lab.deploy(account="ann", start=False)
        await refused(
            lab, AssignVM("web", "ben", ("wide",)), OverLimit, "VM web cannot be given", "account ben may have"
        )


async def test_a_name_that_the_new_owner_has_already_is_told_and_nothing_changes(
    tmp_path: Path, database_url: str
) -> None:
    async with world(tmp_path, url=database_url, description=described()) as lab:
        await lab.deploy(account="ann", start=False)
        vm = await lab.vm()
        await lab.deploy(account="ben", start=False)
        await refused(lab, AssignVM(vm.id, "ben"), NameTaken, "named web")
        await assert_true(lab)


# --- any of them, in any order


KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("migrate", {}),
    ("migrate", {"host": "h-1"}),
    ("scale", {"offering": "small"}),
    ("scale", {"offering": "medium"}),
    ("scale", {"offering": "custom", "cpu_cores": 3, "memory_mib": 512}),
    ("restore", {}),
    ("restore", {"template": "t2"}),
    ("assign", {"account": "ann"}),
    ("assign", {"account": "ben", "networks": ("bens", "wide")}),
    ("stop", {}),
    ("start", {}),
)
FAULTS = (
    None,
    *((kind, 1) for kind in (FaultKind.REFUSE, FaultKind.REFUSE_VM)),
    *(
        (kind, times)
        for kind in (FaultKind.TRANSIENT, FaultKind.FAIL_UNKNOWN, FaultKind.LOST_REPLY)
        for times in (1, 5)
    ),
)
COMMAND = {"migrate": "MigrateDomain", "scale": "ScaleDomain", "restore": "DeleteVolume", "start": "StartDomain"}
LIMITS = "cpu_cores = 5, memory_mib = 4096, volumes = 3, storage_mib = 700"


@settings(max_examples=25, deadline=None)
@given(
    asks=st.lists(
        st.tuples(st.sampled_from(["web", "two"]), st.sampled_from(KINDS), st.sampled_from(FAULTS)),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_is_asked_in_whatever_order_the_books_are_right(asks: list[Any]) -> None:
    asyncio.run(_books_are_right(asks))


async def _books_are_right(asks: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "books.db"
        quick = Policy(backoff=0.0, backoff_most=0.0)
        await _begun(Path(folder))
        async with world(Path(folder), url=str(file), policy=quick) as lab:
            for name, (kind, wishes), fault in asks:
                if fault is not None and kind in COMMAND:
                    await lab.order(COMMAND[kind], fault[0], times=fault[1])
                await _ask(lab, kind, (await _vm(lab, name)).id, wishes)
                await assert_true(lab)
                with closing(sqlite3.connect(file)) as connection:
                    assert broken(connection) == []


MODEL: list[dict[str, bytes]] = []
"""The files of two running VMs, made once: beginning anew costs more than all that is asked of them."""


async def _begun(folder: Path) -> None:
    """A world where two VMs run."""
    if not MODEL:
        async with world(folder, url=str(folder / "books.db"), description=described(corp=LIMITS)) as lab:
            await lab.deploy(account="ann", data_disks_mib=(10,))
            await lab.deploy("two", account="ben", nics=(nic("wide"),))
        MODEL.append({each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()})
    for name, content in MODEL[0].items():
        (folder / name).write_bytes(content)


async def _vm(lab: World, name: str) -> Vm:
    return next(each for each in await lab.vms() if each.name == name)


async def _ask(lab: World, kind: str, vm_id: str, wishes: dict[str, Any]) -> None:
    """Ask; what is Stuck, because several faults met, is undone by a person."""
    try:
        operation = await (await getattr(lab.engine, kind)(vm_id, **wishes)).ended()
    except InvalidRequest:
        return
    while operation.state == "Stuck":
        operation = await (await lab.engine.resolve(operation.id, Way.UNDO, "again")).ended()
