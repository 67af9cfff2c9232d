"""A cloud and a network in memory, as planners and gurus see them, and short ways to build their records.

Promises: keep the order and the words that `planners/protocol.py` asks for; count what is read, so that a
test can say what a planner did not look at. Never change what was put in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

from interlock.planners.protocol import Demand, VolumeDemand
from interlock.schema.cloud import Cluster, Host, Network, StoragePool

ZONE = "z"


def a_host(id: str = "h1", cluster: str = "c1", cpu: int = 1000, memory: int = 1000, **more: Any) -> Host:
    """An empty host."""
    fields: dict[str, Any] = {"id": id, "zone_id": ZONE, "pod_id": "p1", "cluster_id": cluster}
    return Host(**{**fields, "driver": "simulator", "cpu_mhz": cpu, "memory_mib": memory, **more})


def a_pool(id: str = "zone1", size: int = 1000, **more: Any) -> StoragePool:
    """An empty pool: of the cluster or host if one is named, else of the zone."""
    scope = "host" if "host_id" in more else "cluster" if "cluster_id" in more else "zone"
    fields: dict[str, Any] = {"id": id, "zone_id": ZONE, "scope": scope, "driver": "simulator"}
    return StoragePool(**{**fields, "size_mib": size, **more})


def a_volume(id: str = "root", size: int = 100, storage: str = "shared", pool: str | None = None) -> VolumeDemand:
    """A volume that wants a pool, or lies in one."""
    return VolumeDemand(id=id, size_mib=size, storage=storage, pool_id=pool)


def a_demand(*volumes: VolumeDemand, cpu: int = 500, memory: int = 500, **more: Any) -> Demand:
    """What a small VM of account `a` needs."""
    fields: dict[str, Any] = {"vm_id": "vm1", "account_id": "a", "zone_id": ZONE, "seed": "s"}
    avoid: dict[str, dict[str, str]] = {"avoid_hosts": {}, "avoid_pools": {}}
    return Demand(**{**fields, **avoid, "cpu_mhz": cpu, "memory_mib": memory, "volumes": volumes, **more})


def a_network(id: str = "n1", cidr: str = "10.0.0.0/24", **more: Any) -> Network:
    """A shared /24 that gives .10 to .20."""
    fields: dict[str, Any] = {"id": id, "zone_id": ZONE, "guru": "direct", "cidr": cidr}
    figures = {"gateway": "10.0.0.1", "first_ip": "10.0.0.10", "last_ip": "10.0.0.20"}
    return Network(**{**fields, **figures, **more})


class FakeCloud:
    """A `CloudView` over lists; `closed`: hosts not enabled, and why; `vms`: who runs how many where."""

    def __init__(
        self,
        hosts: Iterable[Host] = (),
        pools: Iterable[StoragePool] = (),
        closed: Mapping[str, str] | None = None,
        vms: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self._hosts = sorted(hosts, key=lambda host: host.id)
        self._pools = sorted(pools, key=lambda pool: pool.id)
        self._closed, self._vms = dict(closed or {}), dict(vms or {})
        self.hosts_read = 0
        self.pools_read = 0

    def hosts(self, zone_id: str) -> Iterator[Host]:
        for host in self._hosts:
            if host.zone_id == zone_id:
                self.hosts_read += 1
                yield host

    def cluster(self, cluster_id: str) -> Cluster:
        return Cluster(id=cluster_id, zone_id=ZONE, pod_id="p1")

    def enabled(self, host: Host) -> str | None:
        return self._closed.get(host.id) if host.enabled else f"host {host.id} is disabled"

    def pools(self, zone_id: str) -> Iterator[StoragePool]:
        for pool in self._pools:
            if pool.zone_id == zone_id:
                self.pools_read += 1
                yield pool

    def vms_of(self, account_id: str, host_id: str) -> int:
        return self._vms.get((account_id, host_id), 0)

    def contents(self) -> object:
        """All that is in it, to compare before with after."""
        return list(self._hosts), list(self._pools), dict(self._closed), dict(self._vms)


class FakeAddresses:
    """An `AddressView` over a set."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self.asked = 0

    def is_taken(self, ip_address: str) -> bool:
        return ip_address in self.taken

    def first_free(self, first: str, last: str) -> str | None:
        self.asked += 1
        numbers = range(int(IPv4Address(first)), int(IPv4Address(last)) + 1)
        return next((ip for ip in map(str, map(IPv4Address, numbers)) if ip not in self.taken), None)
