"""A large cloud in memory to plan on, with the engine's index of hosts, and the demands that are made of it.

Everything follows from a seed. Hosts stand 16 to a cluster, 4 clusters to a pod; each cluster has a pool, and so has
the zone. `scanned` is the same fleet without the index: its shortlists leave nothing out, so a planner looks at each
host in turn. That is the floor.

Promises: what a planner chooses is counted at once, and given back when as many later choices have been counted as
the fleet keeps; so it stays as full as it was made.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from interlock.engine.orchestrator.hosts import HostIndex
from interlock.engine.orchestrator.tenancy import Tenancy
from interlock.planners.protocol import Demand, Plan, Rejected, Shortlist, VolumeDemand
from interlock.planners.rules import held_cpu_mhz, held_memory_mib, how_many
from interlock.schema.cloud import Cluster, Host, StoragePool

CPU_MHZ, MEMORY_MIB = 128_000, 524_288
"""Of one host."""
ZONE, TAG, ACCOUNT = "zone", "ssd", "account"
KEPT = 50
"""Choices that are counted at once. Too low: the fleet never changes; too high: a few tagged hosts fill up."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """How full a fleet is, and how many of its hosts have the tag."""

    name: str
    least_used: float
    most_used: float
    """Shares; hosts are spread evenly between."""
    empty: float
    """Share of hosts on which nothing runs at all."""
    tagged: float


SCENARIOS = (
    Scenario(name="half empty", least_used=0.0, most_used=1.0, empty=0.02, tagged=0.5),
    Scenario(name="nearly full", least_used=0.97, most_used=1.0, empty=0.02, tagged=0.5),
    Scenario(name="few tagged", least_used=0.0, most_used=1.0, empty=0.5, tagged=0.002),
)


class Everyone:
    """A shortlist that leaves nothing out: what planning costs without an index."""

    def __init__(self, demand: Demand, hosts: Iterable[Host]) -> None:
        self._demand, self._hosts = demand, hosts

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return sum(1 for _ in self._hosts)

    def __contains__(self, host_id: object) -> bool:
        return True

    def roomiest_first(self) -> Iterator[Host]:
        return iter(sorted(self._hosts, key=lambda host: (-how_many(host, self._demand), host.id)))

    def in_pods(self, pod_ids: Collection[str]) -> Everyone:
        return Everyone(self._demand, [host for host in self._hosts if host.pod_id in pod_ids])

    def vacant(self) -> Everyone:
        return Everyone(self._demand, [host for host in self._hosts if not host.cpu_used_mhz])

    def without(self, host_ids: Iterable[str]) -> Everyone:
        gone = set(host_ids)
        return Everyone(self._demand, [host for host in self._hosts if host.id not in gone])

    def left_out(self) -> tuple[int, Iterator[Host]]:
        return 0, iter(())

    def causes(self) -> list[tuple[str, int]]:
        return []

    def told(self, tell: Callable[[Host], Rejected], most: int, but: Container[str]) -> list[Rejected]:
        return []


class Fleet:
    """Implements `CloudView`."""

    def __init__(self, scenario: Scenario, hosts: int, seed: int) -> None:
        chance = random.Random(seed)
        self._hosts = {host.id: host for host in (_host(number, scenario, chance) for number in range(hosts))}
        self._pools = {
            pool.id: pool for pool in (_pool(f"pool{number}", f"c{number}") for number in range(hosts // 16 + 1))
        }
        self._near: dict[tuple[str, str], list[StoragePool]] = defaultdict(list)
        for pool in self._pools.values():
            self._near["cluster", str(pool.cluster_id)].append(pool)
        self._index = HostIndex(self._hosts.values())
        self._tenancy = Tenancy()
        for host in self._hosts.values():
            if host.cpu_used_mhz:
                self._tenancy.count(host.id, "others", "first-fit", (), 1)
        self._kept: deque[tuple[Demand, str, str]] = deque()
        self.scenario, self.scanned = scenario, False

    def __len__(self) -> int:
        return len(self._hosts)

    def choose(self, demand: Demand, plan: Plan, planner: str) -> None:
        """Count what was chosen; give back what was counted `KEPT` choices ago."""
        self._count(demand, plan.host_id, planner, 1)
        self._kept.append((demand, plan.host_id, planner))
        if len(self._kept) > KEPT:
            self._count(*self._kept.popleft(), -1)

    def give_back(self) -> None:
        """All that was chosen: it is as it was made."""
        while self._kept:
            self._count(*self._kept.popleft(), -1)

    def _count(self, demand: Demand, host_id: str, planner: str, sign: int) -> None:
        host = self._hosts[host_id]
        used = host.cpu_used_mhz + sign * held_cpu_mhz(host, demand)
        memory = host.memory_used_mib + sign * held_memory_mib(host, demand)
        self._hosts[host_id] = msgspec.structs.replace(host, cpu_used_mhz=used, memory_used_mib=memory)
        self._index.replace(self._hosts[host_id])
        self._tenancy.count(host_id, demand.account_id, planner, (), sign)

    def demands(self, number: int, apart: int, seed: int) -> list[Demand]:
        """Of VMs that must be apart from `apart` others: for each, those on the first hosts that would do."""
        chance = random.Random(seed)
        return [self._demand(f"vm{each}", apart, chance) for each in range(number)]

    def _demand(self, id: str, apart: int, chance: random.Random) -> Demand:
        plain = Demand(
            vm_id=id,
            account_id=ACCOUNT,
            zone_id=ZONE,
            cpu_mhz=chance.choice((1000, 2000, 4000)),
            memory_mib=chance.choice((1024, 2048, 4096)),
            volumes=(VolumeDemand(id="root", size_mib=10_240, storage="shared", pool_id=None),),
            host_tags=(TAG,),
            avoid_hosts={},
            avoid_pools={},
            seed=id,
        )
        first = list(islice(self._index.shortlist(plain), 2 * apart))
        # Not all there are: where few hosts have the tag, half of them hold members.
        members = first[: min(apart, len(first) // 2)]
        return msgspec.structs.replace(plain, avoid_hosts={host.id: "a VM of its group is there" for host in members})

    def shortlist(self, demand: Demand) -> Shortlist:
        return Everyone(demand, self._hosts.values()) if self.scanned else self._index.shortlist(demand)

    def hosts(self, zone_id: str) -> Iterable[Host]:
        return self._hosts.values()

    def host(self, host_id: str) -> Host | None:
        return self._hosts.get(host_id)

    def cluster(self, cluster_id: str) -> Cluster:
        return Cluster(id=cluster_id, zone_id=ZONE, pod_id="")

    def enabled(self, host: Host) -> str | None:
        return None if host.enabled else f"host {host.id} is disabled"

    def dedicated_to_others(self, host: Host, account_id: str) -> str | None:
        return None

    def dedicated_to(self, host: Host, account_id: str) -> bool:
        return False

    def pools(self, zone_id: str) -> Iterable[StoragePool]:
        return self._pools.values()

    def pool(self, pool_id: str) -> StoragePool | None:
        return self._pools.get(pool_id)

    def pools_near(self, scope: str, owner_id: str) -> Sequence[StoragePool]:
        return self._near.get((scope, owner_id), ())

    def over_threshold(self, cluster_id: str, cpu_mhz: int, memory_mib: int) -> str | None:
        return None

    def pool_most_mib(self, pool: StoragePool) -> int:
        return pool.size_mib

    def vms_of(self, account_id: str, host_id: str) -> int:
        return self._tenancy.hosts_of(account_id).get(host_id, 0)

    def hosts_of(self, account_id: str) -> Mapping[str, int]:
        return self._tenancy.hosts_of(account_id)

    def tenants(self, host_id: str) -> Mapping[str, int]:
        return self._tenancy.tenants(host_id)

    def planners_on(self, host_id: str) -> Mapping[str, int]:
        return self._tenancy.planners_on(host_id)


def _host(number: int, scenario: Scenario, chance: random.Random) -> Host:
    share = chance.uniform(scenario.least_used, scenario.most_used) if chance.random() >= scenario.empty else 0.0
    return Host(
        id=f"h{number:06}",
        zone_id=ZONE,
        pod_id=f"p{number // 64}",
        cluster_id=f"c{number // 16}",
        driver="simulator",
        tags=(TAG,) if chance.random() < scenario.tagged else (),
        cpu_mhz=CPU_MHZ,
        memory_mib=MEMORY_MIB,
        cpu_used_mhz=int(CPU_MHZ * share),
        memory_used_mib=int(MEMORY_MIB * share),
    )


def _pool(id: str, cluster_id: str) -> StoragePool:
    return StoragePool(id=id, zone_id=ZONE, scope="cluster", cluster_id=cluster_id, driver="simulator", size_mib=2**40)
