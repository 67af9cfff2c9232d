"""The engine is killed with `kill -9` between each pair of libvirt calls of a deploy.

After a restart one domain runs, or none is left; never two, and never a disk, filter, config drive or DHCP entry that
belongs to nobody.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from interlock import Engine
from interlock.schema.errors import OperationFailed
from tests.dying import expire
from tests.guest_image import GuestImage
from tests.libvirtd import Libvirtd
from tests.virtual import cloud

ROOT = Path(__file__).parent.parent
NEEDED = {"update", "createXML", "nwfilterDefineXML", "upload", "defineXMLFlags", "createWithFlags"}
"""Calls that a deploy cannot do without."""


def deploying(folder: Path, *at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.deploying", str(folder / "i.db"), str(folder / "cloud.toml"), *map(str, at)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


async def test_a_deploy_that_is_killed_between_any_two_calls_leaves_one_guest_or_nothing(
    libvirtd: Libvirtd, image: GuestImage, tmp_path: Path
) -> None:
    text = cloud(libvirtd, image, boot=None)  # what runs in it does not matter here
    calls = await lived(libvirtd, tmp_path / "lived", text)
    assert set(calls) >= NEEDED
    before = libvirtd.listing()
    became: list[str] = []
    for number in range(1, len(calls) + 1):
        folder = tmp_path / f"killed-{number}"
        furnish(folder, text)
        killed = deploying(folder, number)
        assert killed.returncode == -9, f"it was not killed before call {number}: {killed.stderr}"
        became.append(await after(libvirtd, folder, before, calls[number - 1]))
    print(*zip(calls, became, strict=True), sep="\n")
    assert "Running" in became


def furnish(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "cloud.toml").write_text(text)


async def lived(libvirtd: Libvirtd, folder: Path, text: str) -> list[str]:
    """The calls of a deploy that nobody kills; the template is in its pool from then on."""
    for name in ("first", "second"):
        folder.mkdir(exist_ok=True)
        furnish(folder / name, text)
        said = deploying(folder / name)
        assert said.returncode == 0, said.stderr
        await wiped(folder / name)
    return said.stdout.split()


async def after(libvirtd: Libvirtd, folder: Path, before: dict[str, list[str]], call: str) -> str:
    """Restart; what became of the VM."""
    await expire(f"sqlite+aiosqlite:///{folder}/i.db")
    async with Engine.open(str(folder / "i.db")) as engine:
        for handle in await engine.handles():
            try:
                await handle.wait()
            except OperationFailed as error:
                assert error.operation.state in ("Failed", "Cancelled"), f"killed before {call}: {error}"
        await engine.idle()
        [vm] = (await engine.vms()).vms
        domains = [each for each in libvirtd.listing()["domains"] if each not in before["domains"]]
        if vm.state == "Running":
            assert domains == [vm.instance_name], f"killed before {call}"
        else:
            assert vm.state == "Error", f"killed before {call}: {vm.state}"
            assert libvirtd.listing() == before, f"killed before {call}"
    await wiped(folder)
    assert libvirtd.listing() == before, f"killed before {call}"
    return vm.state


async def wiped(folder: Path) -> None:
    async with Engine.open(str(folder / "i.db")) as engine:
        [vm] = (await engine.vms()).vms
        if vm.state == "Running":
            await (await engine.destroy(vm.name, forced=True)).wait()
            await (await engine.expunge(vm.name)).wait()
