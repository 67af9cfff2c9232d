"""What each operation promises: where it ends, what is owned then, and that any failure leaves the books as before.

Every effect of every operation is made to fail, in every way a driver can refuse; each test asserts that its fault
fired. Every effect is also performed twice in a row, and the world must not notice. The operations on disks are held
to the same in test_disk_faults.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from interlock import InvalidRequest, OperationFailed, Way
from interlock.drivers.simulator import FaultKind
from tests.witness import Recorder, Twice, noted
from tests.world import World, cloud, world

LIFE = (
    *("reboot", "migrate", "scale", "add-nic", "set-default-nic", "secure", "stop", "start", "remove-nic"),
    *("stop", "restore", "assign", "start", "destroy", "recover", "start", "destroy", "expunge"),
)
"""From Running to the end, by every operation."""
WISHES: dict[str, dict[str, Any]] = {
    "scale": {"offering": "medium"},
    "assign": {"account": "eve"},
    "add-nic": {"network": "back"},
    "set-default-nic": {"network": "back"},
    "remove-nic": {"network": "net"},
}
"""What operations are asked besides the VM. The NIC that is removed was the default one of the deploy."""

EFFECTS = {
    "deploy": ("PrepareNic", "CreateVolume", "StartDomain"),
    "start": ("PrepareNic", "StartDomain"),
    "stop": ("StopDomain", "ReleaseNic"),
    "reboot": ("RebootDomain",),
    "destroy": ("StopDomain", "ReleaseNic"),
    "expunge": ("DeleteVolume",),
    "migrate": ("PrepareNic", "MigrateDomain", "ReleaseNic"),
    "scale": ("ScaleDomain",),
    "restore": ("DeleteVolume",),
    "assign": (),
    "add-nic": ("PrepareNic", "PlugNic"),
    "remove-nic": ("UnplugNic", "ReleaseNic"),
    "set-default-nic": (),
    "secure": ("ApplyRules",),
}
"""The commands each operation sends going forward; `test_these_are_all_effects` holds this list."""
CASES = [(kind, command) for kind, commands in EFFECTS.items() for command in commands]
BEFORE = {
    **{"start": ("stop",), "expunge": ("destroy",), "restore": ("stop",), "assign": ("stop",)},
    **{"remove-nic": ("add-nic", "set-default-nic", "stop", "start"), "set-default-nic": ("add-nic",)},
}
"""What must have happened before an operation can be asked for, after a deploy."""
RETURNS_TO = {"start": "Stopped", "expunge": "Error", "restore": "Stopped"}
"""Where a VM stands after an operation that was undone, if not Running."""


async def ready_for(lab: World, kind: str) -> None:
    """Bring a VM to where the operation can be asked for."""
    if kind != "deploy":
        assert (await lab.deploy(data_disks_mib=(10,), security_groups=("system/web",))).state == "Succeeded"
    for earlier in BEFORE.get(kind, ()):
        assert (await ask(lab, earlier)).state == "Succeeded"


async def ask(lab: World, kind: str) -> Any:
    """Run the operation under test."""
    return await (lab.deploy(data_disks_mib=(10,)) if kind == "deploy" else lab.run(kind, **WISHES.get(kind, {})))


async def test_a_vm_lives_from_deploy_to_expunge_and_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.deploy(data_disks_mib=(10, 20), security_groups=("system/web",))
        for kind in LIFE:
            assert (await ask(lab, kind)).state == "Succeeded"
            await lab.assert_sound()
        assert (await lab.vm()).state == "Expunged"
        assert (await lab.books()).empty


async def test_deploy_without_start_takes_addresses_and_nothing_else(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        assert (await lab.deploy(start=False)).state == "Succeeded"
        books = await lab.books()
        assert (await lab.vm()).state == "Allocated"
        assert len(books.addresses) == 1
        assert not books.truth.domains and not books.truth.volumes and not any(used for _, used in books.pools)
        assert (await lab.run("start")).state == "Succeeded"
        await lab.assert_sound()


@pytest.mark.parametrize("kind", EFFECTS)
async def test_these_are_all_effects(tmp_path: Path, database_url: str, kind: str) -> None:
    made, wrap = noted(Recorder)
    async with world(tmp_path, url=database_url, wrap=wrap) as lab:
        await ready_for(lab, kind)
        made[0].seen.clear()
        await ask(lab, kind)
        assert set(made[0].seen) == set(EFFECTS[kind])


async def test_every_effect_run_twice_leaves_the_same_world(tmp_path: Path, database_url: str) -> None:
    made, wrap = noted(Twice)
    async with world(tmp_path, url=database_url, wrap=wrap) as lab:
        await lab.deploy(security_groups=("system/web",))
        for kind in LIFE:
            assert (await ask(lab, kind)).state == "Succeeded"
        assert set(made[0].seen) == {command for _, command in CASES}
        assert (await lab.books()).empty


@pytest.mark.parametrize(("kind", "command"), CASES)
async def test_a_failure_at_any_step_unwinds_to_a_clean_slate(
    tmp_path: Path, database_url: str, kind: str, command: str
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await ready_for(lab, kind)
        before = await lab.books()
        fault = await lab.order(command, FaultKind.REFUSE_VM)
        operation = await ask(lab, kind)
        assert await lab.simulator.fired(fault) == 1
        assert operation.state == "Failed"
        assert operation.error
        await assert_as_before(lab, kind, before)


async def assert_as_before(lab: World, kind: str, before: Any) -> None:
    """Nothing is owned that was not owned before, and the VM stands where it can be asked again."""
    books = await lab.books()
    vm = await lab.vm()
    if kind == "deploy":
        assert vm.state == "Error"
        assert books.empty
        assert (await lab.run("expunge")).state == "Succeeded"
        return
    assert vm.state == RETURNS_TO.get(kind, "Running")
    if kind == "expunge":
        # One disk may be gone; what the records still hold is given back by asking again.
        assert (await lab.run("expunge")).state == "Succeeded"
        assert (await lab.books()).empty
        return
    assert rebooted(books) == rebooted(before)
    await lab.assert_sound()
    assert (await ask(lab, kind)).state == "Succeeded"


def rebooted(books: Any) -> Any:
    """Books without how often a guest was booted: an undone stop boots it again."""
    domains = [replace(each, boots=0) for each in books.truth.domains]
    return books.hosts, books.pools, books.addresses, books.macs, domains, books.truth.volumes, books.truth.nics


@pytest.mark.parametrize("fault", [FaultKind.TRANSIENT, FaultKind.FAIL_UNKNOWN, FaultKind.LOST_REPLY])
@pytest.mark.parametrize(("kind", "command"), CASES)
async def test_what_may_succeed_when_asked_again_is_asked_again(
    tmp_path: Path, database_url: str, kind: str, command: str, fault: FaultKind
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await ready_for(lab, kind)
        number = await lab.order(command, fault, times=2)
        operation = await ask(lab, kind)
        assert await lab.simulator.fired(number) == 2
        assert operation.state == "Succeeded"
        await lab.assert_sound()


@pytest.mark.parametrize("command", EFFECTS["deploy"])
async def test_a_place_that_refuses_is_avoided_and_another_is_found(
    tmp_path: Path, database_url: str, command: str
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        fault = await lab.order(command, FaultKind.REFUSE)
        operation = await lab.deploy()
        assert await lab.simulator.fired(fault) == 1
        assert operation.state == "Succeeded"
        assert operation.attempt == 2
        (avoided,) = operation.avoid
        vm = await lab.vm()
        (root,) = await lab.engine.volumes(vm.id)
        assert avoided.id not in (vm.host_id, root.pool_id)
        await lab.assert_sound()


async def test_when_every_place_refuses_the_error_names_each_with_its_cause(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=cloud(hosts=3)) as lab:
        fault = await lab.order("StartDomain", FaultKind.REFUSE, times=10)
        operation = await lab.deploy()
        assert await lab.simulator.fired(fault) == 3
        assert operation.state == "Failed"
        reasons = dict(operation.reasons)
        assert {"host h-1", "host h-2", "host h-3"} <= set(reasons)
        assert all("avoid" in reasons[f"host h-{number}"] for number in (1, 2, 3))
        assert (await lab.books()).empty


async def test_placements_are_tried_only_as_often_as_configured(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=cloud(hosts=8)) as lab:
        fault = await lab.order("StartDomain", FaultKind.REFUSE, times=100)
        operation = await lab.deploy()
        assert operation.state == "Failed"
        assert operation.attempt == await lab.simulator.fired(fault) == 4
        assert (await lab.books()).empty


async def test_a_vm_that_cannot_be_placed_names_every_host_and_why_not(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=cloud(hosts=3, memory=512)) as lab:
        operation = await lab.deploy()
        assert operation.state == "Failed"
        reasons = dict(operation.reasons)
        assert set(reasons) >= {"host h-1", "host h-2", "host h-3"}
        assert all("512" in reason for reason in reasons.values())
        assert (await lab.vm()).state == "Error"
        assert (await lab.books()).empty


async def test_a_hundred_deploys_where_forty_fit(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=cloud(hosts=5)) as lab:
        handles = [await lab.engine.deploy(lab.request(f"vm-{number}")) for number in range(100)]
        ends = [await handle.ended() for handle in handles]
        assert sorted({each.state for each in ends}) == ["Failed", "Succeeded"]
        assert sum(each.state == "Succeeded" for each in ends) == 40
        assert await lab.engine.counts() == {"Error": 60, "Running": 40}
        assert len((await lab.books()).addresses) == 40
        await lab.assert_sound()


async def test_an_undo_that_is_refused_is_stuck_and_names_its_ways_out(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.order("StartDomain", FaultKind.REFUSE_VM)
        fault = await lab.order("StopDomain", FaultKind.REFUSE_VM)
        operation = await lab.deploy()
        assert await lab.simulator.fired(fault) == 1
        assert operation.state == "Stuck"
        assert operation.error and "--undo" in operation.error
        with pytest.raises(InvalidRequest, match="resolve it first"):
            await lab.engine.start("web")
        resolved = await (await lab.engine.resolve(operation.id, Way.UNDO, "the host is well again")).ended()
        assert resolved.state == "Failed"
        assert (await lab.books()).empty


async def test_a_person_may_vouch_for_the_world(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.order("StartDomain", FaultKind.REFUSE_VM)
        await lab.order("StopDomain", FaultKind.REFUSE_VM)
        operation = await lab.deploy()
        with pytest.raises(InvalidRequest, match="--undo"):
            await lab.engine.resolve(operation.id, Way.RETRY, "try")
        resolved = await (await lab.engine.resolve(operation.id, Way.ACCEPT, "cleaned by hand")).ended()
        assert resolved.state == "Failed"
        assert (await lab.vm()).state == "Error"
        books = await lab.books()
        assert not books.addresses and not any(used for _, used in books.pools)
        assert [t.cause for t in await lab.engine.history(operation.vm_id or "") if t.event == "AcceptRequested"]


@pytest.mark.parametrize("command", EFFECTS["deploy"])
async def test_a_cancelled_deploy_is_undone(tmp_path: Path, database_url: str, command: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        fault = await lab.order(command, FaultKind.TRANSIENT, times=1000)
        lab.engine._orchestrator.commits.rules = slow(lab)
        handle = await lab.engine.deploy(lab.request())
        while not await lab.simulator.fired(fault):
            pass
        await handle.cancel()
        operation = await handle.ended()
        assert operation.state == "Cancelled"
        assert operation.error == "cancelled by embedder"
        assert (await lab.books()).empty
        with pytest.raises(OperationFailed, match="cancelled"):
            await handle.wait()
        with pytest.raises(InvalidRequest):
            await handle.cancel()


def slow(lab: World) -> Any:
    """The rules with waits long enough for a cancel to arrive in one."""
    import msgspec

    rules = lab.engine._orchestrator.commits.rules
    return msgspec.structs.replace(rules, policy=msgspec.structs.replace(rules.policy, backoff=60.0, backoff_most=60.0))


async def test_what_cannot_be_asked_now_says_what_to_do(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.deploy()
        for kind, words in {"start": "Running", "recover": "not Destroyed", "expunge": "destroy it first"}.items():
            with pytest.raises(InvalidRequest, match=words):
                await lab.run(kind)
        with pytest.raises(InvalidRequest, match="lives already"):
            await lab.deploy()
        with pytest.raises(InvalidRequest, match="there is no offering 'huge'; there are: "):
            await lab.engine.deploy(lab.request().__class__(name="x", offering="huge", template="t"))
