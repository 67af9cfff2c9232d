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

from interlock.schema.holdings import METERED, UNIQUE
from interlock.schema.operation import ACTIVE, DRIVEN

metadata = MetaData()
Micros = BigInteger
Sequence = BigInteger().with_variant(Integer, "sqlite")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


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


vm = Table(
    "vm",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the VM; sorts by creation."),
    _names("name", "Host name of the guest."),
    _names("name_scope", "Living VMs have distinct names within one scope."),
    _names("account_id", "Whose it is.", "account.id"),
    _names("zone_id", "Where it lives.", "zone.id"),
    _names("offering_id", "Its size.", "offering.id"),
    _names("template_id", "What its root disk was made from.", "template.id"),
    Column("cpu_cores", Integer, nullable=False, comment="Virtual CPUs."),
    Column("cpu_mhz", Integer, nullable=False, comment="Cores times speed: what it takes of its host, in MHz."),
    Column("memory_mib", Integer, nullable=False, comment="What it takes of its host, in MiB."),
    _names("planner", "Which host planner places it."),
    _names("host_id", "The host whose capacity it holds; empty while it holds none.", "host.id", optional=True),
    _names("last_host_id", "Where it ran last.", optional=True),
    *_machine_columns(),
    Index("vm_host", "host_id", "account_id"),
    Index("vm_state", "state", "id"),
    Index("vm_account", "account_id", "id"),
    Index(
        "vm_name_once",
        "name_scope",
        "name",
        unique=True,
        sqlite_where=text("state NOT IN ('Error', 'Expunging', 'Expunged')"),
        postgresql_where=text("state NOT IN ('Error', 'Expunging', 'Expunged')"),
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
    _names("ip_address", "IPv4 address it owns; empty once Deallocated.", optional=True),
    _names("mac_address", "MAC address it owns; empty once Deallocated.", optional=True),
    _names("gateway", "Gateway of its network.", optional=True),
    _names("netmask", "Netmask of its network.", optional=True),
    *_machine_columns(),
    Index("nic_vm", "vm_id"),
)

volume = Table(
    "volume",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the volume."),
    _names("vm_id", "The VM it belongs to.", "vm.id"),
    _names("name", "ROOT-<vm> or DATA-<vm>-<device>."),
    _names("kind", "ROOT or DATA."),
    Column("device", Integer, nullable=False, comment="Its number in the VM; 0 is the root disk."),
    Column("size_mib", Integer, nullable=False, comment="Its size, and what it takes of its pool, in MiB."),
    _names("template_id", "What it is made from; empty for a blank disk.", "template.id", optional=True),
    _names("storage", "shared or local: which pools may hold it."),
    _names(
        "pool_id",
        "The pool whose space it holds; empty while it holds none.",
        "storage_pool.id",
        optional=True,
    ),
    *_machine_columns(),
    Index("volume_vm", "vm_id"),
    Index("volume_pool", "pool_id"),
)

operation = Table(
    "operation",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the operation."),
    _names("kind", "deploy, start, stop, reboot, destroy, recover or expunge."),
    _names("vm_id", "The VM it drives.", "vm.id"),
    _names("actor", "Who asked."),
    _names("request", "What was asked: JSON object of the request's fields."),
    Column("step", Integer, nullable=False, comment="Last step entered, from 0; -1 before the first."),
    Column("attempt", Integer, nullable=False, comment="Which placement this is, from 1."),
    Column("tries", Integer, nullable=False, comment="Failed tries of the present step's effects."),
    Column("wake_at", Micros, comment="When a waiting operation goes on."),
    _names("made", "JSON array: volumes this operation created, which its undo deletes."),
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
        sqlite_where=text(f"state IN ({_quoted(ACTIVE)})"),
        postgresql_where=text(f"state IN ({_quoted(ACTIVE)})"),
    ),
    Index(
        "operation_driven",
        "id",
        sqlite_where=text(f"state IN ({_quoted(DRIVEN)})"),
        postgresql_where=text(f"state IN ({_quoted(DRIVEN)})"),
    ),
    Index("operation_vm", "vm_id", "id"),
)

journal = Table(
    "journal",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False, comment="Number of the transition; no gaps."),
    Column("at", Micros, nullable=False, comment="When it was decided."),
    _names("machine", "vm, nic, volume or operation."),
    _names("entity_id", "The entity that moved."),
    _names("vm_id", "The VM it belongs to."),
    Column("version", Integer, nullable=False, comment="The entity's version after it."),
    _names("event", "What happened."),
    _names("source", "State before; empty for a new entity."),
    _names("destination", "State after."),
    _names("operation_id", "The operation that moved it.", optional=True),
    _names("actor", "Who asked for that operation."),
    _names("cause", "Why, in words, where the event alone does not say.", optional=True),
    _names("changes", "JSON object: the attributes that changed, with their new values."),
    _names("ledger", "JSON array of [thing, where, giver, taker, amount]."),
    _names("detail", "JSON object: what was decided on: candidates, effects, outcomes.", optional=True),
    Column("tables", Integer, nullable=False, comment="Version of the transition tables it was made under."),
    _names("prev", "Hash of the entity's previous journal row; empty for the first."),
    _names("hash", "SHA-256 over the previous hash and all other columns."),
    UniqueConstraint("entity_id", "version", name="journal_entity_version"),
    Index("journal_vm", "vm_id", "seq"),
)


def _capacity(resource: str) -> list[CheckConstraint]:
    return [
        CheckConstraint(
            f"{row.used} >= 0 AND {row.used} <= {row.total} * {row.overcommit}",
            name=f"{resource}_{row.thing}_within_capacity",
        )
        for row in METERED
        if row.resource == resource
    ]


def _amount(name: str, comment: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0", comment=comment)


def _ratio(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, server_default="1", comment="May be taken this many times over.")


def _enabled() -> Column[bool]:
    return Column("enabled", Boolean, nullable=False, comment="Whether VMs may be deployed or started there.")


account = Table("account", metadata, Column("id", Text, primary_key=True, comment="Name of the account."))
zone = Table("zone", metadata, Column("id", Text, primary_key=True, comment="Name of the zone."), _enabled())
pod = Table(
    "pod",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the pod."),
    _names("zone_id", "Its zone.", "zone.id"),
    _enabled(),
)
cluster = Table(
    "cluster",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the cluster."),
    _names("zone_id", "Its zone.", "zone.id"),
    _names("pod_id", "Its pod.", "pod.id"),
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
    _enabled(),
    _amount("cpu_mhz", "Physical CPU, in MHz."),
    _amount("memory_mib", "Physical memory, in MiB."),
    _ratio("cpu_overcommit"),
    _ratio("memory_overcommit"),
    _amount("cpu_used_mhz", "Held by VMs, in MHz; kept by triggers."),
    _amount("memory_used_mib", "Held by VMs, in MiB; kept by triggers."),
    *_capacity("host"),
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
    _names("cidr", "Its address block."),
    _names("gateway", "Gateway the guests get."),
    _names("first_ip", "Lowest address given out."),
    _names("last_ip", "Highest address given out."),
    Column("vlan", Integer, comment="VLAN tag, where it has one."),
    _names("account_id", "The only account that may use it; empty: everybody.", "account.id", optional=True),
    Column("is_default", Boolean, nullable=False, comment="Taken when a request names no network."),
    _enabled(),
    UniqueConstraint("zone_id", "vlan", name="network_vlan_once"),
)
offering = Table(
    "offering",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the offering."),
    Column("cpu_cores", Integer, nullable=False, comment="Virtual CPUs."),
    Column("cpu_mhz", Integer, nullable=False, comment="Speed of one, in MHz."),
    Column("memory_mib", Integer, nullable=False, comment="Memory, in MiB."),
    _names("storage", "shared or local: where its disks lie."),
    _names("planner", "Host planner of its VMs; empty: the engine's default.", optional=True),
)
template = Table(
    "template",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the template."),
    Column("size_mib", Integer, nullable=False, comment="Size of a disk made from it, in MiB."),
    _enabled(),
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
