"""The tables of what moves: VMs, NICs, volumes, and the operations that move them.

Their columns are the fields of the records in `schema/records.py`; those that all four have are the machines' own.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, Table, Text

from interlock.schema.operation import ACTIVE, DRIVEN
from interlock.schema.tables.columns import Micros, listed, machine_columns, metadata, names, quoted, where

OVER = ("Destroyed", "Expunged")
"""The states of VMs that wait to be expunged, or archived: those that have waited longest are found by an index."""
UNHAPPY = ("Stuck", "Failed", "Cancelled")
"""The states of operations that did not do what was asked: few, and looked for."""
WAITING = "operation.state = 'Queued' AND operation.worker_id IS NULL"
"""Of an operation that was only asked for: nobody drives it yet."""

vm = Table(
    "vm",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the VM; sorts by creation."),
    listed("name", "Host name of the guest."),
    names("name_scope", "Living VMs have distinct names within one scope."),
    names("display_name", "What its owner calls it.", optional=True),
    names("instance_name", "What the hypervisor calls it: i-<account>-<vm>-<suffix>."),
    names("account_id", "Whose it is.", "account.id"),
    names(
        "charged_to",
        "The account whose VM, core and memory limits it counts against; empty once Destroyed.",
        "account.id",
        optional=True,
    ),
    names("zone_id", "Where it lives.", "zone.id"),
    names("offering_id", "Its size.", "offering.id"),
    names("template_id", "What its root disk was made from, or the ISO it boots.", "template.id"),
    names("hypervisor", "The only hypervisor it runs on; empty: any.", optional=True),
    Column("cpu_cores", Integer, nullable=False, comment="Virtual CPUs."),
    Column("cpu_mhz", Integer, nullable=False, comment="Cores times speed: what the guest sees, in MHz."),
    Column("memory_mib", Integer, nullable=False, comment="What the guest sees, in MiB."),
    Column("own_cpu_overcommit", Double, comment="Overcommit ratio of its own; empty: its host's."),
    Column("own_memory_overcommit", Double, comment="Overcommit ratio of its own; empty: its host's."),
    Column("cpu_held_mhz", Integer, nullable=False, comment="What it takes of its host: CPU over the ratio, in MHz."),
    Column("memory_held_mib", Integer, nullable=False, comment="What it takes of its host, in MiB."),
    names("planner", "Which host planner places it."),
    names("host_id", "The host whose capacity it holds; empty while it holds none.", "host.id", optional=True),
    names("target_host_id", "Where it migrates to, and holds capacity as well.", "host.id", optional=True),
    names("last_host_id", "Where it ran last.", optional=True),
    names("affinity_groups", "JSON array: the affinity groups it is in."),
    names("security_groups", "JSON array: the security groups it is in."),
    Column("rules_told", Integer, nullable=False, comment="Highest version of security groups its host was told."),
    names("user_data", "Base64 of what the guest is given.", optional=True),
    names("ssh_keys", "JSON array: public keys the guest is given."),
    names("details", "JSON object: handed to the driver."),
    names("tags", "JSON object: its owner's labels."),
    *machine_columns(),
    Index("vm_host", "host_id", "account_id", "planner", "affinity_groups"),
    Index(
        "vm_target",
        "target_host_id",
        "account_id",
        "planner",
        "affinity_groups",
        **where("target_host_id IS NOT NULL"),
    ),
    Index("vm_state", "state", "id"),
    Index("vm_over", "state", "since", **where(f"state IN ({quoted(OVER)})")),
    Index("vm_account", "account_id", "id"),
    Index(
        "vm_name_once",
        "name_scope",
        "name",
        unique=True,
        **where("state NOT IN ('Error', 'Expunging', 'Expunged')"),
    ),
    Index("vm_name", "name", "id"),
)

nic = Table(
    "nic",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the NIC."),
    names("vm_id", "The VM it belongs to.", "vm.id"),
    names("network_id", "The network it is on.", "network.id"),
    Column("device", Integer, nullable=False, comment="Its number in the VM, from 0."),
    Column("is_default", Boolean, nullable=False, comment="Whether the guest's default route goes through it."),
    names("wished_ip", "IPv4 address that was asked for.", optional=True),
    names("ip_address", "IPv4 address it owns; empty once Deallocated.", optional=True),
    names("ip6_address", "IPv6 address it owns; empty once Deallocated.", optional=True),
    names("mac_address", "MAC address it owns; empty once Deallocated.", optional=True),
    names("gateway", "Gateway of its network.", optional=True),
    names("netmask", "Netmask of its network.", optional=True),
    names("host_name", "The VM's name, where it must be distinct in the network.", optional=True),
    names(
        "charged_to",
        "The account whose limit of public addresses it counts against.",
        "account.id",
        optional=True,
    ),
    *machine_columns(),
    Index("nic_vm", "vm_id"),
    Index("nic_network", "network_id", "vm_id"),
)

volume = Table(
    "volume",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the volume."),
    names("vm_id", "The VM it is attached to.", "vm.id", optional=True),
    names("account_id", "Whose it is.", "account.id"),
    names(
        "charged_to",
        "The account whose limits of volumes and storage it counts against; empty once Expunged.",
        "account.id",
        optional=True,
    ),
    names("zone_id", "Where it lives.", "zone.id"),
    listed("name", "ROOT-<vm>, DATA-<vm>-<device>, or what its owner calls it."),
    names("kind", "ROOT or DATA."),
    Column("device", Integer, comment="Its number in the VM; 0 is the root disk."),
    Column("size_mib", Integer, nullable=False, comment="Its size, and what it takes of its pool, in MiB."),
    names("offering_id", "Its disk offering, if it has one.", "disk_offering.id", optional=True),
    names("template_id", "What it is made from; empty for a blank disk.", "template.id", optional=True),
    names("storage", "shared or local: which pools may hold it."),
    names("storage_tags", "JSON array: tags that its pool must have."),
    names("clone", "How it was made from its template: full or linked.", optional=True),
    names(
        "pool_id",
        "The pool whose space it holds; empty while it holds none.",
        "storage_pool.id",
        optional=True,
    ),
    *machine_columns(),
    Index("volume_vm", "vm_id", "id"),
    Index("volume_pool", "pool_id", "id"),
    Index("volume_over", "vm_id", "since", **where("vm_id IS NULL AND state = 'Expunged'")),
    Index("volume_account", "account_id", "id"),
    Index("volume_name", "name", "id"),
)

operation = Table(
    "operation",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of the operation."),
    names("kind", "What it does: deploy, start, stop, …."),
    names("vm_id", "The VM it drives.", "vm.id", optional=True),
    names("volume_id", "The volume it is about.", "volume.id", optional=True),
    names("actor", "Who asked."),
    names("caller_id", "The account on whose rights; empty: the operator's.", optional=True),
    names("request", "What was asked: JSON object of the request's fields."),
    names("steps", "JSON array: the names of its steps; empty if a release before 0.3 began it."),
    Column("step", Integer, nullable=False, comment="Last of the steps that was entered, from 0; -1 before the first."),
    Column("attempt", Integer, nullable=False, comment="Which placement this is, from 1."),
    Column("tries", Integer, nullable=False, comment="Failed tries of the present step's effects."),
    Column("wake_at", Micros, comment="When a waiting operation goes on."),
    names("made", "JSON array: volumes this operation created, which its undo deletes."),
    names("kept", "JSON object: what a step replaced, which its undo puts back."),
    names("avoid", "JSON array: the avoid set, each with scope, id, cause and expiry."),
    names("then", "What follows the undo: replan, failed or cancelled.", optional=True),
    names("error", "Why it failed, is being undone or is stuck.", optional=True),
    names("reasons", "JSON array: each candidate for a place, and why not."),
    names("worker_id", "The worker that drives it.", optional=True),
    *machine_columns(),
    Index(
        "operation_active_once",
        "vm_id",
        unique=True,
        **where(f"state IN ({quoted(ACTIVE)})"),
    ),
    Index(
        "operation_driven",
        "id",
        **where(f"state IN ({quoted(DRIVEN)})"),
    ),
    Index(
        "operation_volume_once",
        "volume_id",
        unique=True,
        **where(f"state IN ({quoted(ACTIVE)})"),
    ),
    Index(
        "operation_waiting",
        "id",
        **where(WAITING.replace("operation.", "")),
    ),
    Index("operation_vm", "vm_id", "id"),
    Index("operation_unhappy", "state", "id", **where(f"state IN ({quoted(UNHAPPY)})")),
    Index("operation_over", "vm_id", "since", **where("vm_id IS NULL AND volume_id IS NULL")),
    Index(
        "operation_volume",
        "volume_id",
        **where("volume_id IS NOT NULL"),
    ),
)
