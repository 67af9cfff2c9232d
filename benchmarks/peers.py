"""What choosing alone costs: the same hosts and demands, and nothing but a look for one that has the tag and the room
and is not to be avoided. No storage, no dedication, no order that a planner promises, no word of why.

Two ways: buckets by what is free in plain Python, and one comparison over all hosts by numpy, where that is installed.
Both take a host with about the least room that will do. Peers, not floors: they answer less.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol

from interlock.planners.protocol import Demand
from interlock.schema.cloud import Host

STEP_MHZ, STEP_MIB = 1000, 1024
"""Of a bucket. Smaller: more of them are empty; greater: a demand goes to a host with more room than it needs."""


class Peer(Protocol):
    """A way to choose."""

    def choose(self, demand: Demand) -> str | None:
        """The id of a host; None if there is none."""
        ...

    def count(self, host_id: str, demand: Demand, sign: int) -> None:
        """A VM comes (1) or goes (−1)."""
        ...


class Buckets:
    """Hosts in buckets by how many steps of CPU and memory they have free; only those with the tag are in one."""

    def __init__(self, hosts: Iterable[Host], tag: str) -> None:
        self._free = {host.id: (host.cpu_free_mhz, host.memory_free_mib) for host in hosts if tag in host.tags}
        most = max((_steps(*free) for free in self._free.values()), default=0)
        self._buckets: list[dict[str, None]] = [{} for _ in range(1 + most)]
        for host_id, free in self._free.items():
            self._buckets[_steps(*free)][host_id] = None

    def choose(self, demand: Demand) -> str | None:
        """See `Peer`."""
        needed = max(-(-demand.cpu_mhz // STEP_MHZ), -(-demand.memory_mib // STEP_MIB))
        for bucket in self._buckets[needed:]:
            for host_id in bucket:
                if host_id not in demand.avoid_hosts:
                    return host_id
        return None

    def count(self, host_id: str, demand: Demand, sign: int) -> None:
        """See `Peer`."""
        cpu, memory = self._free[host_id]
        del self._buckets[_steps(cpu, memory)][host_id]
        free = cpu - sign * demand.cpu_mhz, memory - sign * demand.memory_mib
        self._free[host_id] = free
        self._buckets[_steps(*free)][host_id] = None


def _steps(cpu_mhz: int, memory_mib: int) -> int:
    return min(cpu_mhz // STEP_MHZ, memory_mib // STEP_MIB)


class Compared:
    """All hosts compared at once by numpy; the one with the least memory that will do."""

    def __init__(self, hosts: Iterable[Host], tag: str) -> None:
        self._numpy: Any = import_module("numpy")
        tagged = [host for host in hosts if tag in host.tags]
        self._ids = [host.id for host in tagged]
        self._row = {host_id: row for row, host_id in enumerate(self._ids)}
        self._cpu = self._numpy.array([host.cpu_free_mhz for host in tagged])
        self._memory = self._numpy.array([host.memory_free_mib for host in tagged])

    def choose(self, demand: Demand) -> str | None:
        """See `Peer`."""
        fits = (self._cpu >= demand.cpu_mhz) & (self._memory >= demand.memory_mib)
        fits[[self._row[host_id] for host_id in demand.avoid_hosts if host_id in self._row]] = False
        row = int(self._numpy.where(fits, self._memory, 2**62).argmin())
        return self._ids[row] if fits[row] else None

    def count(self, host_id: str, demand: Demand, sign: int) -> None:
        """See `Peer`."""
        row = self._row[host_id]
        self._cpu[row] -= sign * demand.cpu_mhz
        self._memory[row] -= sign * demand.memory_mib


def peers(hosts: Iterable[Host], tag: str) -> dict[str, Peer]:
    """Those that this machine has, by what they are called."""
    known = list(hosts)
    found: dict[str, Peer] = {"choice alone, buckets by what is free": Buckets(known, tag)}
    with suppress(ImportError):
        found["choice alone, all compared by numpy"] = Compared(known, tag)
    return found
