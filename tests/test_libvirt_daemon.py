"""A libvirtd that hangs, and one that is killed and comes back: nobody waits for it, and its guests are found again."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from interlock.drivers.libvirt import Libvirt, link
from interlock.drivers.libvirt.events import EVENTS
from interlock.drivers.protocol import Home
from interlock.schema import commands as c
from interlock.schema.commands import Done, Outcome, Refusal, Refused, Scope
from interlock.schema.reports import Found, HostBack, HostLost, HostReport, Power, Report
from interlock.testing import Scene
from interlock.testing.kits.scene import a_host, a_pool
from tests.guest_image import GuestImage
from tests.libvirtd import Libvirtd
from tests.virtual import options

SCENE = Scene(hosts=(a_host("kit-host-1"),), pools=(a_pool("kit-pool-1"),), memory_mib=96)
LOOK = c.LookForDomain(driver="kit", at="kit-host-1", vm_id="kit-vm1", subject="vm kit-vm1")
UP = Done(found=Found(Power.ON))


class Told:
    """A driver with a guest that runs, and what it tells."""

    def __init__(self, driver: Libvirt) -> None:
        self.driver, self.reports, self.said = driver, list[Report](), 0
        driver.listen(self.reports.append)

    async def say(self, command: c.AnyCommand) -> Outcome:
        self.said += 1
        return await self.driver.perform(command, token=f"{self.said}", fence=self.said)

    async def hear(self, kind: type[Report], within: float) -> None:
        async with asyncio.timeout(within):
            while not any(isinstance(each, kind) for each in self.reports):
                await asyncio.sleep(0.02)


@pytest.fixture
async def told(libvirtd: Libvirtd, image: GuestImage, tmp_path: Path) -> AsyncIterator[Told]:
    libvirtd.ensure()
    given = options(libvirtd, image, keepalive_s=1, connect_within_s=2)
    del given["boot"]
    driver = await Libvirt.open(given, Home(tmp_path, "kit"))
    await driver.attach(SCENE.hosts, SCENE.pools)
    told = Told(driver)
    before = libvirtd.listing()
    for command in SCENE.up():
        assert await told.say(command) == Done()
    yield told
    libvirtd.ensure()
    for command in (SCENE.stop(), SCENE.delete(), SCENE.release()):
        assert await told.say(command) == Done()
    await driver.close()
    after = libvirtd.listing()
    for listing in (before, after):
        listing["volumes"] = [each for each in listing["volumes"] if "interlock-image-" not in each]
    assert after == before


async def test_a_hung_libvirtd_holds_up_nobody(told: Told, libvirtd: Libvirtd) -> None:
    pid = libvirtd.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        looked = await told.say(LOOK)
        assert isinstance(looked, Refused)
        assert (looked.kind, looked.scope) == (Refusal.TRANSIENT, Scope.HOST), "a look changes nothing"
        assert time.monotonic() - began < 10
        await told.hear(HostLost, 1)
        ticks = 0
        again = asyncio.create_task(told.say(SCENE.reboot()))
        while not again.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 10, "the event loop went on"
        assert isinstance(again.result(), Refused)
        assert await told.driver.survey() == []
    finally:
        os.kill(pid, signal.SIGCONT)
    try:
        await told.hear(HostBack, 20)
    except TimeoutError:
        libvirtd.ensure()
        await told.hear(HostBack, 30)
    assert await told.say(LOOK) == UP


async def test_a_libvirtd_that_is_killed_and_comes_back_has_its_guests(told: Told, libvirtd: Libvirtd) -> None:
    os.kill(libvirtd.daemon(), signal.SIGKILL)
    await told.hear(HostLost, 5)
    looked = await told.say(LOOK)
    assert isinstance(looked, Refused)
    assert looked.kind is Refusal.TRANSIENT
    libvirtd.restart()
    await told.hear(HostBack, 30)
    told.reports.clear()
    assert await told.say(LOOK) == UP
    [report] = await told.driver.survey()
    assert isinstance(report, HostReport)
    assert report.guests == {"kit-vm1": Power.ON}


async def test_what_is_asked_meanwhile_is_done_when_it_is_asked_again(told: Told, libvirtd: Libvirtd) -> None:
    """As the engine does, under the same token."""
    os.kill(libvirtd.daemon(), signal.SIGKILL)
    stop = replace(SCENE.stop(), forced=True)
    refused = await told.driver.perform(stop, token="again", fence=100)
    assert isinstance(refused, Refused)
    assert refused.kind in (Refusal.TRANSIENT, Refusal.UNKNOWN)
    libvirtd.restart()
    async with asyncio.timeout(30):
        while await told.driver.perform(stop, token="again", fence=100) != Done():
            await asyncio.sleep(0.1)
    told.said = 100
    assert await told.say(LOOK) == Done(found=Found(Power.ABSENT))


async def test_closing_does_not_wait_for_a_libvirtd_that_hangs_and_leaves_nothing(
    told: Told, libvirtd: Libvirtd, image: GuestImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not for a connection that is just being opened; when libvirtd goes on, that is closed, too."""
    assert await told.say(LOOK) == UP
    before, held = set(threading.enumerate()), EVENTS._holders
    given = options(libvirtd, image, keepalive_s=1, connect_within_s=30, registry="another")
    driver = await Libvirt.open(given, Home(tmp_path, "kit"))
    await driver.attach(SCENE.hosts, SCENE.pools)
    assert len(await driver.survey()) == 1
    pid = libvirtd.daemon()
    monkeypatch.setattr(link, "CLOSING", 1.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await driver.survey() == []
        async with asyncio.timeout(5):
            while not driver._places.sites["kit-host-1"].link._dialling:
                await asyncio.sleep(0.02)
        began = time.monotonic()
        await driver.close()
        assert time.monotonic() - began < 5
    finally:
        os.kill(pid, signal.SIGCONT)
    async with asyncio.timeout(20):
        while left(before) or EVENTS._holders != held:
            await asyncio.sleep(0.05)


def left(before: set[threading.Thread]) -> list[str]:
    """Threads that open or close a connection; the others may belong to the driver that is still open."""
    names = [each.name for each in set(threading.enumerate()) - before]
    return [name for name in names if name.endswith(("-open", "-close"))]
