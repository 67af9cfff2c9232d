"""The driver kit against real guests: the same assertions as on the simulator, on a private qemu:///system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from interlock.drivers.libvirt import Libvirt
from interlock.drivers.protocol import Driver, Home
from interlock.testing import DriverConformance, Scene, Seen
from interlock.testing.kits.scene import a_host, a_pool
from tests.guest_image import GuestImage
from tests.libvirtd import Libvirtd
from tests.virtual import Witness, options


class TestLibvirt(DriverConformance):
    """QEMU without KVM."""

    scene = Scene(hosts=(a_host("kit-host-1"),), pools=(a_pool("kit-pool-1"),), memory_mib=96)
    examples = 0
    patience = 60.0
    told: ClassVar[dict[str, Any]] = {}
    witness: ClassVar[Witness]

    async def make(self, home: Home) -> Driver:
        return await Libvirt.open(self.told, home)

    async def observe(self, driver: Driver) -> Seen:
        return self.witness.seen()


@pytest.fixture(autouse=True, scope="module")
def _there(libvirtd: Libvirtd, image: GuestImage) -> Iterator[None]:
    TestLibvirt.told = options(libvirtd, image)
    TestLibvirt.witness = Witness(libvirtd.uri)
    yield
    TestLibvirt.witness.close()
