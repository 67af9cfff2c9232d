"""A deploy through Interlock takes hardly longer than the same libvirt calls made by hand."""

from __future__ import annotations

from tests.guest_image import GuestImage
from tests.libvirtd import Libvirtd
from tests.overhead import ratio

MOST = 1.15
"""The issue's own figure."""


def test_eight_guests_are_deployed_as_fast_as_by_hand(libvirtd: Libvirtd, image: GuestImage) -> None:
    hand, ours = ratio(libvirtd, image, MOST)
    assert ours / hand <= MOST, f"by hand {hand:.2f} s, through Interlock {ours:.2f} s"
