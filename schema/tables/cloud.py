"""The tables of places and of what a request may name: what a cloud description writes, and the settings.

Their columns are the fields of the records in `schema/cloud.py`. What is held of a host or a pool, and what an account
or a domain has, is counted in its own row, by triggers; a check keeps hosts and pools within what they have.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from interlock.schema.holdings import LIMITS, METERED
from interlock.schema.tables.columns import amount, enabled, flag, metadata, names


def _capacity(resource: str) -> list[CheckConstraint]:
    limits = {row.thing: row for row in METERED if row.resource == resource}
    return [
        CheckConstraint(
            f"{row.used} >= 0 AND {row.used} <= {row.total}" + (f" * {row.overcommit}" if row.overcommit else ""),
            name=f"{resource}_{row.thing}_within_capacity",
        )
        for row in limits.values()
    ]


def _ratio(name: str, comment: str = "May be taken this many times over.") -> Column[float]:
    return Column(name, Double, nullable=False, server_default="1", comment=comment)


def _budget() -> list[Column[int]]:
    """An account's and a domain's: a limit that is lowered below what is used holds for what comes."""
    limits = [Column(row.total, BigInteger, comment=f"Most of its {row.thing}; empty: any.") for row in LIMITS]
    used = [amount(row.used, f"Its {row.thing}; kept by triggers.") for row in LIMITS]
    return [*limits, *used]


def _dedicated() -> list[Column[str]]:
    return [
        names("dedicated_domain_id", "The only domain, with those below, that may use it.", "domain.id", optional=True),
        names("dedicated_account_id", "The only account that may use it.", "account.id", optional=True),
    ]


domain = Table(
    "domain",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the domain; ROOT is above all."),
    *_budget(),
    names("parent_id", "The domain it lies in.", "domain.id", optional=True),
)
domain_above = Table(
    "domain_above",
    metadata,
    Column("domain_id", Text, ForeignKey("domain.id"), primary_key=True, comment="A domain."),
    Column("above_id", Text, ForeignKey("domain.id"), primary_key=True, comment="Itself, or one above it."),
)
account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the account."),
    *_budget(),
    names("domain_id", "The domain it is in.", "domain.id"),
    names("role", "user, domain-admin or admin."),
    enabled(),
)
zone = Table(
    "zone",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the zone."),
    names("kind", "basic or advanced."),
    flag("security_groups", "Whether its VMs may be in security groups."),
    flag("local_storage", "Whether volumes may lie on hosts."),
    *_dedicated(),
    enabled(),
)
pod = Table(
    "pod",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the pod."),
    names("zone_id", "Its zone.", "zone.id"),
    *_dedicated(),
    enabled(),
)
cluster = Table(
    "cluster",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the cluster."),
    names("zone_id", "Its zone.", "zone.id"),
    names("pod_id", "Its pod.", "pod.id"),
    names("hypervisor", "What its hosts run."),
    *_dedicated(),
    enabled(),
)
host = Table(
    "host",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the host."),
    names("zone_id", "Its zone.", "zone.id"),
    names("pod_id", "Its pod.", "pod.id"),
    names("cluster_id", "Its cluster.", "cluster.id"),
    names("driver", "Which driver acts on it."),
    names("tags", "JSON array: what offerings and templates may ask for."),
    *_dedicated(),
    enabled(),
    amount("cpu_mhz", "Physical CPU, in MHz."),
    amount("memory_mib", "Physical memory, in MiB."),
    _ratio("cpu_overcommit", "VMs that start here hold their CPU divided by this."),
    _ratio("memory_overcommit", "VMs that start here hold their memory divided by this."),
    amount("cpu_used_mhz", "Held by VMs, in MHz; kept by triggers."),
    amount("memory_used_mib", "Held by VMs, in MiB; kept by triggers."),
    *_capacity("host"),
    Index("host_cluster", "cluster_id", "id"),
)
storage_pool = Table(
    "storage_pool",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the pool."),
    names("zone_id", "Its zone.", "zone.id"),
    names("scope", "zone, cluster or host: who reaches it."),
    names("cluster_id", "Its cluster, with scope cluster.", "cluster.id", optional=True),
    names("host_id", "Its host, with scope host.", "host.id", optional=True),
    names("driver", "Which driver acts on it."),
    names("tags", "JSON array: what offerings may ask for."),
    enabled(),
    amount("size_mib", "Physical size, in MiB."),
    _ratio("overcommit"),
    amount("used_mib", "Held by volumes, in MiB; kept by triggers."),
    *_capacity("storage_pool"),
)
network = Table(
    "network",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the network."),
    names("zone_id", "Its zone.", "zone.id"),
    names("guru", "Which guru gives addresses."),
    names("cidr", "Its IPv4 block."),
    names("gateway", "IPv4 gateway the guests get."),
    names("first_ip", "Lowest IPv4 address given out."),
    names("last_ip", "Highest IPv4 address given out."),
    names("cidr6", "Its IPv6 block, if it has one.", optional=True),
    names("gateway6", "IPv6 gateway the guests get.", optional=True),
    Column("vlan", Integer, comment="VLAN tag, where it has one."),
    names("account_id", "The only account that may use it; empty: everybody.", "account.id", optional=True),
    names("domain_id", "The only domain, with those below, that may use it.", "domain.id", optional=True),
    names("services", "JSON object: what it offers, each with its provider."),
    flag("is_public", "Whether its addresses count as public ones."),
    flag("is_default", "Taken when a request names no network."),
    enabled(),
    UniqueConstraint("zone_id", "vlan", name="network_vlan_once"),
)
pod_range = Table(
    "pod_range",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the range."),
    names("network_id", "Its network.", "network.id"),
    names("pod_id", "The pod whose guests get these addresses.", "pod.id"),
    names("cidr", "The pod's block."),
    names("gateway", "Gateway the guests get."),
    names("first_ip", "Lowest address given out."),
    names("last_ip", "Highest address given out."),
)


def _size(name: str, comment: str, *, optional: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=optional, comment=comment)


offering = Table(
    "offering",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the offering."),
    _size("cpu_cores", "Virtual CPUs; empty: the request says.", optional=True),
    _size("cpu_mhz", "Speed of one, in MHz; empty: the request says.", optional=True),
    _size("memory_mib", "Memory, in MiB; empty: the request says.", optional=True),
    _size("cores_least", "Fewest virtual CPUs a request may say."),
    _size("cores_most", "Most virtual CPUs a request may say."),
    _size("mhz_least", "Least speed a request may say, in MHz."),
    _size("mhz_most", "Greatest speed a request may say, in MHz."),
    _size("memory_least_mib", "Least memory a request may say, in MiB."),
    _size("memory_most_mib", "Greatest memory a request may say, in MiB."),
    names("storage", "shared or local: where its disks lie."),
    names("planner", "Host planner of its VMs; empty: the setting says.", optional=True),
    names("planner_mode", "Of implicit dedication: strict or preferred.", optional=True),
    names("host_tags", "JSON array: tags its hosts must have."),
    names("storage_tags", "JSON array: tags the pools of its disks must have."),
    _size("root_mib", "Size of the root disk, in MiB; empty: the template's.", optional=True),
    flag("root_strict", "Whether requests may not choose another root disk."),
    names("domain_ids", "JSON array: the domains, with those below, that may use it; empty: everybody."),
    flag("is_system", "Whether it is for the operator's own VMs only."),
    enabled(),
)
disk_offering = Table(
    "disk_offering",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the disk offering."),
    _size("size_mib", "Size, in MiB; empty: the request says.", optional=True),
    names("storage", "shared or local."),
    names("storage_tags", "JSON array: tags its pools must have."),
    names("domain_ids", "JSON array: the domains, with those below, that may use it; empty: everybody."),
    enabled(),
)
template = Table(
    "template",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the template."),
    _size("size_mib", "Size of a disk made from it, in MiB."),
    names("kind", "disk or iso."),
    flag("bootable", "Whether a VM can begin from it."),
    names("hypervisor", "The only hypervisor it runs on; empty: any.", optional=True),
    names("zone_ids", "JSON array: the zones it is in; empty: all."),
    names("account_id", "Whose it is; empty: the operator's.", "account.id", optional=True),
    flag("is_public", "Whether everybody may use it."),
    names("shared_with", "JSON array: accounts that may use it though it is not public."),
    flag("is_system", "Whether it is for the operator's own VMs only."),
    names("host_tags", "JSON array: tags its hosts must have."),
    names("details", "JSON object: handed to the driver."),
    enabled(),
)
affinity_group = Table(
    "affinity_group",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the group."),
    names("kind", "What its VMs are to each other, in CloudStack's words."),
    names("account_id", "Whose it is; empty: a domain's, or everybody's.", "account.id", optional=True),
    names("domain_id", "The domain whose accounts, with those below, may use it.", "domain.id", optional=True),
)
security_group = Table(
    "security_group",
    metadata,
    Column("id", Text, primary_key=True, comment="<account>/<name>."),
    names("account_id", "Whose it is.", "account.id"),
    names("name", "Distinct within the account."),
    names("ingress", "JSON array: what may come in."),
    names("egress", "JSON array: what may go out."),
    Column("version", BigInteger, nullable=False, comment="Rises, over all groups, with each change of rules."),
    Index("security_group_version", "version"),
)
ssh_key = Table(
    "ssh_key",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the key."),
    names("account_id", "Whose it is.", "account.id"),
    names("public_key", "The key, as OpenSSH writes it."),
)
setting = Table(
    "setting",
    metadata,
    Column("id", Text, primary_key=True, comment="name@scope or name@scope/place."),
    names("name", "Name of the setting."),
    names("scope", "global, zone, cluster, storage_pool or account."),
    names("place_id", "The place it holds for; empty: everywhere.", optional=True),
    names("value", "JSON text."),
)
driver = Table(
    "driver",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the driver, as its entry point says."),
    names("options", "JSON object: what it is opened with."),
)
