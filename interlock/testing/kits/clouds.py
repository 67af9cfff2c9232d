"""A cloud in memory, as planners see it, and short ways to build its records.

Promises: keeps the order and the words that `planners/protocol.py` asks for, and never changes what was put in. It
counts what is read, and remembers which mappings it handed out, so that a check can say what a planner looked at and
whether it wrote into what it was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Self

import msgspec
from msgspec.structs import replace

from interlock.engine.orchestrator.hosts import HostIndex
from interlock.planners.protocol import Demand, Rejected, Shortlist, VolumeDemand
from interlock.schema.cloud import Cluster, Host, StoragePool

ZONE = "z"
VAST_MIB = 1_000_000
"""More than any volume of a check."""


def unusual(record: msgspec.Struct) -> str:
    """A record in words: the fields that are not at their defaults."""
    fields = ((each.name, getattr(record, each.name), each) for each in msgspec.structs.fields(record))
    return ", ".join(f"{name}={value!r}" for name, value, field in fields if value not in (field.default, (), {}))


def a_host(id: str = "h1", cluster: str = "c1", cpu: int = 1000, memory: int = 1000, **more: Any) -> Host:
    """An empty host."""
    fields: dict[str, Any] = {"id": id, "zone_id": ZONE, "pod_id": "p1", "cluster_id": cluster}
    return Host(**{**fields, "driver": "simulator", "cpu_mhz": cpu, "memory_mib": memory, **more})


def a_pool(id: str = "zone1", size: int = 1000, **more: Any) -> StoragePool:
    """An empty pool: of the cluster or host if one is named, else of the zone."""
    scope = "host" if "host_id" in more else "cluster" if "cluster_id" in more else "zone"
    fields: dict[str, Any] = {"id": id, "zone_id": ZONE, "scope": scope, "driver": "simulator"}
    return StoragePool(**{**fields, "size_mib": size, **more})


def a_volume(
    id: str = "root", size: int = 100, storage: str = "shared", pool: str | None = None, tags: tuple[str, ...] = ()
) -> VolumeDemand:
    """A volume that wants a pool, or lies in one."""
    return VolumeDemand(id=id, size_mib=size, storage=storage, pool_id=pool, tags=tags)


def a_demand(*volumes: VolumeDemand, cpu: int = 500, memory: int = 500, **more: Any) -> Demand:
    """What a small VM of account `a` needs."""
    fields: dict[str, Any] = {"vm_id": "vm1", "account_id": "a", "zone_id": ZONE, "seed": "s"}
    avoid: dict[str, dict[str, str]] = {"avoid_hosts": {}, "avoid_pools": {}}
    return Demand(**{**fields, **avoid, "cpu_mhz": cpu, "memory_mib": memory, "volumes": volumes, **more})


class FakeShortlist:
    """A `Shortlist` over a list."""

    def __init__(self, demand: Demand, zone: list[Host], among: list[Host]) -> None:
        self._demand, self._zone, self._among = demand, zone, among

    def __iter__(self) -> Iterator[Host]:
        return iter(self._among)

    def __len__(self) -> int:
        return len(self._among)

    def __contains__(self, host_id: object) -> bool:
        return any(host.id == host_id for host in self._among)

    def roomiest_first(self) -> Iterator[Host]:
        return iter(sorted(self._among, key=lambda host: (-such_vms(host, self._demand), host.id)))

    def in_pods(self, pod_ids: Collection[str]) -> FakeShortlist:
        return self._only(host for host in self._among if host.pod_id in pod_ids)

    def vacant(self) -> FakeShortlist:
        return self._only(host for host in self._among if host.cpu_used_mhz == host.memory_used_mib == 0)

    def without(self, host_ids: Iterable[str]) -> FakeShortlist:
        gone = set(host_ids)
        return self._only(host for host in self._among if host.id not in gone)

    def left_out(self) -> tuple[int, Iterator[Host]]:
        others = [host for host in self._zone if host.id not in self]
        return len(others), iter(others)

    def causes(self) -> list[tuple[str, int]]:
        return [("left out", self.left_out()[0])]

    def told(self, tell: Callable[[Host], Rejected], most: int, but: Container[str]) -> list[Rejected]:
        others = (host for host in self.left_out()[1] if host.id not in but)
        return [tell(host) for host in islice(others, most)]

    def _only(self, among: Iterable[Host]) -> FakeShortlist:
        return FakeShortlist(self._demand, self._zone, list(among))


def holds(host: Host, demand: Demand) -> tuple[int, int]:
    """CPU and memory that the VM would hold there, by arithmetic of our own: never less than 1 under a ratio."""
    cpu = demand.own_cpu_overcommit or host.cpu_overcommit
    memory = demand.own_memory_overcommit or host.memory_overcommit
    sizes = ((demand.cpu_mhz, cpu), (demand.memory_mib, memory))
    most = [size if ratio == 1 else max(1, int(size / ratio)) for size, ratio in sizes]
    return most[0], most[1]


def such_vms(host: Host, demand: Demand) -> int:
    """For how many VMs of that size there is room."""
    free = host.cpu_mhz - host.cpu_used_mhz, host.memory_mib - host.memory_used_mib
    return min(there // held for there, held in zip(free, holds(host, demand), strict=True))


def has_tags_and_room(host: Host, demand: Demand) -> bool:
    """What every shortlist may leave out, if not."""
    cpu, memory = holds(host, demand)
    room = host.cpu_used_mhz + cpu <= host.cpu_mhz and host.memory_used_mib + memory <= host.memory_mib
    return room and set(demand.host_tags) <= set(host.tags)


class FakeCloud:
    """A `CloudView` over lists.

    `closed`: hosts not enabled, and why; `vms`: by account and host, who runs how many where; `placed`: by planner and
    host, who placed them; `dedicated`: hosts and the account that has them; `clusters`: those that are not plain;
    `spare`: what clusters may still hold, in MHz; `most`: what of pools may be allocated; `sharp`: shortlists leave
    out what lacks tags or room, or nothing.
    """

    def __init__(
        self,
        hosts: Iterable[Host] = (),
        pools: Iterable[StoragePool] = (),
        closed: Mapping[str, str] | None = None,
        vms: Mapping[tuple[str, str], int] | None = None,
        *,
        placed: Mapping[tuple[str, str], int] | None = None,
        dedicated: Mapping[str, str] | None = None,
        clusters: Iterable[Cluster] = (),
        spare: Mapping[str, int] | None = None,
        most: Mapping[str, int] | None = None,
        sharp: bool = True,
    ) -> None:
        self._hosts = {host.id: host for host in sorted(hosts, key=lambda host: host.id)}
        self._pools = {pool.id: pool for pool in sorted(pools, key=lambda pool: pool.id)}
        self.closed, self.vms, self.placed = dict(closed or {}), dict(vms or {}), dict(placed or {})
        self.dedicated, self.spare, self.most = dict(dedicated or {}), dict(spare or {}), dict(most or {})
        self._clusters = {cluster.id: cluster for cluster in clusters}
        self._sharp = sharp
        self.hosts_asked = 0
        self.pools_read = 0
        self._handed: list[tuple[dict[str, int], dict[str, int]]] = []

    def hosts(self, zone_id: str) -> list[Host]:
        return [host for host in self._hosts.values() if host.zone_id == zone_id]

    def host(self, host_id: str) -> Host | None:
        return self._hosts.get(host_id)

    def shortlist(self, demand: Demand) -> Shortlist:
        zone = self.hosts(demand.zone_id)
        among = [host for host in zone if not self._sharp or has_tags_and_room(host, demand)]
        return FakeShortlist(demand, zone, among)

    def cluster(self, cluster_id: str) -> Cluster:
        return self._clusters.get(cluster_id, Cluster(id=cluster_id, zone_id=ZONE, pod_id="p1"))

    def enabled(self, host: Host) -> str | None:
        self.hosts_asked += 1
        return self.closed.get(host.id) if host.enabled else f"host {host.id} is disabled"

    def dedicated_to_others(self, host: Host, account_id: str) -> str | None:
        owner = self.dedicated.get(host.id, account_id)
        return None if owner == account_id else f"host {host.id} is dedicated to account {owner}"

    def dedicated_to(self, host: Host, account_id: str) -> bool:
        return self.dedicated.get(host.id) == account_id

    def pools(self, zone_id: str) -> Iterator[StoragePool]:
        return (pool for pool in self._pools.values() if pool.zone_id == zone_id)

    def pool(self, pool_id: str) -> StoragePool | None:
        return self._pools.get(pool_id)

    def pools_near(self, scope: str, owner_id: str) -> Iterator[StoragePool]:
        for pool in self._pools.values():
            if pool.scope == scope and owner_id in (pool.host_id, pool.cluster_id, pool.zone_id):
                self.pools_read += 1
                yield pool

    def over_threshold(self, cluster_id: str, cpu_mhz: int, memory_mib: int) -> str | None:
        spare = self.spare.get(cluster_id, cpu_mhz)
        return f"cluster {cluster_id} may hold {spare} MHz CPU more, not {cpu_mhz}" if cpu_mhz > spare else None

    def pool_most_mib(self, pool: StoragePool) -> int:
        return self.most.get(pool.id, int(pool.size_mib * pool.overcommit))

    def vms_of(self, account_id: str, host_id: str) -> int:
        return self.vms.get((account_id, host_id), 0)

    def hosts_of(self, account_id: str) -> dict[str, int]:
        return self._hand({host: vms for (account, host), vms in self.vms.items() if account == account_id})

    def tenants(self, host_id: str) -> dict[str, int]:
        return self._hand({account: vms for (account, host), vms in self.vms.items() if host == host_id})

    def planners_on(self, host_id: str) -> dict[str, int]:
        return self._hand({planner: vms for (planner, host), vms in self.placed.items() if host == host_id})

    def _hand(self, mapping: dict[str, int]) -> dict[str, int]:
        """Hand it out, as the engine hands out its own; keep what was in it."""
        self._handed.append((mapping, dict(mapping)))
        return mapping

    @property
    def written_into(self) -> bool:
        """Whether somebody changed a mapping that was handed out."""
        return any(mapping != before for mapping, before in self._handed)

    def turned(self) -> Self:
        """The same cloud, told in another order where the protocol promises none."""
        parts: tuple[Any, ...] = (self.closed, self.vms, self.placed, self.dedicated)
        turned = [dict(reversed(part.items())) for part in parts]
        return self._again(reversed(self._hosts.values()), reversed(self._pools.values()), *turned)

    def with_vast_pools(self) -> Self:
        """The same cloud, with room in every pool for all that a small demand can want."""
        pools = [replace(pool, size_mib=VAST_MIB, overcommit=1.0) for pool in self._pools.values()]
        cloud = self._again(self._hosts.values(), pools, self.closed, self.vms, self.placed, self.dedicated)
        cloud.most = {}
        return cloud

    def fewer(self) -> Iterator[Self]:
        """The clouds that are this one without one of its hosts or pools, or without all that is known of one kind."""
        parts = (self.closed, self.vms, self.placed, self.dedicated)
        hosts, pools = list(self._hosts.values()), list(self._pools.values())
        yield from (self._again([each for each in hosts if each != gone], pools, *parts) for gone in hosts)
        yield from (self._again(hosts, [each for each in pools if each != gone], *parts) for gone in pools)
        for number, part in enumerate(parts):
            if part:
                yield self._again(hosts, pools, *parts[:number], {}, *parts[number + 1 :])

    def _again(self, hosts: Any, pools: Any, *parts: Any) -> Self:
        closed, vms, placed, dedicated = parts
        more: dict[str, Any] = {
            "clusters": self._clusters.values(),
            "spare": self.spare,
            "most": self.most,
            "sharp": self._sharp,
        }
        return type(self)(hosts, pools, closed, vms, placed=placed, dedicated=dedicated, **more)

    def in_words(self) -> list[str]:
        """What is in it, a line each, without what is as usual."""
        kinds: dict[str, Any] = {"host": self._hosts, "pool": self._pools, "cluster": self._clusters}
        lines = [f"{kind} {unusual(each)}" for kind, known in kinds.items() for each in known.values()]
        names = ("closed", "vms", "placed", "dedicated", "spare", "most")
        return [*lines, *(f"{name}: {part}" for name in names if (part := getattr(self, name)))]

    def contents(self) -> object:
        """All that is in it, to compare before with after."""
        parts = self._hosts, self._pools, self.closed, self.vms, self.placed, self.dedicated, self._clusters
        return [dict(part) for part in (*parts, self.spare, self.most)]


class IndexedCloud(FakeCloud):
    """The same with the engine's own index of hosts."""

    def shortlist(self, demand: Demand) -> Shortlist:
        return HostIndex(self._hosts.values()).shortlist(demand)
