"""Clouds and demands at random, for checks of planners: small, and so crowded that most rules have something to say.

They come from a generator with a seed, not from Hypothesis: there a case costs two hundred draws, and a planner is
asked in less time than one of them takes.

Promises: `cases` gives the same ones in every process; about half of them have a place. `simpler` gives those that are
one fact smaller than one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random
from typing import Any, TypeVar

import msgspec

from interlock.planners.protocol import Demand, VolumeDemand
from interlock.planners.rules import IMPLICIT
from interlock.schema.cloud import Cluster, Host, StoragePool
from interlock.testing.kits.clouds import ZONE, FakeCloud, IndexedCloud, a_demand, a_host, a_pool, a_volume

T = TypeVar("T")
Case = tuple[Demand, FakeCloud]

HOSTS = ("h1", "h10", "h2", "h3", "h4")
PODS = {"c1": "p1", "c2": "p1", "c3": "p2"}
CLUSTERS = tuple(PODS)
ACCOUNTS = ("a", "b", "c")
TAGS = ("gpu", "ssd")
RATIOS = (1.0, 1.0, 0.5, 1.5, 2.0, 3.0)


class _Dice:
    """One case; what is drawn first is what the rest is about."""

    def __init__(self, number: int) -> None:
        self._random = Random(number)  # noqa: S311 - a seed makes it repeatable, which is the point

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def one(self, of: Sequence[T]) -> T:
        return self._random.choice(of)

    def some(self, of: Sequence[T], most: int) -> list[T]:
        return self._random.sample(of, self.number(0, min(most, len(of))))

    def one_in(self, times: int) -> bool:
        return self.number(1, times) == 1

    def tags(self) -> tuple[str, ...]:
        return TAGS if self.one_in(2) else tuple(sorted(self.some(TAGS, 2)))

    def refused(self, of: Sequence[str], most: int) -> dict[str, str]:
        return dict.fromkeys(self.some(of, most), "it refused")

    # Clouds

    def host(self, id: str) -> Host:
        cluster, in_use = self.one(CLUSTERS), self.one_in(2)
        more: dict[str, Any] = {name: self.number(1, 6) * in_use for name in ("cpu_used_mhz", "memory_used_mib")}
        more |= {name: self.one(RATIOS) for name in ("cpu_overcommit", "memory_overcommit")}
        more |= {"zone_id": "elsewhere" if self.one_in(12) else ZONE, "pod_id": PODS[cluster], "tags": self.tags()}
        more |= {"driver": "odd" if self.one_in(12) else "simulator", "enabled": not self.one_in(12)}
        return a_host(id, cluster, self.number(6, 12), self.number(6, 12), **more)

    def pool(self, id: str) -> StoragePool:
        places: list[dict[str, str]] = [{}, {}, *({"cluster_id": each} for each in CLUSTERS)]
        places += [{"host_id": each} for each in HOSTS]
        owner = self.one(places)
        figures = {"used_mib": self.number(0, 3), "overcommit": self.one(RATIOS), "tags": self.tags()}
        zone = "elsewhere" if not owner and self.one_in(12) else ZONE
        return a_pool(id, self.number(4, 12), zone_id=zone, enabled=not self.one_in(12), **figures, **owner)

    def cloud(self) -> FakeCloud:
        hosts = [self.host(id) for id in (HOSTS if self.one_in(2) else self.some(HOSTS, 5))]
        pools = [self.pool(f"s{number}") for number in range(self.number(4, 8))]
        vms: dict[tuple[str, str], int] = {("b", "gone"): 9}
        placed: dict[tuple[str, str], int] = {}
        for host in hosts:
            if host.cpu_used_mhz:
                owners = [self.one(ACCOUNTS), *self.some(ACCOUNTS, 1)]
                vms.update({(account, host.id): self.number(1, 3) for account in owners})
                by = [self.one(["first-fit", IMPLICIT]), *self.some(["first-fit", IMPLICIT], 1)]
                placed.update({(planner, host.id): 1 for planner in by})
        return self.one([FakeCloud, IndexedCloud])(
            hosts,
            pools,
            {host.id: "its pod is disabled" for host in hosts if self.one_in(12)},
            vms,
            placed=placed,
            dedicated={host.id: self.one(ACCOUNTS) for host in hosts if self.one_in(12)},
            clusters=[_of_another_kind(id) for id in CLUSTERS if self.one_in(12)],
            spare={id: self.number(0, 4) for id in CLUSTERS if self.one_in(12)},
            most={pool.id: self.number(0, 6) for pool in pools if self.one_in(12)},
            sharp=self.one_in(2),
        )

    # Demands

    def volume(self, id: str) -> VolumeDemand:
        pool = self.one([None] * 12 + ["s0", "s1", "gone"])
        tags = self.tags() if self.one_in(4) else ()
        return a_volume(id, self.number(1, 4), self.one(["shared"] * 7 + ["local"]), pool, tags)

    def demand(self) -> Demand:
        wishes: dict[str, Any] = {
            "avoid_hosts": self.refused(HOSTS, 2),
            "avoid_pools": self.refused(("s0", "s1", "s2"), 1),
            "host_tags": self.tags() if self.one_in(3) else (),
            "own_cpu_overcommit": self.one(RATIOS) if self.one_in(12) else None,
            "own_memory_overcommit": self.one(RATIOS) if self.one_in(12) else None,
            "ignore_disabled": self.one_in(12),
            "dedicated_only": self.one_in(24),
            "liked_hosts": {id: self.number(-2, 2) for id in self.some((*HOSTS, "gone"), 3)},
            "last_host": self.one([None, None, None, *HOSTS, "gone"]),
            "planner_mode": self.one([None, "strict", "preferred"]),
        }
        volumes = [self.volume(f"v{number}") for number in range(self.number(0, 3))]
        return a_demand(*volumes, cpu=self.number(1, 4), memory=self.number(1, 4), **wishes, **self.choices())

    def choices(self) -> dict[str, Any]:
        """What leaves few hosts; so each is rare."""
        everything: dict[str, Any] = {
            "only_pod": self.one(("p1", "p2")),
            "only_cluster": self.one(CLUSTERS),
            "only_host": self.one((*HOSTS, "gone")),
            "only_hosts": self.refused(HOSTS, 5),
            "hypervisor": self.one(("simulator", "odd")),
            "avoid_drivers": self.refused(("odd", "simulator"), 1),
            "avoid_pods": self.refused(("p1", "p2"), 1),
        }
        return {name: wish for name, wish in everything.items() if self.one_in(24)}


def _of_another_kind(id: str) -> Cluster:
    return Cluster(id=id, zone_id=ZONE, pod_id=PODS[id], hypervisor="odd")


@lru_cache(maxsize=4)
def cases(examples: int) -> tuple[Case, ...]:
    """As many demands, each with a cloud."""
    return tuple((dice.demand(), dice.cloud()) for dice in map(_Dice, range(examples)))


def simpler(case: Case) -> Iterator[Case]:
    """The case without one host, pool or volume, or with one wish less."""
    demand, cloud = case
    yield from ((demand, fewer) for fewer in cloud.fewer())
    for volume in demand.volumes:
        left = tuple(each for each in demand.volumes if each != volume)
        yield msgspec.structs.replace(demand, volumes=left), cloud
    for field in msgspec.structs.fields(demand):
        plain = {} if field.name in ("avoid_hosts", "avoid_pools") else field.default
        if plain is not msgspec.NODEFAULT and getattr(demand, field.name) not in (plain, {}):
            yield msgspec.structs.replace(demand, **{field.name: plain}), cloud
