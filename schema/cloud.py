"""The records of what VMs run on and who they belong to: domains and accounts, zones, hosts, pools, networks; and of
what may be asked for: offerings, templates, groups, keys.

Loaded from a cloud description (`interlock init`), changed by administrators, read by planners. Frozen values. The
`used` columns are kept by the database itself (see `holdings.py`); nobody else writes them. Ids are the names the
description gives. The fields of a record are the columns of its table, in order.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an account or a domain may have, and has. A limit of None: as much as there is."""

    id: str
    vms_limit: int | None = None
    cores_limit: int | None = None
    memory_limit_mib: int | None = None
    volumes_limit: int | None = None
    storage_limit_mib: int | None = None
    ips_limit: int | None = None
    vms_used: int = 0
    cores_used: int = 0
    memory_used_mib: int = 0
    volumes_used: int = 0
    storage_used_mib: int = 0
    ips_used: int = 0


class Domain(Budget, frozen=True, kw_only=True):
    """A node of the tree of domains; ROOT is above all. Its limits hold for all accounts in and below it together."""

    parent_id: str | None


class Account(Budget, frozen=True, kw_only=True):
    """Who VMs belong to."""

    domain_id: str = "ROOT"
    role: str = "user"
    """user: its own things; domain-admin: those of its domain and below; admin: everything."""
    enabled: bool = True


class Zone(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A place with its own networks and hosts."""

    id: str
    kind: str = "advanced"
    """basic: one shared guest network, addresses by pod; advanced: networks of many kinds."""
    security_groups: bool = False
    """Whether its VMs may be in security groups. Basic zones have them always."""
    local_storage: bool = True
    """Whether volumes may lie on hosts."""
    dedicated_domain_id: str | None = None
    dedicated_account_id: str | None = None
    enabled: bool = True


class Pod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A rack."""

    id: str
    zone_id: str
    dedicated_domain_id: str | None = None
    dedicated_account_id: str | None = None
    enabled: bool = True


class Cluster(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Hosts of one kind that share storage."""

    id: str
    zone_id: str
    pod_id: str
    hypervisor: str = "simulator"
    """What its hosts run; templates may ask for one."""
    dedicated_domain_id: str | None = None
    dedicated_account_id: str | None = None
    enabled: bool = True


class Host(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A hypervisor. VMs hold of it what they are guaranteed: their size divided by the overcommit ratio."""

    id: str
    zone_id: str
    pod_id: str
    cluster_id: str
    driver: str
    tags: tuple[str, ...] = ()
    dedicated_domain_id: str | None = None
    dedicated_account_id: str | None = None
    enabled: bool = True
    cpu_mhz: int
    memory_mib: int
    cpu_overcommit: float = 1.0
    """What VMs that start there are divided by, unless they have a ratio of their own."""
    memory_overcommit: float = 1.0
    cpu_used_mhz: int = 0
    memory_used_mib: int = 0

    @property
    def cpu_free_mhz(self) -> int:
        """What can still be guaranteed, in MHz."""
        return self.cpu_mhz - self.cpu_used_mhz

    @property
    def memory_free_mib(self) -> int:
        """What can still be guaranteed, in MiB."""
        return self.memory_mib - self.memory_used_mib


def guaranteed(size: int, ratio: float) -> int:
    """What a VM of `size` holds of its host under an overcommit ratio: rounded down, as hypervisors are told it."""
    return size if ratio == 1.0 else max(1, int(size / ratio))


class StoragePool(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where volumes live. Scope zone: every host; cluster: its hosts; host: that one (local storage)."""

    id: str
    zone_id: str
    scope: str
    cluster_id: str | None = None
    host_id: str | None = None
    driver: str
    tags: tuple[str, ...] = ()
    enabled: bool = True
    size_mib: int
    overcommit: float = 1.0
    used_mib: int = 0

    @property
    def free_mib(self) -> int:
        """What can still be taken, in MiB."""
        return int(self.size_mib * self.overcommit) - self.used_mib


class Network(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network; its guru gives addresses between `first_ip` and `last_ip`."""

    id: str
    zone_id: str
    guru: str
    cidr: str
    gateway: str
    first_ip: str
    last_ip: str
    cidr6: str | None = None
    gateway6: str | None = None
    vlan: int | None = None
    account_id: str | None = None
    """An isolated network is one account's; None: everybody's."""
    domain_id: str | None = None
    """Of this domain's accounts and those below; None: everybody's."""
    services: dict[str, str] = {}
    """What it offers, each with its provider: SecurityGroup, UserData, …; an empty provider offers nothing. A network
    that says nothing has the basics, UserData, Dhcp and Dns, and no SecurityGroup."""
    is_public: bool = False
    """Whether its addresses count as public ones."""
    is_default: bool = False
    enabled: bool = True


class PodRange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The addresses of a basic zone's network that belong to one pod."""

    id: str
    network_id: str
    pod_id: str
    cidr: str
    gateway: str
    first_ip: str
    last_ip: str


class Offering(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A size of VM, and which planner, hosts and storage it gets. A custom one leaves sizes of None to the request."""

    id: str
    cpu_cores: int | None = None
    cpu_mhz: int | None = None
    """Of one core."""
    memory_mib: int | None = None
    cores_least: int = 1
    cores_most: int = 1024
    mhz_least: int = 1
    mhz_most: int = 1_000_000
    memory_least_mib: int = 1
    memory_most_mib: int = 2**30
    storage: str = "shared"
    planner: str | None = None
    planner_mode: str | None = None
    """Of implicit dedication: strict or preferred."""
    host_tags: tuple[str, ...] = ()
    storage_tags: tuple[str, ...] = ()
    root_mib: int | None = None
    """Size of the root disk; None: the template's."""
    root_strict: bool = False
    """Whether requests may not choose another size or disk offering for the root disk."""
    domain_ids: tuple[str, ...] = ()
    """The domains whose accounts, and those below, may use it; none: everybody."""
    is_system: bool = False
    enabled: bool = True


class DiskOffering(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A size of data disk, or of the root disk of a VM that boots an ISO. A size of None is left to the request."""

    id: str
    size_mib: int | None = None
    storage: str = "shared"
    storage_tags: tuple[str, ...] = ()
    domain_ids: tuple[str, ...] = ()
    enabled: bool = True


class Template(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A root disk to start from, or an ISO to boot."""

    id: str
    size_mib: int
    kind: str = "disk"
    """disk or iso."""
    bootable: bool = True
    hypervisor: str | None = None
    """The only one it runs on; None: any."""
    zone_ids: tuple[str, ...] = ()
    """Where it is; none: in all zones."""
    account_id: str | None = None
    """Whose it is; None: the operator's."""
    is_public: bool = True
    shared_with: tuple[str, ...] = ()
    """Accounts that may use it though it is not public."""
    is_system: bool = False
    host_tags: tuple[str, ...] = ()
    details: dict[str, str] = {}
    """Handed to the driver with those of the VM."""
    enabled: bool = True


class AffinityGroup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """VMs that shall run together, or apart."""

    id: str
    kind: str
    """One of `AFFINITIES`."""
    account_id: str | None = None
    domain_id: str | None = None


APART, TOGETHER = "host anti-affinity", "host affinity"
APART_IF_POSSIBLE, TOGETHER_IF_POSSIBLE = "non-strict host anti-affinity", "non-strict host affinity"
DEDICATED = "ExplicitDedication"
AFFINITIES = (APART, TOGETHER, APART_IF_POSSIBLE, TOGETHER_IF_POSSIBLE, DEDICATED)
"""CloudStack's names. Apart: on hosts of their own; together: on one host; the last: only on dedicated places."""


class FirewallRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What a security group lets pass: from or to a block of addresses, or members of another group."""

    protocol: str
    """tcp, udp, icmp or all."""
    first_port: int | None = None
    last_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    cidr: str | None = None
    group: str | None = None


class SecurityGroup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A firewall that VMs are in. What a rule of any of a VM's groups lets pass, passes.

    Nothing comes in without an ingress rule. As long as none of a VM's groups has an egress rule, everything goes
    out. So the default group of an account, which has no rules, lets nothing in and everything out.
    """

    id: str
    account_id: str
    name: str
    """Distinct within the account; `default` is the one that deploys add by themselves."""
    ingress: tuple[FirewallRule, ...] = ()
    egress: tuple[FirewallRule, ...] = ()
    version: int = 1
    """Rises, over all groups of a database, with each change of rules: a VM is told those above what it was told."""


class SshKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A public key that VMs are given."""

    id: str
    account_id: str
    public_key: str


class SettingValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A setting that is not at its default. `value` is JSON text; `settings.py` says what it may be."""

    id: str
    """name@scope, or name@scope/place."""
    name: str
    scope: str
    place_id: str | None
    value: str


Place: TypeAlias = (
    Domain
    | Account
    | Zone
    | Pod
    | Cluster
    | Host
    | StoragePool
    | Network
    | PodRange
    | Offering
    | DiskOffering
    | Template
    | AffinityGroup
    | SecurityGroup
    | SshKey
    | SettingValue
)
PLACES: dict[str, type[Place]] = {
    "domain": Domain,
    "account": Account,
    "zone": Zone,
    "pod": Pod,
    "cluster": Cluster,
    "host": Host,
    "storage_pool": StoragePool,
    "network": Network,
    "pod_range": PodRange,
    "offering": Offering,
    "disk_offering": DiskOffering,
    "template": Template,
    "affinity_group": AffinityGroup,
    "security_group": SecurityGroup,
    "ssh_key": SshKey,
    "setting": SettingValue,
}
"""By table, those that others refer to first."""
