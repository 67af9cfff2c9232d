"""The tables, column by column: the contract with everybody who reads the database.

Stable: `vm`, `nic`, `volume`, `operation`, `journal`, `host`, `storage_pool`, `network` and their columns may be
read by other programs; docs/tables.md is made from the comments here. Nobody but the engine writes the first five:
triggers (`guards/`) refuse what the machines, the interlocks and the ledger do not allow, whoever asks.

Times are microseconds since 1970 UTC; sizes MiB; CPU MHz; ids text; JSON is text in canonical form (sorted keys,
no blanks), because the journal's hashes cover the very bytes. The columns of an entity are the fields of its record
(`records.py`, `cloud.py`); a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TEXT

from interlock.schema.holdings import LIMITS, METERED, UNIQUE
from interlock.schema.operation import ACTIVE, DRIVEN

metadata = MetaData()
OVER = ("Destroyed", "Expunged")
"""The states of VMs that wait to be expunged, or archived: those that have waited longest are found by an index."""
UNHAPPY = ("Stuck", "Failed", "Cancelled")
"""The states of operations that did not do what was asked: few, and looked for."""
Micros = BigInteger
Sequence = BigInteger().with_variant(Integer, "sqlite")
Bytewise = Text().with_variant(TEXT(collation="C"), "postgresql")
"""Text that is compared byte by byte whatever the database's collation: else its index finds no names by how they
begin."""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


WAITING = "operation.state = 'Queued' AND operation.worker_id IS NULL"
"""Of an operation that was only asked for: nobody drives it yet."""


def _where(condition: str) -> dict[str, Any]:
    """Which rows an index is of."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _machine_columns() -> list[Column[object]]:
    return [
        Column("created_at", Micros, nullable=False, comment="When the row was made."),
        Column("state", Text, nullable=False, comment="State of the machine; see `interlock machines`."),
        Column("since", Micros, nullable=False, comment="When the present state was entered."),
        Column("version", Integer, nullable=False, comment="Rises by one with each transition."),
        Column("hash", Text, nullable=False, comment="Hash of the journal row that made this version."),
    ]


def _names(name: str, comment: str, target: str | None = None, *, optional: bool = False) -> Column[str]:
    keys = [ForeignKey(target)] if target else []
    return Column(name, Text, *keys, nullable=optional, comment=comment)


def _listed(name: str, comment: str) -> Column[str]:
    """A name that lists are ordered by, and searched by its beginning."""
    return Column(name, Bytewise, nullable=False, comment=comment)


vm = Table(
    "vm",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the VM; sorts by creation."),
    _listed("name", "Host name of the guest."),
    _names("name_scope", "Living VMs have distinct names within one scope."),
    _names("display_name", "What its owner calls it.", optional=True),
    _names("instance_name", "What the hypervisor calls it: i-<account>-<vm>-<suffix>."),
    _names("account_id", "Whose it is.", "account.id"),
    _names(
        "charged_to",
        "The account whose VM, core and memory limits it counts against; empty once Destroyed.",
        "account.id",
        optional=True,
    ),
    _names("zone_id", "Where it lives.", "zone.id"),
    _names("offering_id", "Its size.", "offering.id"),
    _names("template_id", "What its root disk was made from, or the ISO it boots.", "template.id"),
    _names("hypervisor", "The only hypervisor it runs on; empty: any.", optional=True),
    Column("cpu_cores", Integer, nullable=False, comment="Virtual CPUs."),
    Column("cpu_mhz", Integer, nullable=False, comment="Cores times speed: what the guest sees, in MHz."),
    Column("memory_mib", Integer, nullable=False, comment="What the guest sees, in MiB."),
    Column("own_cpu_overcommit", Double, comment="Overcommit ratio of its own; empty: its host's."),
    Column("own_memory_overcommit", Double, comment="Overcommit ratio of its own; empty: its host's."),
    Column("cpu_held_mhz", Integer, nullable=False, comment="What it takes of its host: CPU over the ratio, in MHz."),
    Column("memory_held_mib", Integer, nullable=False, comment="What it takes of its host, in MiB."),
    _names("planner", "Which host planner places it."),
    _names("host_id", "The host whose capacity it holds; empty while it holds none.", "host.id", optional=True),
    _names("target_host_id", "Where it migrates to, and holds capacity as well.", "host.id", optional=True),
    _names("last_host_id", "Where it ran last.", optional=True),
    _names("affinity_groups", "JSON array: the affinity groups it is in."),
    _names("security_groups", "JSON array: the security groups it is in."),
    Column("rules_told", Integer, nullable=False, comment="Highest version of security groups its host was told."),
    _names("user_data", "Base64 of what the guest is given.", optional=True),
    _names("ssh_keys", "JSON array: public keys the guest is given."),
    _names("details", "JSON object: handed to the driver."),
    _names("tags", "JSON object: its owner's labels."),
    *_machine_columns(),
    Index("vm_host", "host_id", "account_id", "planner", "affinity_groups"),
    Index(
        "vm_target",
        "target_host_id",
        "account_id",
        "planner",
        "affinity_groups",
        **_where("target_host_id IS NOT NULL"),
    ),
    Index("vm_state", "state", "id"),
    Index("vm_over", "state", "since", **_where(f"state IN ({_quoted(OVER)})")),
    Index("vm_account", "account_id", "id"),
    Index(
        "vm_name_once",
        "name_scope",
        "name",
        unique=True,
        **_where("state NOT IN ('Error', 'Expunging', 'Expunged')"),
    ),
    Index("vm_name", "name", "id"),
)

nic = Table(
    "nic",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the NIC."),
    _names("vm_id", "The VM it belongs to.", "vm.id"),
    _names("network_id", "The network it is on.", "network.id"),
    Column("device", Integer, nullable=False, comment="Its number in the VM, from 0."),
    Column("is_default", Boolean, nullable=False, comment="Whether the guest's default route goes through it."),
    _names("wished_ip", "IPv4 address that was asked for.", optional=True),
    _names("ip_address", "IPv4 address it owns; empty once Deallocated.", optional=True),
    _names("ip6_address", "IPv6 address it owns; empty once Deallocated.", optional=True),
    _names("mac_address", "MAC address it owns; empty once Deallocated.", optional=True),
    _names("gateway", "Gateway of its network.", optional=True),
    _names("netmask", "Netmask of its network.", optional=True),
    _names("host_name", "The VM's name, where it must be distinct in the network.", optional=True),
    _names(
        "charged_to",
        "The account whose limit of public addresses it counts against.",
        "account.id",
        optional=True,
    ),
    *_machine_columns(),
    Index("nic_vm", "vm_id"),
    Index("nic_network", "network_id", "vm_id"),
)

volume = Table(
    "volume",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the volume."),
    _names("vm_id", "The VM it is attached to.", "vm.id", optional=True),
    _names("account_id", "Whose it is.", "account.id"),
    _names(
        "charged_to",
        "The account whose limits of volumes and storage it counts against; empty once Expunged.",
        "account.id",
        optional=True,
    ),
    _names("zone_id", "Where it lives.", "zone.id"),
    _listed("name", "ROOT-<vm>, DATA-<vm>-<device>, or what its owner calls it."),
    _names("kind", "ROOT or DATA."),
    Column("device", Integer, comment="Its number in the VM; 0 is the root disk."),
    Column("size_mib", Integer, nullable=False, comment="Its size, and what it takes of its pool, in MiB."),
    _names("offering_id", "Its disk offering, if it has one.", "disk_offering.id", optional=True),
    _names("template_id", "What it is made from; empty for a blank disk.", "template.id", optional=True),
    _names("storage", "shared or local: which pools may hold it."),
    _names("storage_tags", "JSON array: tags that its pool must have."),
    _names("clone", "How it was made from its template: full or linked.", optional=True),
    _names(
        "pool_id",
        "The pool whose space it holds; empty while it holds none.",
        "storage_pool.id",
        optional=True,
    ),
    *_machine_columns(),
    Index("volume_vm", "vm_id", "id"),
    Index("volume_pool", "pool_id", "id"),
    Index("volume_over", "vm_id", "since", **_where("vm_id IS NULL AND state = 'Expunged'")),
    Index("volume_account", "account_id", "id"),
    Index("volume_name", "name", "id"),
)

operation = Table(
    "operation",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the operation."),
    _names("kind", "What it does: deploy, start, stop, …."),
    _names("vm_id", "The VM it drives.", "vm.id", optional=True),
    _names("volume_id", "The volume it is about.", "volume.id", optional=True),
    _names("actor", "Who asked."),
    _names("caller_id", "The account on whose rights; empty: the operator's.", optional=True),
    _names("request", "What was asked: JSON object of the request's fields."),
    _names("steps", "JSON array: the names of its steps; empty if a release before 0.3 began it."),
    Column("step", Integer, nullable=False, comment="Last of the steps that was entered, from 0; -1 before the first."),
    Column("attempt", Integer, nullable=False, comment="Which placement this is, from 1."),
    Column("tries", Integer, nullable=False, comment="Failed tries of the present step's effects."),
    Column("wake_at", Micros, comment="When a waiting operation goes on."),
    _names("made", "JSON array: volumes this operation created, which its undo deletes."),
    _names("kept", "JSON object: what a step replaced, which its undo puts back."),
    _names("avoid", "JSON array: the avoid set, each with scope, id, cause and expiry."),
    _names("then", "What follows the undo: replan, failed or cancelled.", optional=True),
    _names("error", "Why it failed, is being undone or is stuck.", optional=True),
    _names("reasons", "JSON array: each candidate for a place, and why not."),
    _names("worker_id", "The worker that drives it.", optional=True),
    *_machine_columns(),
    Index(
        "operation_active_once",
        "vm_id",
        unique=True,
        **_where(f"state IN ({_quoted(ACTIVE)})"),
    ),
    Index(
        "operation_driven",
        "id",
        **_where(f"state IN ({_quoted(DRIVEN)})"),
    ),
    Index(
        "operation_volume_once",
        "volume_id",
        unique=True,
        **_where(f"state IN ({_quoted(ACTIVE)})"),
    ),
    Index(
        "operation_waiting",
        "id",
        **_where(WAITING.replace("operation.", "")),
    ),
    Index("operation_vm", "vm_id", "id"),
    Index("operation_unhappy", "state", "id", **_where(f"state IN ({_quoted(UNHAPPY)})")),
    Index("operation_over", "vm_id", "since", **_where("vm_id IS NULL AND volume_id IS NULL")),
    Index(
        "operation_volume",
        "volume_id",
        **_where("volume_id IS NOT NULL"),
    ),
)

journal = Table(
    "journal",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False, comment="Number of the transition; no gaps."),
    Column("at", Micros, nullable=False, comment="When it was decided."),
    _names("machine", "vm, nic, volume or operation; cloud: places and settings."),
    _names("entity_id", "The entity that moved."),
    _names("vm_id", "The VM it belongs to; empty for a disk that belongs to none.", optional=True),
    Column("version", Integer, nullable=False, comment="The entity's version after it."),
    _names("event", "What happened."),
    _names("source", "State before; empty for a new entity."),
    _names("destination", "State after."),
    _names("operation_id", "The operation that moved it.", optional=True),
    _names("actor", "Who asked for that operation."),
    _names("cause", "Why, in words, where the event alone does not say.", optional=True),
    _names(
        "changes",
        "JSON object: the attributes that changed, with their new values; of the cloud, rows or ids by table.",
    ),
    _names("ledger", "JSON array of [thing, where, giver, taker, amount]."),
    _names("detail", "JSON object: what was decided on: the input, candidates, effects, outcomes.", optional=True),
    Column("tables", Integer, nullable=False, comment="Version of the transition tables it was made under."),
    _names("prev", "Hash of the entity's previous journal row; empty for the first."),
    _names("hash", "SHA-256 over the previous hash and all other columns."),
    UniqueConstraint("entity_id", "version", name="journal_entity_version"),
    Index("journal_vm", "vm_id", "seq"),
)

archive = Table(
    "archive",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the file."),
    _names("folder", "Where it was written."),
    Column("count", BigInteger, nullable=False, comment="Journal rows that are there, and not in `journal` any more."),
    Column("first", BigInteger, nullable=False, comment="Number of the first of them."),
    Column("last", BigInteger, nullable=False, comment="Number of the last of them."),
    _names("root", "SHA-256 over the numbers and hashes of these rows: what the file must give."),
    Column("archived_at", Micros, nullable=False, comment="When they left."),
)
archiving = Table(
    "archiving",
    metadata,
    Column("entity_id", Text, primary_key=True, comment="An entity whose rows leave; only during that transaction."),
    _names("archive_id", "Where to.", "archive.id"),
)


def _capacity(resource: str) -> list[CheckConstraint]:
    limits = {row.thing: row for row in METERED if row.resource == resource}
    return [
        CheckConstraint(
            f"{row.used} >= 0 AND {row.used} <= {row.total}" + (f" * {row.overcommit}" if row.overcommit else ""),
            name=f"{resource}_{row.thing}_within_capacity",
        )
        for row in limits.values()
    ]


def _amount(name: str, comment: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0", comment=comment)


def _ratio(name: str, comment: str = "May be taken this many times over.") -> Column[float]:
    return Column(name, Double, nullable=False, server_default="1", comment=comment)


def _flag(name: str, comment: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, comment=comment)


def _enabled() -> Column[bool]:
    return _flag("enabled", "Whether it may be used for new VMs.")


def _budget() -> list[Column[int]]:
    """An account's and a domain's: a limit that is lowered below what is used holds for what comes."""
    limits = [Column(row.total, BigInteger, comment=f"Most of its {row.thing}; empty: any.") for row in LIMITS]
    used = [_amount(row.used, f"Its {row.thing}; kept by triggers.") for row in LIMITS]
    return [*limits, *used]


def _dedicated() -> list[Column[str]]:
    return [
        _names(
            "dedicated_domain_id", "The only domain, with those below, that may use it.", "domain.id", optional=True
        ),
        _names("dedicated_account_id", "The only account that may use it.", "account.id", optional=True),
    ]


domain = Table(
    "domain",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the domain; ROOT is above all."),
    *_budget(),
    _names("parent_id", "The domain it lies in.", "domain.id", optional=True),
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
    _names("domain_id", "The domain it is in.", "domain.id"),
    _names("role", "user, domain-admin or admin."),
    _enabled(),
)
zone = Table(
    "zone",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the zone."),
    _names("kind", "basic or advanced."),
    _flag("security_groups", "Whether its VMs may be in security groups."),
    _flag("local_storage", "Whether volumes may lie on hosts."),
    *_dedicated(),
    _enabled(),
)
pod = Table(
    "pod",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the pod."),
    _names("zone_id", "Its zone.", "zone.id"),
    *_dedicated(),
    _enabled(),
)
cluster = Table(
    "cluster",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the cluster."),
    _names("zone_id", "Its zone.", "zone.id"),
    _names("pod_id", "Its pod.", "pod.id"),
    _names("hypervisor", "What its hosts run."),
    *_dedicated(),
    _enabled(),
)
host = Table(
    "host",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the host."),
    _names("zone_id", "Its zone.", "zone.id"),
    _names("pod_id", "Its pod.", "pod.id"),
    _names("cluster_id", "Its cluster.", "cluster.id"),
    _names("driver", "Which driver acts on it."),
    _names("tags", "JSON array: what offerings and templates may ask for."),
    *_dedicated(),
    _enabled(),
    _amount("cpu_mhz", "Physical CPU, in MHz."),
    _amount("memory_mib", "Physical memory, in MiB."),
    _ratio("cpu_overcommit", "VMs that start here hold their CPU divided by this."),
    _ratio("memory_overcommit", "VMs that start here hold their memory divided by this."),
    _amount("cpu_used_mhz", "Held by VMs, in MHz; kept by triggers."),
    _amount("memory_used_mib", "Held by VMs, in MiB; kept by triggers."),
    *_capacity("host"),
    Index("host_cluster", "cluster_id", "id"),
)
storage_pool = Table(
    "storage_pool",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the pool."),
    _names("zone_id", "Its zone.", "zone.id"),
    _names("scope", "zone, cluster or host: who reaches it."),
    _names("cluster_id", "Its cluster, with scope cluster.", "cluster.id", optional=True),
    _names("host_id", "Its host, with scope host.", "host.id", optional=True),
    _names("driver", "Which driver acts on it."),
    _names("tags", "JSON array: what offerings may ask for."),
    _enabled(),
    _amount("size_mib", "Physical size, in MiB."),
    _ratio("overcommit"),
    _amount("used_mib", "Held by volumes, in MiB; kept by triggers."),
    *_capacity("storage_pool"),
)
network = Table(
    "network",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the network."),
    _names("zone_id", "Its zone.", "zone.id"),
    _names("guru", "Which guru gives addresses."),
    _names("cidr", "Its IPv4 block."),
    _names("gateway", "IPv4 gateway the guests get."),
    _names("first_ip", "Lowest IPv4 address given out."),
    _names("last_ip", "Highest IPv4 address given out."),
    _names("cidr6", "Its IPv6 block, if it has one.", optional=True),
    _names("gateway6", "IPv6 gateway the guests get.", optional=True),
    Column("vlan", Integer, comment="VLAN tag, where it has one."),
    _names("account_id", "The only account that may use it; empty: everybody.", "account.id", optional=True),
    _names("domain_id", "The only domain, with those below, that may use it.", "domain.id", optional=True),
    _names("services", "JSON object: what it offers, each with its provider."),
    _flag("is_public", "Whether its addresses count as public ones."),
    _flag("is_default", "Taken when a request names no network."),
    _enabled(),
    UniqueConstraint("zone_id", "vlan", name="network_vlan_once"),
)
pod_range = Table(
    "pod_range",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the range."),
    _names("network_id", "Its network.", "network.id"),
    _names("pod_id", "The pod whose guests get these addresses.", "pod.id"),
    _names("cidr", "The pod's block."),
    _names("gateway", "Gateway the guests get."),
    _names("first_ip", "Lowest address given out."),
    _names("last_ip", "Highest address given out."),
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
    _names("storage", "shared or local: where its disks lie."),
    _names("planner", "Host planner of its VMs; empty: the setting says.", optional=True),
    _names("planner_mode", "Of implicit dedication: strict or preferred.", optional=True),
    _names("host_tags", "JSON array: tags its hosts must have."),
    _names("storage_tags", "JSON array: tags the pools of its disks must have."),
    _size("root_mib", "Size of the root disk, in MiB; empty: the template's.", optional=True),
    _flag("root_strict", "Whether requests may not choose another root disk."),
    _names("domain_ids", "JSON array: the domains, with those below, that may use it; empty: everybody."),
    _flag("is_system", "Whether it is for the operator's own VMs only."),
    _enabled(),
)
disk_offering = Table(
    "disk_offering",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the disk offering."),
    _size("size_mib", "Size, in MiB; empty: the request says.", optional=True),
    _names("storage", "shared or local."),
    _names("storage_tags", "JSON array: tags its pools must have."),
    _names("domain_ids", "JSON array: the domains, with those below, that may use it; empty: everybody."),
    _enabled(),
)
template = Table(
    "template",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the template."),
    _size("size_mib", "Size of a disk made from it, in MiB."),
    _names("kind", "disk or iso."),
    _flag("bootable", "Whether a VM can begin from it."),
    _names("hypervisor", "The only hypervisor it runs on; empty: any.", optional=True),
    _names("zone_ids", "JSON array: the zones it is in; empty: all."),
    _names("account_id", "Whose it is; empty: the operator's.", "account.id", optional=True),
    _flag("is_public", "Whether everybody may use it."),
    _names("shared_with", "JSON array: accounts that may use it though it is not public."),
    _flag("is_system", "Whether it is for the operator's own VMs only."),
    _names("host_tags", "JSON array: tags its hosts must have."),
    _names("details", "JSON object: handed to the driver."),
    _enabled(),
)
affinity_group = Table(
    "affinity_group",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the group."),
    _names("kind", "What its VMs are to each other, in CloudStack's words."),
    _names("account_id", "Whose it is; empty: a domain's, or everybody's.", "account.id", optional=True),
    _names("domain_id", "The domain whose accounts, with those below, may use it.", "domain.id", optional=True),
)
security_group = Table(
    "security_group",
    metadata,
    Column("id", Text, primary_key=True, comment="<account>/<name>."),
    _names("account_id", "Whose it is.", "account.id"),
    _names("name", "Distinct within the account."),
    _names("ingress", "JSON array: what may come in."),
    _names("egress", "JSON array: what may go out."),
    Column("version", BigInteger, nullable=False, comment="Rises, over all groups, with each change of rules."),
    Index("security_group_version", "version"),
)
ssh_key = Table(
    "ssh_key",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the key."),
    _names("account_id", "Whose it is.", "account.id"),
    _names("public_key", "The key, as OpenSSH writes it."),
)
setting = Table(
    "setting",
    metadata,
    Column("id", Text, primary_key=True, comment="name@scope or name@scope/place."),
    _names("name", "Name of the setting."),
    _names("scope", "global, zone, cluster, storage_pool or account."),
    _names("place_id", "The place it holds for; empty: everywhere.", optional=True),
    _names("value", "JSON text."),
)

MEMBERSHIPS = {"affinity_member": "affinity_groups", "security_member": "security_groups"}
"""Indexes of the groups that VMs list in their columns, kept by triggers: table and column."""


def _members(name: str, what: str) -> Table:
    return Table(
        name,
        metadata,
        Column("group_id", Text, primary_key=True, comment=f"The {what} group."),
        Column("vm_id", Text, primary_key=True, comment="A VM that is in it, and not Expunged."),
        Index(f"{name}_vm", "vm_id"),
    )


affinity_member = _members("affinity_member", "affinity")
security_member = _members("security_member", "security")

vm_tally = Table(
    "vm_tally",
    metadata,
    Column("scope", Text, primary_key=True, comment="zone or account: by what is counted."),
    Column("place_id", Text, primary_key=True, comment="Which zone or account."),
    Column("state", Text, primary_key=True, comment="A state in which VMs stay."),
    Column("count", BigInteger, nullable=False, comment="How many VMs are in it; kept by triggers. None: no row."),
    CheckConstraint("count > 0", name="vm_tally_of_some"),
    sqlite_with_rowid=False,
)

driver = Table(
    "driver",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the driver, as its entry point says."),
    _names("options", "JSON object: what it is opened with."),
)
worker = Table(
    "worker",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of one open engine."),
    _names("machine", "Which machine, boot and process space it runs in."),
    Column("pid", Integer, nullable=False, comment="Its process."),
    _names(
        "born",
        "When that process began, as the machine counts: tells it from a later one with the same number.",
    ),
    Column("lease_until", Micros, nullable=False, comment="Its operations may be taken over after this."),
)
claim = Table(
    "claim",
    metadata,
    Column("operation_id", Text, primary_key=True, comment="An operation that was only asked for."),
    _names("worker_id", "The worker that was given it, and has not begun it."),
)
guard = Table(
    "guard",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="Always 1."),
    _names("fingerprint", "Of the triggers that are installed."),
)

for _rule in UNIQUE:
    Index(
        f"{_rule.holder}_{_rule.thing}_once",
        *(metadata.tables[_rule.holder].c[c] for c in (*_rule.scope, _rule.key)),
        unique=True,
    )
