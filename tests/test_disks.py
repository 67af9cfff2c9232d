"""What the operations on disks promise when nothing goes wrong, and what each rule refuses.

The property: whatever is done to some disks and VMs, in whatever order and with whatever faults, the books are right,
and the world is as the records say. Races between the reading of a request and its writing are played by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock import CloudDescription, CreateDisk, InvalidRequest, Way
from interlock.drivers.simulator import FaultKind
from interlock.schema.records import Operation
from tests.conftest import copied_file
from tests.disks import DONE, GREATER, LESS, SIZE, attach, create, delete, detach, resize
from tests.world import CLOUD, World, cloud, world

MORE = """
[[zones]]
name = "closed"
enabled = false
[[zones]]
name = "other"
local_storage = false
[[zones.pools]]
name = "far"
size_mib = 9000
[[disk_offerings]]
name = "gone"
enabled = false
[[disk_offerings]]
name = "local"
storage = "local"
[[disk_offerings]]
name = "tagged"
storage_tags = ["ssd"]
[[disk_offerings]]
name = "theirs"
domains = ["sub"]
[[domains]]
name = "sub"
[[accounts]]
name = "small"
limits = { volumes = 1, storage_mib = 2500 }
[[accounts]]
name = "user"
[[accounts]]
name = "off"
enabled = false
[settings]
"storage.max.volume.size" = 5000
"""


def wide(space: int = 100_000) -> CloudDescription:
    """The test world's cloud, with what rules refuse."""
    return CloudDescription.parse(CLOUD.format(hosts=2, memory=8192, space=space) + MORE)


# --- what they do


async def test_a_disk_moves_from_vm_to_vm_with_its_data(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.deploy("web", data_disks_mib=(10,))
        await lab.deploy("db", start=False)
        assert (await create(lab)).state == DONE
        disk = await lab.engine.disk("data")
        assert (disk.state, disk.vm_id, disk.device, disk.pool_id) == ("Allocated", None, None, None)
        for vm, device in (("web", 2), ("db", 1), ("web", 2)):
            assert (await attach(lab, vm)).state == DONE
            there = await lab.engine.disk(disk.id)
            assert (there.state, there.vm_id, there.device) == ("Ready", (await lab.vm(vm)).id, device)
            await lab.assert_sound()
            assert (await detach(lab)).state == DONE
            await lab.assert_sound()
        assert (await delete(lab)).state == DONE
        assert (await lab.engine.disk(disk.id)).state == "Expunged"
        await lab.assert_sound()


async def test_a_disk_given_to_a_vm_that_does_not_run_is_made_when_it_starts(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.deploy(start=False)
        await create(lab)
        assert (await attach(lab)).state == DONE
        assert (await resize(lab, GREATER)).state == DONE
        disk = await lab.engine.disk("data")
        assert (disk.state, disk.device, disk.size_mib) == ("Allocated", 1, GREATER)
        assert (await lab.simulator.world()).volumes == ()
        assert (await lab.run("start")).state == DONE
        assert (await lab.engine.disk("data")).state == "Ready"
        await lab.assert_sound()


async def test_an_expunged_vm_takes_its_disks_along_and_leaves_those_that_were_detached(
    tmp_path: Path, database_url: str
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.deploy()
        for name in ("kept", "lost"):
            await create(lab, name)
            assert (await attach(lab, disk=name)).state == DONE
        await lab.run("destroy")
        assert (await detach(lab, "kept")).state == DONE
        assert (await lab.run("expunge")).state == DONE
        assert (await lab.engine.disk("kept")).state == "Ready"
        assert (await lab.engine.disk("lost")).state == "Expunged"
        await lab.assert_sound()
        assert (await delete(lab, "kept")).state == DONE
        assert (await lab.books()).empty


async def test_disks_are_resized_in_every_place_they_may_be(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.deploy()
        await create(lab)
        for before in (None, attach, detach):
            if before is not None:
                assert (await before(lab)).state == DONE
            for size in (GREATER, LESS):
                assert (await resize(lab, size)).state == DONE
                assert (await lab.engine.disk("data")).size_mib == size
                await lab.assert_sound()
        assert (await resize(lab, 300, "ROOT-web")).state == DONE
        await lab.assert_sound()


async def test_disks_are_listed_by_what_they_are(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=wide()) as lab:
        await lab.deploy(zone="z")
        await create(lab)
        await create(lab, "theirs", account="user")

        async def names(**filters: Any) -> list[str]:
            return [disk.name for disk in (await lab.engine.disks(**filters)).disks]

        assert await names() == ["ROOT-web", "data", "theirs"]
        assert await names(account="user") == ["theirs"]
        assert await names(zone="other") == []
        assert await names(vm=(await lab.vm()).id) == ["ROOT-web"]
        assert await names(state="Allocated") == ["data", "theirs"]
        page = await lab.engine.disks(limit=2)
        assert page.next and await names(after=page.next) == ["theirs"]
        with pytest.raises(InvalidRequest, match="1 to 1000"):
            await lab.engine.disks(limit=0)
        await create(lab)
        with pytest.raises(InvalidRequest, match="several disks are named data"):
            await lab.engine.disk("data")


# --- what is refused

CREATE_REFUSED = [
    ({"offering": "none"}, SIZE, "there is no disk offering 'none'; there are: any, fixed"),
    ({"offering": "gone"}, SIZE, "disk offering gone is disabled"),
    ({"offering": "theirs"}, SIZE, "disk offering theirs is for domain sub"),
    ({"offering": "fixed"}, SIZE, "fixes the size at 2048 MiB; leave the size out"),
    ({}, None, "takes a size from 1024 to 1048576 MiB: say which"),
    ({}, 1023, "from 1024 to 1048576 MiB, not 1023"),
    ({}, 5001, "volumes in zone z have 5000 at most"),
    ({"zone": "none"}, SIZE, "there is no zone 'none'"),
    ({"offering": "tagged"}, SIZE, "no enabled pool of zone z can hold disk data"),
    ({"zone": "other", "offering": "local"}, SIZE, "which zone other has not"),
    ({"account": "none"}, SIZE, "there is no account 'none'"),
    ({"account": "off"}, SIZE, "account off, the owner, is disabled"),
    ({"account": "small"}, 2501, "account small may have 2500 MiB of storage"),
]


@pytest.mark.parametrize(("wishes", "size_mib", "words"), CREATE_REFUSED)
async def test_a_disk_that_may_not_be_is_refused_in_words(
    tmp_path: Path, wishes: dict[str, str], size_mib: int | None, words: str
) -> None:
    async with world(tmp_path, description=wide()) as lab:
        with pytest.raises(InvalidRequest, match=words):
            await create(lab, size_mib=size_mib, **wishes)
        assert await lab.disks() == []


async def test_limits_hold_for_disks_and_for_what_they_grow(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=wide()) as lab:
        assert (await create(lab, account="small")).state == DONE
        with pytest.raises(InvalidRequest, match="may have 1 disks and has 1, 1 more wanted"):
            await create(lab, "second", account="small")
        with pytest.raises(InvalidRequest, match="2500 MiB of storage and has 2000, 1000 more wanted"):
            await resize(lab, GREATER)
        assert (await resize(lab, 2500)).state == DONE
        assert (await delete(lab)).state == DONE
        assert (await create(lab, "second", account="small")).state == DONE


async def test_nobody_touches_the_disks_of_others(tmp_path: Path) -> None:
    async with world(tmp_path, description=wide()) as lab:
        await lab.deploy(zone="z")
        await create(lab)
        request = CreateDisk(name="x", offering="any", size_mib=SIZE, zone="z", account="system")
        for asked in (
            lab.engine.create_disk(request, caller="user"),
            lab.engine.attach_disk("web", "data", caller="user"),
            lab.engine.resize_disk("data", GREATER, caller="user"),
            lab.engine.delete_disk("data", caller="user"),
        ):
            with pytest.raises(InvalidRequest, match="may not act for account system"):
                await asked
        closed = CreateDisk(name="x", offering="any", size_mib=SIZE, zone="closed", account="user")
        with pytest.raises(InvalidRequest, match="zone closed is disabled"):
            await lab.engine.create_disk(closed, caller="user")


async def test_what_cannot_be_done_to_a_disk_is_refused_in_words(tmp_path: Path) -> None:
    async with world(tmp_path, description=wide()) as lab:
        await lab.deploy(zone="z")
        await create(lab)
        await create(lab, "fixed", None, offering="fixed")
        await create(lab, "foreign", account="user")
        await create(lab, "far", zone="other")
        engine = lab.engine
        for asked, words in (
            (engine.detach_disk("data"), "belongs to no VM: there is nothing to detach"),
            (engine.detach_disk("ROOT-web"), "is a root disk, which stays with its VM"),
            (engine.attach_disk("web", "ROOT-web"), "is a root disk"),
            (engine.attach_disk("web", "foreign"), "belongs to account user, VM web to system"),
            (engine.attach_disk("web", "far"), "is in zone other, VM web in z"),
            (engine.attach_disk("web", "nix"), "there is no disk 'nix'"),
            (engine.attach_disk("nix", "data"), "there is no VM 'nix'"),
            (engine.delete_disk("ROOT-web"), "belongs to VM web; detach it first"),
            (engine.resize_disk("data", SIZE), "has 2000 MiB already"),
            (engine.resize_disk("data", LESS), "data would be lost"),
            (engine.resize_disk("data", 1000, shrink=True), "takes a size from"),
            (engine.resize_disk("data", 5001), "have 5000 at most"),
            (engine.resize_disk("fixed", GREATER), "fixes its size at 2048 MiB"),
            (engine.resize_disk("ROOT-web", 50, shrink=True), "template t needs 100 MiB"),
        ):
            with pytest.raises(InvalidRequest, match=words):
                await asked
        assert (await attach(lab)).state == DONE
        for asked, words in (
            (engine.attach_disk("web", "data"), "belongs to VM web; detach it first"),
            (engine.delete_disk("data"), "belongs to VM web; detach it first"),
        ):
            with pytest.raises(InvalidRequest, match=words):
                await asked
        await lab.run("destroy")
        for asked, words in (
            (engine.attach_disk("web", "fixed"), "it is Destroyed, not Allocated or Stopped or Running"),
            (engine.resize_disk("data", GREATER), "it is Destroyed"),
        ):
            with pytest.raises(InvalidRequest, match=words):
                await asked
        await delete(lab, "fixed")
        with pytest.raises(InvalidRequest, match="is Expunged"):
            await delete(lab, "fixed")
        await lab.assert_sound()


async def test_a_vm_has_so_many_disks_and_no_more(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy(start=False, data_disks_mib=(1,) * 64)
        await create(lab)
        with pytest.raises(InvalidRequest, match="has 64 data disks, which is the most"):
            await attach(lab)
        assert (await detach(lab, "DATA-web-7")).state == DONE
        assert (await attach(lab)).state == DONE
        assert (await lab.engine.disk("data")).device == 7


async def test_a_pool_without_room_refuses_in_words(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=wide(space=2500)) as lab:
        await lab.deploy(zone="z")
        await create(lab)
        await create(lab, "second")
        assert (await attach(lab)).state == DONE
        with pytest.raises(InvalidRequest, match="free below its threshold; 1000 more wanted"):
            await resize(lab, GREATER)
        assert (await attach(lab, disk="second")).state == DONE
        await create(lab, "third")
        failed = await attach(lab, disk="third")
        assert failed.state == "Failed" and failed.error and "fits in no pool" in failed.error
        assert (await lab.engine.disk("third")).vm_id is None
        await lab.assert_sound()


async def test_a_disk_in_a_pool_that_the_host_does_not_reach_is_refused_in_words(
    tmp_path: Path, database_url: str
) -> None:
    # Each host has room for one VM.
    local = CLOUD.format(hosts=2, memory=1024, space=100_000).replace(
        'name = "h"\n', 'name = "h"\nlocal_pool_mib = 9000\n'
    )
    async with world(tmp_path, url=database_url, description=CloudDescription.parse(local + MORE)) as lab:
        await lab.deploy("web", zone="z")
        await lab.deploy("db", zone="z")
        await create(lab, offering="local")
        assert (await attach(lab)).state == DONE
        assert (await lab.engine.disk("data")).pool_id == f"{(await lab.vm('web')).host_id}-local"
        await detach(lab)
        failed = await attach(lab, "db")
        assert failed.state == "Failed" and failed.error and "is only reached from host" in failed.error
        # A VM that does not run may be given it, and then starts nowhere else.
        await lab.run("stop", "db")
        assert (await attach(lab, "db")).state == DONE
        failed = await lab.run("start", "db")
        assert failed.state == "Failed" and failed.error and "is only reached from host" in failed.error
        await lab.assert_sound()


# --- races


async def racing(lab: World, ask: Callable[[], Any], meanwhile: Callable[[], Any]) -> Any:
    """Ask for something, and have something else happen between the reading and the writing of the request."""
    store, happened = lab.engine._store, list[bool]()
    read = store.subject

    async def subject(vm_id: str | None, volume_id: str | None) -> Any:
        found = await read(vm_id, volume_id)
        if not happened:
            happened.append(True)
            assert (await meanwhile()).state == DONE
        return found

    store.subject = subject  # type: ignore[method-assign]
    try:
        ended = await ask()
    finally:
        store.subject = read  # type: ignore[method-assign]
    assert happened
    await lab.assert_sound()
    return ended


async def two_vms(lab: World) -> None:
    await lab.deploy("web")
    await lab.deploy("db")
    await create(lab)


async def test_of_two_vms_that_are_given_one_disk_the_first_gets_it(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await two_vms(lab)
        late = await racing(lab, lambda: attach(lab, "web"), lambda: attach(lab, "db"))
        assert late.state == "Failed" and "belongs to VM" in late.error
        assert (await lab.engine.disk("data")).vm_id == (await lab.vm("db")).id


@pytest.mark.parametrize("ask", [delete, lambda lab: resize(lab, GREATER)], ids=["delete", "resize"])
async def test_a_disk_that_was_attached_meanwhile_is_left_alone(
    tmp_path: Path, database_url: str, ask: Callable[[World], Any]
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await two_vms(lab)
        late = await racing(lab, lambda: ask(lab), lambda: attach(lab))
        assert late.state == "Failed" and "by now; ask again" in late.error
        assert ((await lab.engine.disk("data")).state, (await lab.engine.disk("data")).size_mib) == ("Ready", SIZE)


@pytest.mark.parametrize("ask", [detach, lambda lab: resize(lab, GREATER)], ids=["detach", "resize"])
async def test_a_disk_that_was_detached_meanwhile_is_left_alone(
    tmp_path: Path, database_url: str, ask: Callable[[World], Any]
) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await two_vms(lab)
        await attach(lab)
        late = await racing(lab, lambda: ask(lab), lambda: detach(lab))
        assert late.state == "Failed" and "belongs to no VM by now; ask again" in late.error


async def test_two_disks_given_to_a_vm_at_once_have_numbers_of_their_own(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.deploy(start=False)
        await create(lab)
        await create(lab, "second")
        late = await racing(lab, lambda: attach(lab), lambda: attach(lab, disk="second"))
        assert late.state == DONE
        assert {(await lab.engine.disk(name)).device for name in ("data", "second")} == {1, 2}


async def test_a_vm_that_starts_has_the_disk_that_it_was_given_meanwhile(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await two_vms(lab)
        await lab.run("stop")
        late = await racing(lab, lambda: lab.run("start"), lambda: attach(lab))
        assert late.state == DONE
        assert (await lab.engine.disk("data")).state == "Ready"


async def test_what_a_vm_no_longer_accepts_fails_and_is_not_stuck(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await two_vms(lab)
        await lab.run("stop")
        late = await racing(lab, lambda: lab.run("start"), lambda: lab.run("start"))
        assert late.state == "Failed" and "it is Running, not Allocated or Stopped" in late.error


# --- the property

VMS, DISKS = ("web", "db"), ("one", "two", "three")
ACTS: st.SearchStrategy[tuple[str, ...]] = st.one_of(
    st.tuples(st.just("attach"), st.sampled_from(VMS), st.sampled_from(DISKS)),
    st.tuples(st.just("attach"), st.sampled_from(VMS), st.sampled_from(DISKS)),
    st.tuples(st.just("detach"), st.sampled_from(DISKS)),
    st.tuples(st.just("resize"), st.sampled_from(DISKS), st.sampled_from(("1024", "2000", "9000", "40000"))),
    st.tuples(st.just("delete"), st.sampled_from(DISKS)),
    st.tuples(st.just("create"), st.sampled_from(DISKS)),
    st.tuples(st.sampled_from(("start", "stop", "destroy", "recover", "expunge")), st.sampled_from(VMS)),
)
COMMANDS = ("CreateVolume", "DeleteVolume", "PlugVolume", "UnplugVolume", "ResizeVolume", "StartDomain")
FAULTS = st.tuples(
    st.sampled_from(COMMANDS), st.sampled_from((FaultKind.REFUSE_VM, FaultKind.REFUSE, FaultKind.LOST_REPLY))
)
LIVES = st.lists(st.tuples(ACTS, st.one_of(st.none(), st.none(), FAULTS)), min_size=4, max_size=14)


async def do(lab: World, act: tuple[str, ...]) -> None:
    """Do it, if it is not refused; what gets Stuck is undone."""
    kind, *about = act
    deeds: dict[str, Callable[[], Awaitable[Operation]]] = {
        "attach": lambda: attach(lab, *about),
        "detach": lambda: detach(lab, *about),
        "resize": lambda: resize(lab, int(about[1]), about[0]),
        "delete": lambda: delete(lab, *about),
        "create": lambda: create(lab, about[0]),
    }
    try:
        operation = await deeds.get(kind, lambda: lab.run(kind, *about))()
    except InvalidRequest:
        return
    while operation.state == "Stuck":
        operation = await (await lab.engine.resolve(operation.id, Way.UNDO, "again")).ended()


async def live(folder: Path, url: str, life: list[Any]) -> None:
    async with world(folder, url=url, description=cloud(space=12_000)) as lab:
        for vm in VMS:
            await lab.deploy(vm)
        for disk in DISKS:
            await create(lab, disk)
        for act, fault in life:
            if fault is not None:
                await lab.order(*fault)
            await do(lab, act)
            await lab.assert_sound()


@settings(max_examples=30)
@given(LIVES)
def test_whatever_is_done_to_disks_the_books_are_right(files: Path, tmp_path_factory: Any, life: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("life")

    async def lived() -> None:
        async with copied_file(files, folder, "current") as url:
            await live(folder, url, life)

    asyncio.run(lived())
