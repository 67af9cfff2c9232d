"""Which pool each volume of a VM goes to, if the VM goes to a given host.

A volume that already lies in a pool stays there, and needs no more space: it holds it. A new one with local
storage goes to a pool of the host itself; with shared storage to a pool of the host's cluster, or else of
the whole zone. Pools are tried in the order of their ids, the largest volume first.

Promises: the pools of an answer are enabled (or the demand does not mind), not avoided, reached by the host, and
have room for all that was given to them together, below their thresholds; those of new volumes have all their tags.
A refusal names each pool that was looked at and what is wrong with it. "Do not fit together" is only said after every
way of dividing them was tried; where those are too many, "found no way in so many tries". Shared storage is worked
out once for a cluster: the other hosts of one that has no pool are passed over with the same reason. Never takes
space: the engine's commit does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from interlock.planners.protocol import CloudView, Demand, VolumeDemand
from interlock.schema.cloud import Host, StoragePool

TRIES = 2_000
"""After so many steps a search for a division ends. Too low: many disks in nearly full pools find no way that there
is; too high: each cluster costs milliseconds before it is passed over."""

Placement = dict[str, str] | str
"""A pool for each volume, or why there is none."""
Want = tuple[int, frozenset[int]]
"""A size, and the indexes of the spaces that it may go to."""

_REACH = {"local": ("host",), "shared": ("cluster", "zone")}
"""From which pools a kind of storage comes, the nearest first."""


class Storage:
    """The pools as one demand sees them. Lives as long as one call of a planner."""

    def __init__(self, demand: Demand, cloud: CloudView) -> None:
        self._demand, self._cloud = demand, cloud
        self._staying = [volume for volume in demand.volumes if volume.pool_id is not None]
        self._new: dict[str, list[VolumeDemand]] = defaultdict(list)
        for volume in sorted(demand.volumes, key=lambda volume: -volume.size_mib):
            if volume.pool_id is None:
                self._new[volume.storage].append(volume)
        self._known: dict[tuple[str, str], Placement] = {}

    def place(self, host: Host) -> Placement:
        """A pool for each volume, as seen from `host`."""
        pools: dict[str, str] = {}
        for part in (self._stay(host), *(self._settle(kind, host) for kind in self._new)):
            if isinstance(part, str):
                return part
            pools.update(part)
        return pools

    def why_not_there(self, volume: VolumeDemand, pool_id: str, host: Host) -> str | None:
        """Why a new volume cannot go to a pool, room aside, if the VM goes to the host; None if it can."""
        pool = self._cloud.pool(pool_id)
        if pool is None:
            return "is not there"
        scopes = _REACH.get(volume.storage, ())
        if pool.scope not in scopes or pool not in self._cloud.pools_near(pool.scope, _around(host, pool.scope)):
            return f"is no {volume.storage} storage of host {host.id}"
        if lacking := _lacking(volume.tags, pool):
            return f"lacks tag {lacking[0]}"
        return self._closed(pool)

    def room_in(self, pool_id: str) -> int:
        """What new volumes may take of a pool, in MiB."""
        pool = self._cloud.pool(pool_id)
        return 0 if pool is None else self._room(pool)

    def _stay(self, host: Host) -> Placement:
        pools: dict[str, str] = {}
        for volume in self._staying:
            pool_id = str(volume.pool_id)
            if reason := self._why_not_stay(pool_id, host):
                return f"volume {volume.id} lies in pool {pool_id}, which {reason}"
            pools[volume.id] = pool_id
        return pools

    def _why_not_stay(self, pool_id: str, host: Host) -> str | None:
        pool = self._cloud.pool(pool_id)
        if pool is None or pool.zone_id != self._demand.zone_id:
            return f"is not in zone {self._demand.zone_id}"
        owner = {"host": pool.host_id, "cluster": pool.cluster_id}.get(pool.scope, pool.zone_id)
        if owner != _around(host, pool.scope):
            return f"is only reached from {pool.scope} {owner}"
        return self._closed(pool)

    def _settle(self, kind: str, host: Host) -> Placement:
        """Pools for the new volumes of one kind of storage: kinds share no pools, so each goes alone."""
        key = (kind, host.cluster_id if kind == "shared" else host.id)
        if key not in self._known:
            self._known[key] = self._divide(kind, host)
        return self._known[key]

    def _divide(self, kind: str, host: Host) -> Placement:
        scopes = _REACH.get(kind, ())
        pools = [pool for scope in scopes for pool in self._cloud.pools_near(scope, _around(host, scope))]
        if not pools:
            return self._nothing_near(kind, host)
        return self._each_the_first(self._new[kind], pools) or self._search(kind, pools)

    def _each_the_first(self, volumes: Sequence[VolumeDemand], pools: Sequence[StoragePool]) -> dict[str, str] | None:
        """The division that `divide` would try first, if it is one: it nearly always is."""
        placed: dict[str, str] = {}
        left: dict[str, int] = {}
        for volume in volumes:
            for pool in pools:
                if self._closed(pool) or _lacking(volume.tags, pool):
                    continue
                room = left[pool.id] if pool.id in left else self._room(pool)
                if room >= volume.size_mib:
                    left[pool.id] = room - volume.size_mib
                    placed[volume.id] = pool.id
                    break
            else:
                return None
        return placed

    def _search(self, kind: str, pools: Sequence[StoragePool]) -> Placement:
        volumes, free = self._new[kind], [self._room(pool) for pool in pools]
        wants = [(each.size_mib, frozenset(self._indexes(each, pools))) for each in volumes]
        # Each alone first: it is the commonest reason, and the clearest.
        for volume, (size, allowed) in zip(volumes, wants, strict=True):
            if all(free[index] < size for index in allowed):
                return f"volume {volume.id} ({size} MiB) fits in no pool: {self._figures(pools, volume.tags)}"
        division = divide(wants, free)
        if isinstance(division, str):
            names = ", ".join(f"{volume.id} ({volume.size_mib} MiB)" for volume in volumes)
            tags = tuple(dict.fromkeys(tag for volume in volumes for tag in volume.tags))
            return f"volumes {names} {division}: {self._figures(pools, tags)}"
        return {volume.id: pools[chosen].id for volume, chosen in zip(volumes, division, strict=True)}

    def _nothing_near(self, kind: str, host: Host) -> str:
        volume = self._new[kind][0]
        if not self._zone_has_pools:
            why = f"zone {self._demand.zone_id} has no pool at all"
        elif kind == "shared":
            why = f"cluster {host.cluster_id} reaches no shared pool"
        else:
            why = f"host {host.id} reaches no {kind} pool"
        return f"volume {volume.id} ({volume.size_mib} MiB) fits in no pool: {why}"

    @cached_property
    def _zone_has_pools(self) -> bool:
        return any(True for _ in self._cloud.pools(self._demand.zone_id))

    def _indexes(self, volume: VolumeDemand, pools: Sequence[StoragePool]) -> list[int]:
        """Those of the pools that it may go to, room aside."""
        return [at for at, pool in enumerate(pools) if not (self._closed(pool) or _lacking(volume.tags, pool))]

    def _closed(self, pool: StoragePool) -> str | None:
        if not (pool.enabled or self._demand.ignore_disabled):
            return "is disabled"
        if (cause := self._demand.avoid_pools.get(pool.id)) is not None:
            return f"is avoided: {cause}"
        return None

    def _room(self, pool: StoragePool) -> int:
        """For new volumes, in MiB: they leave the pool at or below its threshold."""
        return min(pool.free_mib, self._cloud.pool_most_mib(pool) - pool.used_mib)

    def _figures(self, pools: Sequence[StoragePool], tags: Sequence[str]) -> str:
        return ", ".join(f"pool {pool.id} {self._figure(pool, tags)}" for pool in pools)

    def _figure(self, pool: StoragePool, tags: Sequence[str]) -> str:
        if reason := self._closed(pool):
            return reason
        if lacking := _lacking(tags, pool):
            return f"lacks {'tag' if len(lacking) == 1 else 'tags'} {', '.join(lacking)}"
        room = self._room(pool)
        if room == pool.free_mib:
            return f"has {room} MiB free"
        return f"has {max(0, room)} MiB free below its threshold of {self._cloud.pool_most_mib(pool)} MiB"


def misplaced(pools: Mapping[str, str], host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """What is wrong with somebody else's choice of pools for the new volumes, if the VM goes to the host."""
    storage, taken = Storage(demand, cloud), Counter[str]()
    for volume in demand.volumes:
        if volume.pool_id is None:
            if reason := storage.why_not_there(volume, pools.get(volume.id, ""), host):
                return f"volume {volume.id} pool {pools.get(volume.id)}, which {reason}"
            taken[pools[volume.id]] += volume.size_mib
    for pool_id, size in taken.items():
        if (room := storage.room_in(pool_id)) < size:
            return f"{size} MiB of volumes pool {pool_id}, which has {room} MiB free for them"
    return None


def divide(wants: Sequence[Want], free: Sequence[int]) -> list[int] | str:
    """For each want the index of the space it goes to, or why there is no such division.

    Each goes to the first space that it may go to with room; when one finds none, the one before it moves on. Sizes
    fall: so the large ones find room while there is some, and of equals the later needs no space before the earlier's.
    """
    allowed_by_any = frozenset[int]().union(*(allowed for _, allowed in wants))
    if sum(size for size, _ in wants) > sum(max(0, free[index]) for index in allowed_by_any):
        return "do not fit together"
    left, chosen, at = list(free), list[int](), 0
    for _ in range(TRIES + len(wants)):
        if len(chosen) == len(wants):
            return chosen
        want = size, allowed = wants[len(chosen)]
        found = next((index for index in range(at, len(left)) if index in allowed and left[index] >= size), None)
        if found is not None:
            left[found] -= size
            chosen.append(found)
            at = found if list(wants[len(chosen) : len(chosen) + 1]) == [want] else 0
        elif chosen:
            back = chosen.pop()
            left[back] += wants[len(chosen)][0]
            at = back + 1
        else:
            return "do not fit together"
    return f"found no way to fit together in {TRIES} tries"


def _lacking(tags: Sequence[str], pool: StoragePool) -> list[str]:
    return [tag for tag in tags if tag not in pool.tags] if tags else []


def _around(host: Host, scope: str) -> str:
    """Which host, cluster or zone it is, as seen from the host."""
    if scope == "cluster":
        return host.cluster_id
    return host.id if scope == "host" else host.zone_id
