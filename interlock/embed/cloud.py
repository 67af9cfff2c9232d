"""The cloud description: a TOML file that says what there is, read by `interlock init` and `engine.load`.

Zones hold pods, pods clusters, clusters hosts, as they do in the world. Promises: what loads is complete and
consistent; what does not is refused with the place in the file and what is expected there. Nothing is half-loaded.
docs/cloud.md describes every key.
"""

from __future__ import annotations

import tomllib
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from interlock.schema.cloud import (
    Account,
    Cluster,
    Domain,
    Host,
    Network,
    Offering,
    Place,
    Pod,
    StoragePool,
    Template,
    Zone,
)
from interlock.schema.errors import InvalidRequest
from interlock.schema.holdings import COUNTERS
from interlock.schema.rows import columns_of, text_of

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
Positive = Annotated[int, Meta(ge=1, le=2**40)]
Ratio = Annotated[float, Meta(ge=1.0, le=100.0)]
USED = frozenset(column for columns in COUNTERS.values() for column in columns)
"""Columns that the database keeps itself."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class PoolTable(_Table, frozen=True):
    """[[…pools]]: in a zone for all its hosts, in a cluster for its hosts, in a host for itself."""

    name: Id
    size_mib: Positive
    overcommit: Ratio = 1.0
    driver: Id = "simulator"
    enabled: bool = True


class HostTable(_Table, frozen=True):
    """[[zones.pods.clusters.hosts]]: one host, or `count` alike, named name-1, name-2, …"""

    name: Id
    cpu_cores: Positive
    cpu_mhz: Positive
    memory_mib: Positive
    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    local_pool_mib: Annotated[int, Meta(ge=0)] = 0
    driver: Id = "simulator"
    enabled: bool = True


class ClusterTable(_Table, frozen=True):
    """[[zones.pods.clusters]]"""

    name: Id
    cpu_overcommit: Ratio = 1.0
    memory_overcommit: Ratio = 1.0
    enabled: bool = True
    hosts: list[HostTable] = []
    pools: list[PoolTable] = []


class PodTable(_Table, frozen=True):
    """[[zones.pods]]"""

    name: Id
    enabled: bool = True
    clusters: list[ClusterTable] = []


class NetworkTable(_Table, frozen=True):
    """[[zones.networks]]: gateway and range follow from the block where they are not given."""

    name: Id
    cidr: str
    type: Literal["shared", "isolated"] = "shared"
    gateway: str | None = None
    first_ip: str | None = None
    last_ip: str | None = None
    vlan: Annotated[int, Meta(ge=1, le=4094)] | None = None
    account: Id | None = None
    default: bool = False
    guru: Id | None = None
    enabled: bool = True


class ZoneTable(_Table, frozen=True):
    """[[zones]]"""

    name: Id
    enabled: bool = True
    pods: list[PodTable] = []
    pools: list[PoolTable] = []
    networks: list[NetworkTable] = []


class OfferingTable(_Table, frozen=True):
    """[[offerings]]"""

    name: Id
    cpu_cores: Positive
    cpu_mhz: Positive
    memory_mib: Positive
    storage: Literal["shared", "local"] = "shared"
    planner: Id | None = None


class TemplateTable(_Table, frozen=True):
    """[[templates]]"""

    name: Id
    size_mib: Positive
    enabled: bool = True


class AccountTable(_Table, frozen=True):
    """[[accounts]]"""

    name: Id


class File(_Table, frozen=True):
    """The whole file."""

    zones: list[ZoneTable] = []
    offerings: list[OfferingTable] = []
    templates: list[TemplateTable] = []
    accounts: list[AccountTable] = []
    drivers: dict[str, dict[str, Any]] = {}


class CloudDescription:
    """A cloud that has been read and checked."""

    def __init__(self, places: list[Place], drivers: dict[str, dict[str, Any]]) -> None:
        self.places = places
        self.drivers = drivers

    @classmethod
    def read(cls, path: str | Path) -> CloudDescription:
        """Read a file.

        Raises:
            InvalidRequest: it is not there, not TOML, or says something that cannot be.
        """
        try:
            return cls.parse(Path(path).read_text())
        except OSError as error:
            raise InvalidRequest(f"cannot read the cloud description {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{path} is not a text file, let alone TOML") from error
        except InvalidRequest as error:
            raise InvalidRequest(f"{path}: {error}") from error

    @classmethod
    def parse(cls, text: str) -> CloudDescription:
        """Read the text of a file; raises like `read`."""
        try:
            file = msgspec.convert(tomllib.loads(text), File)
        except tomllib.TOMLDecodeError as error:
            raise InvalidRequest(f"this is not TOML: {error}") from error
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{error} (docs/cloud.md describes every key)") from error
        places: list[Place] = [
            Domain(id="ROOT", parent_id=None),
            Account(id="system", role="admin"),
            *(Account(id=each.name) for each in file.accounts),
        ]
        for zone in file.zones:
            places += _zone(zone)
        places += [_offering(each) for each in file.offerings]
        places += [Template(id=each.name, size_mib=each.size_mib, enabled=each.enabled) for each in file.templates]
        _check(places)
        return cls(places, file.drivers)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows to write, by table, those that others refer to first."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for kind, name in _ORDER:
            columns = [field for field in kind.__struct_fields__ if field not in USED]
            rows[name] = [
                dict(zip(columns, columns_of(place, columns), strict=True))
                for place in self.places
                if type(place) is kind
            ]
        rows["domain_above"] = [{"domain_id": "ROOT", "above_id": "ROOT"}]
        rows["driver"] = [{"id": name, "options": text_of(options)} for name, options in self.drivers.items()]
        return rows


_ORDER: tuple[tuple[type[Place], str], ...] = (
    (Domain, "domain"),
    (Account, "account"),
    (Zone, "zone"),
    (Pod, "pod"),
    (Cluster, "cluster"),
    (Host, "host"),
    (StoragePool, "storage_pool"),
    (Network, "network"),
    (Offering, "offering"),
    (Template, "template"),
)


def _zone(table: ZoneTable) -> list[Place]:
    places: list[Place] = [Zone(id=table.name, enabled=table.enabled)]
    for pod in table.pods:
        places.append(Pod(id=pod.name, zone_id=table.name, enabled=pod.enabled))
        for cluster in pod.clusters:
            places += _cluster(cluster, table.name, pod.name)
    places += [_pool(pool, "zone", table.name) for pool in table.pools]
    places += [_network(network, table.name) for network in table.networks]
    return places


def _cluster(table: ClusterTable, zone: str, pod: str) -> list[Place]:
    places: list[Place] = [Cluster(id=table.name, zone_id=zone, pod_id=pod, enabled=table.enabled)]
    for host in table.hosts:
        for number in range(1, host.count + 1):
            name = host.name if host.count == 1 else f"{host.name}-{number}"
            places.append(_host(host, name, table, zone, pod))
            if host.local_pool_mib:
                places.append(_local_pool(host, name, zone))
    places += [_pool(pool, "cluster", zone, cluster=table.name) for pool in table.pools]
    return places


def _host(table: HostTable, name: str, cluster: ClusterTable, zone: str, pod: str) -> Host:
    return Host(
        id=name,
        zone_id=zone,
        pod_id=pod,
        cluster_id=cluster.name,
        driver=table.driver,
        enabled=table.enabled,
        cpu_mhz=table.cpu_cores * table.cpu_mhz,
        memory_mib=table.memory_mib,
        cpu_overcommit=cluster.cpu_overcommit,
        memory_overcommit=cluster.memory_overcommit,
    )


def _local_pool(host: HostTable, name: str, zone: str) -> StoragePool:
    return StoragePool(
        id=f"{name}-local",
        zone_id=zone,
        scope="host",
        host_id=name,
        driver=host.driver,
        size_mib=host.local_pool_mib,
    )


def _pool(table: PoolTable, scope: str, zone: str, cluster: str | None = None) -> StoragePool:
    return StoragePool(
        id=table.name,
        zone_id=zone,
        scope=scope,
        cluster_id=cluster,
        driver=table.driver,
        enabled=table.enabled,
        size_mib=table.size_mib,
        overcommit=table.overcommit,
    )


def _network(table: NetworkTable, zone: str) -> Network:
    try:
        block = IPv4Network(table.cidr)
        gateway = IPv4Address(table.gateway) if table.gateway else block.network_address + 1
        first = IPv4Address(table.first_ip) if table.first_ip else block.network_address + 1
        last = IPv4Address(table.last_ip) if table.last_ip else block.broadcast_address - 1
    except (AddressValueError, ValueError) as error:
        raise InvalidRequest(f"network {table.name}: {error}") from error
    if not all(address in block for address in (gateway, first, last)) or first > last:
        raise InvalidRequest(f"network {table.name}: {gateway}, {first}–{last} must lie, in order, in {block}")
    if (table.type == "isolated") != (table.account is not None):
        raise InvalidRequest(f"network {table.name}: an isolated network names its `account`, a shared one does not")
    return Network(
        id=table.name,
        zone_id=zone,
        guru=table.guru or ("isolated" if table.type == "isolated" else "direct"),
        cidr=str(block),
        gateway=str(gateway),
        first_ip=str(first),
        last_ip=str(last),
        vlan=table.vlan,
        account_id=table.account,
        is_default=table.default,
        enabled=table.enabled,
    )


def _offering(table: OfferingTable) -> Offering:
    return Offering(
        id=table.name,
        cpu_cores=table.cpu_cores,
        cpu_mhz=table.cpu_mhz,
        memory_mib=table.memory_mib,
        storage=table.storage,
        planner=table.planner,
    )


def _check(places: list[Place]) -> None:
    """No name twice in a kind, and every account that is named exists."""
    seen: set[tuple[type, str]] = set()
    for place in places:
        key = (type(place), place.id)
        if key in seen and place.id != "system":
            raise InvalidRequest(f"{type(place).__name__.lower()} {place.id} is described twice; names are unique")
        seen.add(key)
    for place in places:
        if isinstance(place, Network) and place.account_id and (Account, place.account_id) not in seen:
            raise InvalidRequest(f"network {place.id} is of account {place.account_id}, which is not in [[accounts]]")
