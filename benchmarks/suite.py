"""The modules of the suite: what each measures, and how it is run in the quick suite and in the full one.

One table; `python -m benchmarks` runs it. A module without a quick size is run in the full suite alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple


class Size(NamedTuple):
    """A run of a module: what it is told, and how many minutes that takes when the machine has nothing else to do."""

    minutes: float
    arguments: str = ""


class Module(NamedTuple):
    """One of the suite: `python -m benchmarks.NAME`."""

    name: str
    measures: str
    quick: Size | None
    full: Size


MODULES = (
    Module(
        "deploys",
        "deploys on an embedded engine, beside the same statements and the same rows in a bare sqlite3 loop",
        quick=Size(0.3),
        full=Size(1, "--deploys 2000 --rounds 5"),
    ),
    Module(
        "workers",
        "PostgreSQL: one engine beside the same rows in a bare asyncpg loop, and how several workers scale",
        quick=Size(2, "--rounds 1 --crews 1,2,4 --deploys 300 --busy 0"),
        full=Size(20, "--operations 100000"),
    ),
    Module(
        "planning",
        "a planner's decisions on a large fleet, beside a look at each host in turn",
        quick=Size(0.5, "--rounds 1"),
        full=Size(3, "--hosts 10000 30000 100000 --rounds 5"),
    ),
    Module(
        "lists",
        "a deploy and a page of each list with many VMs, beside the same with a thousand",
        quick=Size(2, "--rounds 3"),
        full=Size(12, "--full"),
    ),
    Module(
        "journal",
        "reading, verifying and rebuilding a long journal, beside decoding and hashing its lines",
        quick=Size(1, "--transitions 30000"),
        full=Size(10, "--transitions 1000000"),
    ),
    Module(
        "day",
        "deciding a recorded day again and playing it otherwise, beside reading its journal",
        quick=Size(0.5, "--deploys 500"),
        full=Size(5, "--deploys 10000"),
    ),
    Module(
        "logs",
        "reading CloudStack's logs, beside splitting them into lines",
        quick=Size(0.3, "--lines 300000"),
        full=Size(1, "--lines 1000000"),
    ),
    Module(
        "events",
        "events of the fuzzer with the oracle on, beside the same with it off, and deciding alone",
        quick=Size(0.3, "--events 10000"),
        full=Size(2, "--events 100000"),
    ),
    Module(
        "telemetry",
        "deploys with metrics, and with traces, beside deploys that nobody watches",
        quick=Size(0.3, "--turns 6"),
        full=Size(1.5, "--hosts 100000 --rounds 5"),
    ),
    Module(
        "libvirt",
        "guests on libvirt through Interlock, beside the same libvirt calls by hand",
        quick=None,
        full=Size(2),
    ),
    Module(
        "startup",
        "starting: --help, import, an open engine; beside bare Python and the libraries",
        quick=Size(0.2),
        full=Size(1, "--rounds 21"),
    ),
    Module(
        "restart",
        "going on after kill -9 with thousands of deploys in flight, beside the same deploys uninterrupted",
        quick=Size(0.7, "--deploys 2000"),
        full=Size(3),
    ),
    Module(
        "soak",
        "whether memory, files, threads or tasks grow over a million operations",
        quick=Size(0.7, "--operations 15000 --warm 5000 --sample 1000"),
        full=Size(45, "--operations 1000000"),
    ),
)


def chosen(modules: Iterable[Module], *, full: bool, only: Collection[str] = ()) -> list[tuple[Module, Size]]:
    """Those that are run, with the size at which they are.

    Args:
        modules: what there is.
        full: at their full sizes, and those that have no other.
        only: the names of those that are asked for, if not all are; one that has no quick size is run at its full one.
    """
    asked = [each for each in modules if not only or each.name in only]
    sizes = ((each, each.full if full or (only and each.quick is None) else each.quick) for each in asked)
    return [(each, size) for each, size in sizes if size is not None]
