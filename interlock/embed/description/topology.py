"""Zones, pods, clusters, hosts and pools: from tables to records. What a key says, a column holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interlock.embed.description.knobs import scoped
from interlock.embed.description.networks import network, ranges
from interlock.embed.description.tables import ClusterTable, HostTable, PodTable, PoolTable, ZoneTable
from interlock.embed.description.words import Owner
from interlock.schema.cloud import Cluster, Host, Place, Pod, StoragePool, Zone
from interlock.schema.errors import InvalidRequest
from interlock.schema.settings import SettingScope


def zone(table: ZoneTable) -> Iterator[Place]:
    """A zone and all in it, those that others refer to first.

    Raises:
        InvalidRequest: something in it contradicts itself.
    """
    basic = table.kind == "basic"
    if basic and table.security_groups is False:
        raise InvalidRequest(f"zone {table.name}: a basic zone always has security groups; leave the key out")
    yield Zone(
        id=table.name,
        kind=table.kind,
        security_groups=basic if table.security_groups is None else table.security_groups,
        local_storage=table.local_storage,
        **_dedicated(f"zone {table.name}", table.dedicated_to),
        enabled=table.enabled,
    )
    yield from scoped(table.settings, SettingScope.ZONE, table.name)
    for each in table.pods:
        yield from _pod(each, table.name)
    for pool in table.pools:
        yield from _pool(pool, "zone", table.name)
    for net in table.networks:
        yield network(net, table.name, basic=basic)
        yield from ranges(net)


def _dedicated(what: str, owner: Owner | None) -> dict[str, Any]:
    if owner is None:
        return {}
    if (owner.account is None) == (owner.domain is None):
        raise InvalidRequest(f"{what}: `dedicated_to` has an `account` or a `domain`, and not both")
    return {"dedicated_account_id": owner.account, "dedicated_domain_id": owner.domain}


def _pod(table: PodTable, zone_id: str) -> Iterator[Place]:
    yield Pod(
        id=table.name, zone_id=zone_id, **_dedicated(f"pod {table.name}", table.dedicated_to), enabled=table.enabled
    )
    for cluster in table.clusters:
        yield from _cluster(cluster, zone_id, table.name)


def _cluster(table: ClusterTable, zone_id: str, pod_id: str) -> Iterator[Place]:
    yield Cluster(
        id=table.name,
        zone_id=zone_id,
        pod_id=pod_id,
        hypervisor=table.hypervisor,
        **_dedicated(f"cluster {table.name}", table.dedicated_to),
        enabled=table.enabled,
    )
    yield from scoped(table.settings, SettingScope.CLUSTER, table.name)
    for host in table.hosts:
        for name in _names(host):
            yield _host(host, name, table, zone_id, pod_id)
            if host.local_pool_mib:
                yield _local_pool(host, name, zone_id)
    for pool in table.pools:
        yield from _pool(pool, "cluster", zone_id, table.name)


def _names(table: HostTable) -> list[str]:
    if table.count == 1:
        return [table.name]
    return [f"{table.name}-{number}" for number in range(1, table.count + 1)]


def _host(table: HostTable, name: str, cluster: ClusterTable, zone_id: str, pod_id: str) -> Host:
    return Host(
        id=name,
        zone_id=zone_id,
        pod_id=pod_id,
        cluster_id=cluster.name,
        driver=table.driver,
        tags=table.tags,
        **_dedicated(f"host {name}", table.dedicated_to),
        enabled=table.enabled,
        cpu_mhz=table.cpu_cores * table.cpu_mhz,
        memory_mib=table.memory_mib,
        cpu_overcommit=cluster.cpu_overcommit,
        memory_overcommit=cluster.memory_overcommit,
    )


def _local_pool(host: HostTable, name: str, zone_id: str) -> StoragePool:
    return StoragePool(
        id=f"{name}-local",
        zone_id=zone_id,
        scope="host",
        host_id=name,
        driver=host.driver,
        tags=host.local_pool_tags,
        size_mib=host.local_pool_mib,
    )


def _pool(table: PoolTable, scope: str, zone_id: str, cluster_id: str | None = None) -> Iterator[Place]:
    yield StoragePool(
        id=table.name,
        zone_id=zone_id,
        scope=scope,
        cluster_id=cluster_id,
        driver=table.driver,
        tags=table.tags,
        enabled=table.enabled,
        size_mib=table.size_mib,
        overcommit=table.overcommit,
    )
    yield from scoped(table.settings, SettingScope.POOL, table.name)
