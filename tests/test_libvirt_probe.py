"""KVM is seen to work, not assumed: a kernel is booted and watched."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from interlock.drivers.libvirt import Libvirt, probe
from interlock.drivers.libvirt.options import BootOptions
from interlock.drivers.protocol import Home
from interlock.testing.kits.scene import a_host
from tests.guest_image import GuestImage
from tests.libvirtd import Libvirtd
from tests.virtual import options


async def test_it_is_seen_what_boots_and_nothing_is_left(
    libvirtd: Libvirtd, image: GuestImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCG boots anywhere; a kernel that says nothing does not count; KVM is what was seen, and is seen once."""
    before = libvirtd.listing()
    driver = await Libvirt.open(options(libvirtd, image, accelerator="auto"), Home(tmp_path, "kit"))
    await driver.attach([a_host("kit-host-1")], [])
    site = driver._places.sites["kit-host-1"]
    kernel = BootOptions(kernel=str(image.kernel))
    assert await site.link.run(partial(probe.boots, kernel=kernel, kind="qemu"))
    monkeypatch.setattr(probe, "WITHIN", 4.0)
    mute = BootOptions(kernel="/dev/null")
    assert not await site.link.run(partial(probe.boots, kernel=mute, kind="qemu"))
    works = await site.link.run(partial(probe.boots, kernel=kernel, kind="kvm"))
    offered, _ = await site.link.run(probe._offered)
    assert await probe.kind_of_guests(driver._places, site) == ("kvm" if works and "kvm" in offered else "qemu")
    began = time.monotonic()
    assert await probe.kind_of_guests(driver._places, site)
    assert time.monotonic() - began < 1.0, "it was looked at once"
    await driver.close()
    assert libvirtd.listing() == before
