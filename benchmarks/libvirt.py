"""What Interlock costs beside libvirt: `python -m benchmarks.libvirt`, as root.

Eight guests are deployed at once through an engine, and by the same calls made by hand ([guests.py](guests.py)), taking
turns, on a libvirtd of the benchmark's own. Three rounds take a minute or two.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.command import Measured, Missing, begin, ended, parser
from benchmarks.result import figure

if TYPE_CHECKING:
    from tests.libvirtd import Libvirtd

NAME = "{guests} guests at once, through Interlock"
BY_HAND = "the same libvirt calls by hand"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the target is met, if that was asked for."""
    begun = begin("libvirt", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("libvirt", __doc__)
    asked.add_argument("--guests", type=int, default=8, help="how many at once (8)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    read = asked.parse_args(arguments)
    if read.guests < 1 or read.rounds < 1:
        asked.error("--guests and --rounds are at least 1")
    return read


def _measured(options: Namespace) -> Measured:
    if find_spec("libvirt") is None:
        raise Missing("libvirt-python is not installed: pip install 'interlock[libvirt]' (docs/libvirt.md)")
    from tests.libvirtd import Libvirtd
    from tests.postgres import NotInstalled

    try:
        libvirtd = Libvirtd.begin()
    except NotInstalled as missing:
        raise Missing(str(missing)) from missing
    try:
        rounds = list(_rounds(options, libvirtd))
    finally:
        libvirtd.end()
    name = NAME.format(guests=options.guests)
    ours, hand = zip(*rounds, strict=True)
    settings = {"guests": options.guests, "rounds": options.rounds}
    return Measured(figures=[figure(name, "s", ours, {BY_HAND: hand})], settings=settings)


def _rounds(options: Namespace, libvirtd: Libvirtd) -> Iterator[tuple[float, float]]:
    """Of each the seconds through Interlock and by hand."""
    from benchmarks.guests import by_hand, through_interlock
    from tests.guest_image import guest_image

    image = guest_image()
    asyncio.run(through_interlock(libvirtd, image, 1))  # the template is in its pool from here on
    for _ in range(options.rounds):
        hand = by_hand(libvirtd, options.guests)
        yield asyncio.run(through_interlock(libvirtd, image, options.guests)), hand


if __name__ == "__main__":
    sys.exit(main())
