"""What Interlock costs beside libvirt is measured on guests that both ways deploy, and both leave nothing."""

from __future__ import annotations

from benchmarks.guests import by_hand, through_interlock
from tests.guest_image import GuestImage
from tests.libvirtd import Libvirtd


async def test_guests_are_deployed_through_interlock_and_by_hand_and_nothing_is_left(
    libvirtd: Libvirtd, image: GuestImage
) -> None:
    assert await through_interlock(libvirtd, image, 1) > 0
    before = libvirtd.listing()  # with the template, which stays in its pool
    assert by_hand(libvirtd, 2) > 0
    assert libvirtd.listing() == before
    assert await through_interlock(libvirtd, image, 2) > 0
    assert libvirtd.listing() == before
