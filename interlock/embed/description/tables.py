"""The tables of the cloud description, key by key: the shape of the file, and nothing of its meaning.

Zones hold pods, pods clusters, clusters hosts, as they do in the world. A key's type and bounds are checked here; what
tables say about each other is checked by `rules`. docs/cloud.md describes every key, and a test holds the two equal.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from interlock.embed.description.words import (
    Cores,
    Disk,
    HostCores,
    Id,
    Ids,
    Limits,
    Megahertz,
    Memory,
    Octet,
    Options,
    Owner,
    Positive,
    Ratio,
    Settings,
    Table,
    Text,
)


class PoolTable(Table, frozen=True):
    """[[…pools]]: in a zone for all its hosts, in a cluster for its hosts."""

    name: Id
    size_mib: Positive
    overcommit: Ratio = 1.0
    tags: Ids = ()
    driver: Id = "simulator"
    enabled: bool = True
    settings: Settings = {}


class HostTable(Table, frozen=True):
    """[[zones.pods.clusters.hosts]]: one host, or `count` alike, named name-1, name-2, …"""

    name: Id
    cpu_cores: HostCores
    cpu_mhz: Megahertz
    memory_mib: Positive
    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    tags: Ids = ()
    local_pool_mib: Annotated[int, Meta(ge=0, le=2**40)] = 0
    local_pool_tags: Ids = ()
    dedicated_to: Owner | None = None
    driver: Id = "simulator"
    enabled: bool = True


class ClusterTable(Table, frozen=True):
    """[[zones.pods.clusters]]"""

    name: Id
    hypervisor: Id = "simulator"
    cpu_overcommit: Ratio = 1.0
    memory_overcommit: Ratio = 1.0
    dedicated_to: Owner | None = None
    enabled: bool = True
    settings: Settings = {}
    hosts: list[HostTable] = []
    pools: list[PoolTable] = []


class PodTable(Table, frozen=True):
    """[[zones.pods]]"""

    name: Id
    dedicated_to: Owner | None = None
    enabled: bool = True
    clusters: list[ClusterTable] = []


class RangeTable(Table, frozen=True):
    """[[zones.networks.ranges]]: gateway and range follow from the block where they are not given."""

    name: Id
    pod: Id
    cidr: str
    gateway: str | None = None
    first_ip: str | None = None
    last_ip: str | None = None


class NetworkTable(Table, frozen=True):
    """[[zones.networks]]: gateways and range follow from the blocks where they are not given."""

    name: Id
    cidr: str
    type: Literal["shared", "isolated"] = "shared"
    gateway: str | None = None
    first_ip: str | None = None
    last_ip: str | None = None
    cidr6: str | None = None
    gateway6: str | None = None
    vlan: Annotated[int, Meta(ge=1, le=4094)] | None = None
    account: Id | None = None
    domain: Id | None = None
    services: dict[Id, Text] = {}
    public: bool = False
    default: bool = False
    guru: Id | None = None
    enabled: bool = True
    ranges: list[RangeTable] = []


class ZoneTable(Table, frozen=True):
    """[[zones]]"""

    name: Id
    kind: Literal["basic", "advanced"] = "advanced"
    security_groups: bool | None = None
    local_storage: bool = True
    dedicated_to: Owner | None = None
    enabled: bool = True
    settings: Settings = {}
    pods: list[PodTable] = []
    pools: list[PoolTable] = []
    networks: list[NetworkTable] = []


class CoresBetween(Table, frozen=True):
    """`cpu_cores` of an offering that leaves it to the request."""

    least: Cores = 1
    most: Cores = 1024


class MegahertzBetween(Table, frozen=True):
    """`cpu_mhz` of an offering that leaves it to the request."""

    least: Megahertz = 1
    most: Megahertz = 1_000_000


class MemoryBetween(Table, frozen=True):
    """`memory_mib` of an offering that leaves it to the request."""

    least: Memory = 1
    most: Memory = 2**30


class OfferingTable(Table, frozen=True):
    """[[offerings]]: each size is fixed by a number, or left to the request by a table of bounds."""

    name: Id
    cpu_cores: Cores | CoresBetween
    cpu_mhz: Megahertz | MegahertzBetween
    memory_mib: Memory | MemoryBetween
    storage: Literal["shared", "local"] = "shared"
    planner: Id | None = None
    planner_mode: Literal["strict", "preferred"] | None = None
    host_tags: Ids = ()
    storage_tags: Ids = ()
    root_mib: Disk | None = None
    root_strict: bool = False
    domains: Ids = ()
    system: bool = False
    enabled: bool = True


class DiskOfferingTable(Table, frozen=True):
    """[[disk_offerings]]: without a size, the request says one."""

    name: Id
    size_mib: Disk | None = None
    storage: Literal["shared", "local"] = "shared"
    storage_tags: Ids = ()
    domains: Ids = ()
    enabled: bool = True


class TemplateTable(Table, frozen=True):
    """[[templates]]"""

    name: Id
    size_mib: Disk
    kind: Literal["disk", "iso"] = "disk"
    bootable: bool = True
    hypervisor: Id | None = None
    zones: Ids = ()
    account: Id | None = None
    public: bool = True
    shared_with: Ids = ()
    system: bool = False
    host_tags: Ids = ()
    details: dict[Id, Text] = {}
    enabled: bool = True


class DomainTable(Table, frozen=True):
    """[[domains]]"""

    name: Id
    parent: Id | None = None
    limits: Limits = Limits()


class AccountTable(Table, frozen=True):
    """[[accounts]]"""

    name: Id
    domain: Id = "ROOT"
    role: Literal["user", "domain-admin", "admin"] | None = None
    limits: Limits = Limits()
    enabled: bool = True
    settings: Settings = {}


class AffinityGroupTable(Table, frozen=True):
    """[[affinity_groups]]"""

    name: Id
    kind: str
    account: Id | None = None
    domain: Id | None = None


class RuleTable(Table, frozen=True):
    """What an ingress and an egress rule have in common."""

    protocol: Literal["tcp", "udp", "icmp", "all"]
    ports: str | None = None
    type: Octet | None = None
    code: Octet | None = None


class IngressTable(RuleTable, frozen=True, kw_only=True):
    """One of `ingress`."""

    other: str = field(name="from")


class EgressTable(RuleTable, frozen=True, kw_only=True):
    """One of `egress`."""

    other: str = field(name="to")


class SecurityGroupTable(Table, frozen=True):
    """[[security_groups]]"""

    name: Id
    account: Id = "system"
    ingress: list[IngressTable] = []
    egress: list[EgressTable] = []


class SshKeyTable(Table, frozen=True, kw_only=True):
    """[[ssh_keys]]"""

    name: Id
    account: Id = "system"
    public_key: str


class File(Table, frozen=True):
    """The whole file."""

    zones: list[ZoneTable] = []
    offerings: list[OfferingTable] = []
    disk_offerings: list[DiskOfferingTable] = []
    templates: list[TemplateTable] = []
    domains: list[DomainTable] = []
    accounts: list[AccountTable] = []
    affinity_groups: list[AffinityGroupTable] = []
    security_groups: list[SecurityGroupTable] = []
    ssh_keys: list[SshKeyTable] = []
    settings: Settings = {}
    drivers: Options = {}
