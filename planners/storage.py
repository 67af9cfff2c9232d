"""Which pool each volume of a VM goes to, if the VM goes to a given host.

A volume that already lies in a pool stays there, and needs no more space: it holds it. A new one with local
storage goes to a pool of the host itself; with shared storage to a pool of the host's cluster, or else of
the whole zone. Pools are tried in the order of their ids, the largest volume first.

Promises: the pools of an answer are enabled, not avoided, reached by the host, and have room for all that
was given to them together; a refusal names each pool that was looked at and what is wrong with it. "Do not
fit together" is only said after every way of dividing them was tried; where those are too many, "found no
way in so many tries". Shared storage is worked out once for a cluster. Never takes space: the engine's
commit does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

from interlock.planners.protocol import CloudView, Demand, VolumeDemand
from interlock.schema.cloud import Host, StoragePool

TRIES = 2_000
"""After so many steps a search for a division ends; only many disks in nearly full pools get that far."""

Placement = dict[str, str] | str
"""A pool for each volume, or why there is none."""


class Storage:
    """The pools of one demand's zone. Lives as long as one call of a planner."""

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

    @cached_property
    def _pools(self) -> dict[str, StoragePool]:
        # Only now: a scan of hosts that are all full never needs the pools.
        return {pool.id: pool for pool in self._cloud.pools(self._demand.zone_id)}

    @cached_property
    def _pools_of(self) -> dict[tuple[str, str | None], list[StoragePool]]:
        """By scope and whose they are."""
        found: dict[tuple[str, str | None], list[StoragePool]] = defaultdict(list)
        for pool in self._pools.values():
            found[pool.scope, _owner(pool)].append(pool)
        return found

    def _stay(self, host: Host) -> Placement:
        pools: dict[str, str] = {}
        for volume in self._staying:
            pool_id = str(volume.pool_id)
            if reason := self._why_not_stay(pool_id, host):
                return f"volume {volume.id} lies in pool {pool_id}, which {reason}"
            pools[volume.id] = pool_id
        return pools

    def _why_not_stay(self, pool_id: str, host: Host) -> str | None:
        pool = self._pools.get(pool_id)
        if pool is None:
            return f"is not in zone {self._demand.zone_id}"
        if (pool.scope, _owner(pool)) not in _within_reach(host):
            return f"is only reached from {pool.scope} {_owner(pool)}"
        return self._closed(pool)

    def _settle(self, kind: str, host: Host) -> Placement:
        """Pools for the new volumes of one kind of storage: kinds share no pools, so each goes alone."""
        key = (kind, host.id if kind == "local" else host.cluster_id)
        if key not in self._known:
            self._known[key] = self._divide(kind, self._candidates(kind, host))
        return self._known[key]

    def _candidates(self, kind: str, host: Host) -> list[StoragePool]:
        scopes = {"local": ("host",), "shared": ("cluster", "zone")}.get(kind, ())
        reached = [place for place in _within_reach(host) if place[0] in scopes]
        return [pool for place in reached for pool in self._pools_of.get(place, ())]

    def _divide(self, kind: str, pools: list[StoragePool]) -> Placement:
        volumes = self._new[kind]
        usable = [pool for pool in pools if self._closed(pool) is None]
        sizes, free = [volume.size_mib for volume in volumes], [pool.free_mib for pool in usable]
        # The largest alone first: it is the commonest reason, and the clearest.
        if not usable or sizes[0] > max(free):
            return f"volume {volumes[0].id} ({sizes[0]} MiB) fits in no pool: {self._figures(kind, pools)}"
        division = divide(sizes, free)
        if isinstance(division, str):
            names = ", ".join(f"{volume.id} ({volume.size_mib} MiB)" for volume in volumes)
            return f"volumes {names} {division}: {self._figures(kind, pools)}"
        return {volume.id: usable[chosen].id for volume, chosen in zip(volumes, division, strict=True)}

    def _closed(self, pool: StoragePool) -> str | None:
        if not pool.enabled:
            return "is disabled"
        if (cause := self._demand.avoid_pools.get(pool.id)) is not None:
            return f"is avoided: {cause}"
        return None

    def _figures(self, kind: str, pools: list[StoragePool]) -> str:
        if not pools:
            return f"the host reaches no {kind} pool"
        return ", ".join(f"pool {pool.id} {self._closed(pool) or f'has {pool.free_mib} MiB free'}" for pool in pools)


def divide(sizes: Sequence[int], free: Sequence[int]) -> list[int] | str:
    """For each size the index of the space it goes to, or why there is no such division.

    Each goes to the first space with room; when one finds none, the one before it moves on. `sizes` fall: so
    the large ones find room while there is some, and of equals the later needs no space before the earlier's.
    """
    if sum(sizes) > sum(space for space in free if space > 0):
        return "do not fit together"
    left, chosen, at = list(free), list[int](), 0
    for _ in range(TRIES + len(sizes)):
        if len(chosen) == len(sizes):
            return chosen
        size = sizes[len(chosen)]
        found = next((index for index in range(at, len(left)) if left[index] >= size), None)
        if found is not None:
            left[found] -= size
            chosen.append(found)
            at = found if sizes[len(chosen) : len(chosen) + 1] == [size] else 0
        elif chosen:
            back = chosen.pop()
            left[back] += sizes[len(chosen)]
            at = back + 1
        else:
            return "do not fit together"
    return f"found no way to fit together in {TRIES} tries"


def _owner(pool: StoragePool) -> str | None:
    """Whose pool it is: with its scope, where it is reached from."""
    return {"host": pool.host_id, "cluster": pool.cluster_id}.get(pool.scope, pool.zone_id)


def _within_reach(host: Host) -> tuple[tuple[str, str], ...]:
    """The nearest first."""
    return ("host", host.id), ("cluster", host.cluster_id), ("zone", host.zone_id)
