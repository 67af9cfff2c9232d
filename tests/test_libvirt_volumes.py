"""Volumes and templates in a real pool: copies that broke off, images that are not what they should be; no guests."""

from __future__ import annotations

import hashlib
import os
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from interlock.drivers.libvirt import Libvirt, Progress, volumes
from interlock.drivers.libvirt.gate import Gate
from interlock.drivers.protocol import Home
from interlock.schema.commands import AnyCommand, CreateVolume, Done, Outcome, Refusal, Refused, Scope
from interlock.testing import Scene
from interlock.testing.kits.scene import a_host, a_pool
from tests.guest_image import GuestImage
from tests.libvirtd import POOL, Libvirtd
from tests.virtual import MIB, options

SCENE = Scene(hosts=(a_host("kit-host-1"),), pools=(replace(a_pool("kit-pool-1"), size_mib=1024),), disk_mib=32)
NAME = "interlock-kit-vol1"


class Pool:
    """A driver, and what is in its pool."""

    def __init__(self, driver: Libvirt, libvirtd: Libvirtd) -> None:
        self.driver, self.libvirtd, self.said = driver, libvirtd, 0

    async def say(self, command: AnyCommand, token: str = "") -> Outcome:
        self.said += 1
        return await self.driver.perform(command, token=token or f"{self.said}", fence=self.said)

    async def refused(self, command: AnyCommand) -> Refused:
        outcome = await self.say(command)
        assert isinstance(outcome, Refused)
        return outcome

    @property
    def volumes(self) -> list[str]:
        """What is there but the images."""
        self.libvirtd.virsh("pool-refresh", POOL)
        there = [line.split()[0] for line in self.libvirtd.listing()["volumes"]]
        return [name for name in there if not name.startswith("interlock-image-")]

    def described(self, name: str = NAME) -> ET.Element:
        return ET.fromstring(self.libvirtd.virsh("vol-dumpxml", name, POOL).stdout)

    def content(self, name: str = NAME) -> bytes:
        """What a guest would read first."""
        target = self.libvirtd.folder / "read"
        path = self.libvirtd.pool_folder / name
        os.spawnlp(os.P_WAIT, "qemu-img", "qemu-img", "convert", "-O", "raw", str(path), str(target))
        return target.read_bytes()[:16]


@pytest.fixture
async def pool(libvirtd: Libvirtd, image: GuestImage, tmp_path: Path) -> AsyncIterator[Pool]:
    async for each in opened(libvirtd, image, tmp_path):
        yield each


async def opened(libvirtd: Libvirtd, image: GuestImage, folder: Path, **more: Any) -> AsyncIterator[Pool]:
    driver = await Libvirt.open(options(libvirtd, image) | more, Home(folder, "kit"))
    await driver.attach(SCENE.hosts, SCENE.pools)
    made = Pool(driver, libvirtd)
    yield made
    for delete in (SCENE.delete(), SCENE.delete(device=1)):
        assert await made.say(delete) == Done()
    assert made.volumes == []
    await driver.close()


@pytest.mark.parametrize("clone", ["linked", "full"])
async def test_a_volume_of_a_template_begins_like_it(clone: str, pool: Pool) -> None:
    assert await pool.say(SCENE.create(clone=clone)) == Done()
    assert pool.content() == b"template-of-inte"
    assert int(pool.described().findtext("capacity") or 0) == 32 * MIB
    backing = pool.described().findtext("backingStore/path")
    assert ("interlock-image-debian-12" in (backing or "")) == (clone == "linked")


async def test_a_blank_volume_grows_and_never_shrinks(pool: Pool) -> None:
    assert await pool.say(SCENE.create(device=1)) == Done()
    assert await pool.say(SCENE.resize(device=1)) == Done()
    assert await pool.say(SCENE.resize(device=1, size=8)) == Done()
    assert int(pool.described("interlock-kit-vol1-1").findtext("capacity") or 0) == 48 * MIB


async def test_a_copy_that_broke_off_is_begun_anew(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had copied is not taken for the volume."""

    def watch(name: str) -> None:
        if name == "createXMLFrom":
            (pool.libvirtd.pool_folder / NAME).write_bytes(b"half of a copy")
            pool.libvirtd.virsh("pool-refresh", POOL)
            raise OSError("as if killed here")

    monkeypatch.setattr(Gate, "watch", staticmethod(watch))
    with pytest.raises(OSError, match="as if killed"):
        await pool.say(SCENE.create(), token="once")
    assert pool.volumes == [NAME]
    monkeypatch.setattr(Gate, "watch", None)
    assert await pool.say(SCENE.create(), token="once") == Done()
    assert pool.content() == b"template-of-inte"


async def test_a_volume_that_nobody_here_has_begun_is_left_alone(
    pool: Pool, libvirtd: Libvirtd, image: GuestImage, tmp_path: Path
) -> None:
    """Another worker's: it may hold somebody's data."""
    assert await pool.say(SCENE.create()) == Done()
    (libvirtd.pool_folder / NAME).write_bytes(b"somebody's data.")
    async for other in opened(libvirtd, image, tmp_path, registry="another"):
        assert await other.say(SCENE.create()) == Done()
        assert (libvirtd.pool_folder / NAME).read_bytes() == b"somebody's data."


async def test_another_make_is_refused(pool: Pool) -> None:
    assert await pool.say(SCENE.create()) == Done()
    refused = await pool.refused(SCENE.create(size=64))
    assert (refused.kind, refused.scope) == (Refusal.PERMANENT, Scope.VM)
    assert "is in pool kit-pool-1 already" in refused.reason


async def test_a_file_that_is_not_what_it_should_be_is_no_template(
    libvirtd: Libvirtd, image: GuestImage, tmp_path: Path
) -> None:
    wrong = {"debian-12": {"file": str(image.kernel), "sha256": "0" * 64}}
    async for pool in opened(libvirtd, image, tmp_path, templates=wrong):
        before = libvirtd.listing()["volumes"]
        refused = await pool.refused(SCENE.create())
        assert (refused.kind, refused.scope) == (Refusal.PERMANENT, Scope.VM)
        assert "not " + "0" * 64 in refused.reason
        assert libvirtd.listing()["volumes"] == before


async def test_an_image_that_is_half_there_is_brought_again(
    libvirtd: Libvirtd, image: GuestImage, tmp_path: Path
) -> None:
    """Under its very name: an engine was killed as it brought it, or somebody has spoilt it since nobody looked."""
    path = tmp_path / "other.qcow2"
    os.spawnlp(os.P_WAIT, "qemu-img", "qemu-img", "create", "-q", "-f", "qcow2", str(path), "16M")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    there = libvirtd.pool_folder / f"interlock-image-debian-12-{checksum[:16]}"
    there.write_bytes(path.read_bytes()[:1000])
    libvirtd.virsh("pool-refresh", POOL)
    told = {"debian-12": {"file": str(path), "sha256": checksum}}
    async for pool in opened(libvirtd, image, tmp_path, templates=told):
        assert await pool.say(SCENE.create(clone="linked")) == Done()
        assert there.read_bytes() == path.read_bytes()
    libvirtd.virsh("vol-delete", there.name, POOL)


async def test_a_full_copy_says_how_far_it_is(
    libvirtd: Libvirtd, image: GuestImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = tmp_path / "large.raw", list[Progress]()
    path.write_bytes(os.urandom(96 * MIB))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    large = {"debian-12": {"file": str(path), "sha256": checksum, "format": "raw"}}
    monkeypatch.setattr(volumes, "LOOK", 0.02)
    async for pool in opened(libvirtd, image, tmp_path, templates=large):
        pool.driver.told_progress = told.append
        assert await pool.say(replace_size(SCENE.create(), 96)) == Done()
        assert told[-1] == Progress("kit-vol1", 96 * MIB, 96 * MIB)
        assert [each.done for each in told] == sorted(each.done for each in told)
        assert {(each.volume_id, each.total) for each in told} == {("kit-vol1", 96 * MIB)}
    libvirtd.virsh("vol-delete", f"interlock-image-debian-12-{checksum[:16]}", POOL)


def replace_size(command: CreateVolume, size_mib: int) -> CreateVolume:
    return replace(command, volume=replace(command.volume, size_mib=size_mib))
