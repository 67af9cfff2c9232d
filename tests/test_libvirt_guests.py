"""Real guests under a whole engine, on a private qemu:///system: what they print on their serial consoles is believed.

Each test boots one or two, of 96 MiB, without KVM; a boot takes about five seconds. Every one ends by looking whether
anything is left.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock import CloudDescription, DeployVM, Engine, FirewallRule
from interlock.schema.errors import OperationFailed
from interlock.schema.records import Vm
from tests.guest_image import GuestImage
from tests.libvirtd import Libvirtd
from tests.virtual import TEMPLATE, cloud

BOOT = 60.0
"""Seconds that a guest may take to say that it is ready. It takes 5 on a machine that is idle."""
SOON = 5.0
"""Within which what happened behind our back is in the records: the issue's own figure."""


@pytest.fixture
def before(libvirtd: Libvirtd) -> Iterator[dict[str, list[str]]]:
    """What is there before; in the end it must be there, and nothing else but the template."""
    listing = libvirtd.listing()
    yield listing
    after = libvirtd.listing()
    after["volumes"] = [each for each in after["volumes"] if "interlock-image-" not in each]
    listing["volumes"] = [each for each in listing["volumes"] if "interlock-image-" not in each]
    assert after == listing


@asynccontextmanager
async def opened(folder: Path, libvirtd: Libvirtd, image: GuestImage, **more: Any) -> AsyncIterator[Engine]:
    async with Engine.open(f"{folder}/i.db", cloud=CloudDescription.parse(cloud(libvirtd, image, **more))) as engine:
        yield engine


def wish(name: str, **more: Any) -> DeployVM:
    return DeployVM(name=name, offering="tiny", template="debian-12", account="eve", **more)


def console(libvirtd: Libvirtd, vm: Vm) -> str:
    file = libvirtd.consoles / f"{vm.instance_name}.log"
    return file.read_text(errors="replace") if file.exists() else ""


async def until(ask: Callable[[], Any], within: float = BOOT) -> None:
    end = time.monotonic() + within
    while not ask():
        assert time.monotonic() < end, f"not within {within} s"
        await asyncio.sleep(0.1)


async def state_is(engine: Engine, name: str, state: str, within: float) -> float:
    """Wait until a VM is in a state; how long that took."""
    began = time.monotonic()
    while (await engine.vm(name)).state != state:
        assert time.monotonic() - began < within, f"{name} is not {state} within {within} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def gone(engine: Engine, *names: str) -> None:
    for name in names:
        await (await engine.destroy(name, forced=True)).wait()
        await (await engine.expunge(name)).wait()


async def test_a_guest_lives_from_define_to_destroy(
    libvirtd: Libvirtd, image: GuestImage, tmp_path: Path, before: dict[str, list[str]]
) -> None:
    """It boots with the name, address, disks and user data that Interlock gave it, behind its filter; goes down when it
    is asked to; comes up again; and leaves nothing."""
    async with opened(tmp_path, libvirtd, image, shutdown_within_s=30) as engine:
        data = b64encode(b"#cloud-config\n# from eve\n").decode()
        await (
            await engine.deploy(wish("web-1", data_disks_mib=(8,), security_groups=("eve/web",), user_data=data))
        ).wait()
        vm = await engine.vm("web-1")
        [nic] = await engine.nics(vm.id)
        await until(lambda: "GUEST ready" in console(libvirtd, vm))
        said = console(libvirtd, vm)
        assert "GUEST name web-1\n" in said.replace("\r", "")
        assert f"GUEST leased {nic.ip_address}" in said
        assert f"GUEST told {nic.ip_address}/24" in said
        assert f"GUEST disk vda {TEMPLATE.decode()}" in said
        assert "GUEST disk vdb" in said
        assert "GUEST data #cloud-config # from eve" in said
        assert "GUEST reaches its gateway" in said, "everything may go out, and answers come in"
        assert "GUEST spoofs" not in said, "it sends from no address but its own"
        await until(lambda: reached(libvirtd, nic.ip_address, 80))
        assert not reached(libvirtd, nic.ip_address, 22)
        await let_in(engine, 22)
        await until(lambda: reached(libvirtd, nic.ip_address, 22))  # the rules of a guest that runs were changed
        assert not reached(libvirtd, nic.ip_address, 80)
        await (await engine.stop("web-1")).wait()
        assert "GUEST goes down" in console(libvirtd, vm), "it was asked, and heeded it"
        assert libvirtd.listing()["domains"] == before["domains"]
        await (await engine.start("web-1")).wait()
        await until(lambda: console(libvirtd, vm).count("GUEST ready") == 2)
        await gone(engine, "web-1")


async def let_in(engine: Engine, port: int) -> None:
    await engine.set_rules(
        "eve/web", ingress=[FirewallRule(protocol="tcp", first_port=port, last_port=port, cidr="0.0.0.0/0")]
    )
    await engine.idle()


def reached(libvirtd: Libvirtd, address: str | None, port: int) -> bool:
    """Whether the host gets an answer from the guest on this port."""
    return libvirtd.inside("busybox", "nc", "-w", "2", str(address), str(port)) == f"GUEST {port}"


@pytest.mark.parametrize("how", ["virsh destroy", "kill -9 of qemu", "virsh undefine"])
async def test_what_happens_behind_our_back_is_recorded_with_its_cause(
    how: str, libvirtd: Libvirtd, image: GuestImage, tmp_path: Path, before: dict[str, list[str]]
) -> None:
    async with opened(tmp_path, libvirtd, image, boot=None) as engine:
        await (await engine.deploy(wish("web-1"))).wait()
        vm = await engine.vm("web-1")
        held = (await engine.places())["host"][0]
        assert held.cpu_used_mhz, "it holds some of its host"  # type: ignore[union-attr]
        cause = {"virsh destroy": "destroyed from outside", "kill -9 of qemu": "crashed", "virsh undefine": "gone"}
        if how == "kill -9 of qemu":
            pid = libvirtd.qemu(vm.instance_name)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        else:
            libvirtd.virsh("destroy", vm.instance_name)
            if how == "virsh undefine":
                libvirtd.virsh("undefine", vm.instance_name, check=False)  # our engine may have done so already
        took = await state_is(engine, "web-1", "Stopped", SOON)
        print(f"{how}: Stopped after {took:.2f} s")
        await engine.idle()
        host = (await engine.places())["host"][0]
        assert not host.cpu_used_mhz, "its capacity is released"  # type: ignore[union-attr]
        causes = [row.cause for row in await engine.history(vm.id) if row.event == "FollowAgentPowerOffReport"]
        assert causes
        assert how == "virsh undefine" or cause[how] in str(causes[0])
        await gone(engine, "web-1")


async def test_a_guest_that_does_not_shut_down_is_left_running_until_it_is_forced(
    libvirtd: Libvirtd, image: GuestImage, tmp_path: Path, before: dict[str, list[str]]
) -> None:
    """One without a system hears no power button."""
    async with opened(tmp_path, libvirtd, image, boot=None, shutdown_within_s=0.5) as engine:
        await (await engine.deploy(wish("web-1"))).wait()
        with pytest.raises(OperationFailed, match="did not shut down within"):
            await (await engine.stop("web-1")).wait()
        assert (await engine.vm("web-1")).state == "Running"
        await (await engine.stop("web-1", forced=True)).wait()
        await gone(engine, "web-1")
