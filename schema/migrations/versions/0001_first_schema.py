"""The first schema: machines, journal, places, workers.

Frozen: it says what release 0.1 made, not what `schema/tables/` says today; a test compares the two after all
migrations have run. The helpers below only keep the lines short.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Column = sa.Column[Any]


def _column(name: str, kind: Any, comment: str, **more: Any) -> Column:
    return sa.Column(name, kind, **{"nullable": False, **more}, comment=comment)


def _text(name: str, comment: str, **more: Any) -> Column:
    return _column(name, sa.Text(), comment, **more)


def _integer(name: str, comment: str, **more: Any) -> Column:
    return _column(name, sa.Integer(), comment, **more)


def _big(name: str, comment: str, **more: Any) -> Column:
    return _column(name, sa.BigInteger(), comment, **more)


def _boolean(name: str, comment: str) -> Column:
    return _column(name, sa.Boolean(), comment)


def _ratio(name: str, comment: str) -> Column:
    return _column(name, sa.Double(), comment, server_default="1")


def _key(*columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns)


def _refers(column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target])


def _index(name: str, table: str, columns: list[str], *, unique: bool = False, where: str | None = None) -> None:
    partial: dict[str, Any] = (
        {} if where is None else {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
    )
    op.create_index(name, table, columns, unique=unique, **partial)


def upgrade() -> None:
    """Make all tables, those that others refer to first."""
    _account()
    _driver()
    _guard()
    _journal()
    _offering()
    _template()
    _worker()
    _zone()
    _network()
    _pod()
    _cluster()
    _host()
    _storage_pool()
    _vm()
    _nic()
    _operation()
    _volume()


def _account() -> None:
    op.create_table(
        "account",
        _text("id", "Name of the account."),
        _key("id"),
    )


def _driver() -> None:
    op.create_table(
        "driver",
        _text("id", "Name of the driver, as its entry point says."),
        _text("options", "JSON object: what it is opened with."),
        _key("id"),
    )


def _guard() -> None:
    op.create_table(
        "guard",
        _integer("id", "Always 1.", autoincrement=False),
        _text("fingerprint", "Of the triggers that are installed."),
        _key("id"),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        _column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            "Number of the transition; no gaps.",
            autoincrement=False,
        ),
        _big("at", "When it was decided."),
        _text("machine", "vm, nic, volume or operation."),
        _text("entity_id", "The entity that moved."),
        _text("vm_id", "The VM it belongs to."),
        _integer("version", "The entity's version after it."),
        _text("event", "What happened."),
        _text("source", "State before; empty for a new entity."),
        _text("destination", "State after."),
        _text("operation_id", "The operation that moved it.", nullable=True),
        _text("actor", "Who asked for that operation."),
        _text("cause", "Why, in words, where the event alone does not say.", nullable=True),
        _text("changes", "JSON object: the attributes that changed, with their new values."),
        _text("ledger", "JSON array of [thing, where, giver, taker, amount]."),
        _text("detail", "JSON object: what was decided on: candidates, effects, outcomes.", nullable=True),
        _integer("tables", "Version of the transition tables it was made under."),
        _text("prev", "Hash of the entity's previous journal row; empty for the first."),
        _text("hash", "SHA-256 over the previous hash and all other columns."),
        _key("seq"),
        sa.UniqueConstraint("entity_id", "version", name="journal_entity_version"),
    )
    _index("journal_vm", "journal", ["vm_id", "seq"])


def _offering() -> None:
    op.create_table(
        "offering",
        _text("id", "Name of the offering."),
        _integer("cpu_cores", "Virtual CPUs."),
        _integer("cpu_mhz", "Speed of one, in MHz."),
        _integer("memory_mib", "Memory, in MiB."),
        _text("storage", "shared or local: where its disks lie."),
        _text("planner", "Host planner of its VMs; empty: the engine's default.", nullable=True),
        _key("id"),
    )


def _template() -> None:
    op.create_table(
        "template",
        _text("id", "Name of the template."),
        _integer("size_mib", "Size of a disk made from it, in MiB."),
        _boolean("enabled", "Whether VMs may be deployed or started there."),
        _key("id"),
    )


def _worker() -> None:
    op.create_table(
        "worker",
        _text("id", "UUIDv7 of one open engine."),
        _text("machine", "Which machine, boot and process space it runs in."),
        _integer("pid", "Its process."),
        _text(
            "born", "When that process began, as the machine counts: tells it from a later one with the same number."
        ),
        _big("lease_until", "Its operations may be taken over after this."),
        _key("id"),
    )


def _zone() -> None:
    op.create_table(
        "zone",
        _text("id", "Name of the zone."),
        _boolean("enabled", "Whether VMs may be deployed or started there."),
        _key("id"),
    )


def _network() -> None:
    op.create_table(
        "network",
        _text("id", "Name of the network."),
        _text("zone_id", "Its zone."),
        _text("guru", "Which guru gives addresses."),
        _text("cidr", "Its address block."),
        _text("gateway", "Gateway the guests get."),
        _text("first_ip", "Lowest address given out."),
        _text("last_ip", "Highest address given out."),
        _integer("vlan", "VLAN tag, where it has one.", nullable=True),
        _text("account_id", "The only account that may use it; empty: everybody.", nullable=True),
        _boolean("is_default", "Taken when a request names no network."),
        _boolean("enabled", "Whether VMs may be deployed or started there."),
        _refers("zone_id", "zone.id"),
        _refers("account_id", "account.id"),
        _key("id"),
        sa.UniqueConstraint("zone_id", "vlan", name="network_vlan_once"),
    )


def _pod() -> None:
    op.create_table(
        "pod",
        _text("id", "Name of the pod."),
        _text("zone_id", "Its zone."),
        _boolean("enabled", "Whether VMs may be deployed or started there."),
        _refers("zone_id", "zone.id"),
        _key("id"),
    )


def _cluster() -> None:
    op.create_table(
        "cluster",
        _text("id", "Name of the cluster."),
        _text("zone_id", "Its zone."),
        _text("pod_id", "Its pod."),
        _boolean("enabled", "Whether VMs may be deployed or started there."),
        _refers("zone_id", "zone.id"),
        _refers("pod_id", "pod.id"),
        _key("id"),
    )


def _host() -> None:
    op.create_table(
        "host",
        _text("id", "Name of the host."),
        _text("zone_id", "Its zone."),
        _text("pod_id", "Its pod."),
        _text("cluster_id", "Its cluster."),
        _text("driver", "Which driver acts on it."),
        _boolean("enabled", "Whether VMs may be deployed or started there."),
        _big("cpu_mhz", "Physical CPU, in MHz.", server_default="0"),
        _big("memory_mib", "Physical memory, in MiB.", server_default="0"),
        _ratio("cpu_overcommit", "May be taken this many times over."),
        _ratio("memory_overcommit", "May be taken this many times over."),
        _big("cpu_used_mhz", "Held by VMs, in MHz; kept by triggers.", server_default="0"),
        _big("memory_used_mib", "Held by VMs, in MiB; kept by triggers.", server_default="0"),
        sa.CheckConstraint(
            "cpu_used_mhz >= 0 AND cpu_used_mhz <= cpu_mhz * cpu_overcommit", name="host_cpu_within_capacity"
        ),
        sa.CheckConstraint(
            "memory_used_mib >= 0 AND memory_used_mib <= memory_mib * memory_overcommit",
            name="host_memory_within_capacity",
        ),
        _refers("zone_id", "zone.id"),
        _refers("pod_id", "pod.id"),
        _refers("cluster_id", "cluster.id"),
        _key("id"),
    )


def _storage_pool() -> None:
    op.create_table(
        "storage_pool",
        _text("id", "Name of the pool."),
        _text("zone_id", "Its zone."),
        _text("scope", "zone, cluster or host: who reaches it."),
        _text("cluster_id", "Its cluster, with scope cluster.", nullable=True),
        _text("host_id", "Its host, with scope host.", nullable=True),
        _text("driver", "Which driver acts on it."),
        _boolean("enabled", "Whether VMs may be deployed or started there."),
        _big("size_mib", "Physical size, in MiB.", server_default="0"),
        _ratio("overcommit", "May be taken this many times over."),
        _big("used_mib", "Held by volumes, in MiB; kept by triggers.", server_default="0"),
        sa.CheckConstraint(
            "used_mib >= 0 AND used_mib <= size_mib * overcommit", name="storage_pool_space_within_capacity"
        ),
        _refers("zone_id", "zone.id"),
        _refers("cluster_id", "cluster.id"),
        _refers("host_id", "host.id"),
        _key("id"),
    )


def _vm() -> None:
    op.create_table(
        "vm",
        _text("id", "UUIDv7 of the VM; sorts by creation."),
        _text("name", "Host name of the guest."),
        _text("name_scope", "Living VMs have distinct names within one scope."),
        _text("account_id", "Whose it is."),
        _text("zone_id", "Where it lives."),
        _text("offering_id", "Its size."),
        _text("template_id", "What its root disk was made from."),
        _integer("cpu_cores", "Virtual CPUs."),
        _integer("cpu_mhz", "Cores times speed: what it takes of its host, in MHz."),
        _integer("memory_mib", "What it takes of its host, in MiB."),
        _text("planner", "Which host planner places it."),
        _text("host_id", "The host whose capacity it holds; empty while it holds none.", nullable=True),
        _text("last_host_id", "Where it ran last.", nullable=True),
        _big("created_at", "When the row was made."),
        _text("state", "State of the machine; see `interlock machines`."),
        _big("since", "When the present state was entered."),
        _integer("version", "Rises by one with each transition."),
        _text("hash", "Hash of the journal row that made this version."),
        _refers("account_id", "account.id"),
        _refers("zone_id", "zone.id"),
        _refers("offering_id", "offering.id"),
        _refers("template_id", "template.id"),
        _refers("host_id", "host.id"),
        _key("id"),
    )
    _index("vm_account", "vm", ["account_id", "id"])
    _index("vm_host", "vm", ["host_id", "account_id"])
    _index("vm_name", "vm", ["name", "id"])
    _index(
        "vm_name_once",
        "vm",
        ["name_scope", "name"],
        unique=True,
        where="state NOT IN ('Error', 'Expunging', 'Expunged')",
    )
    _index("vm_state", "vm", ["state", "id"])


def _nic() -> None:
    op.create_table(
        "nic",
        _text("id", "UUIDv7 of the NIC."),
        _text("vm_id", "The VM it belongs to."),
        _text("network_id", "The network it is on."),
        _integer("device", "Its number in the VM, from 0."),
        _boolean("is_default", "Whether the guest's default route goes through it."),
        _text("ip_address", "IPv4 address it owns; empty once Deallocated.", nullable=True),
        _text("mac_address", "MAC address it owns; empty once Deallocated.", nullable=True),
        _text("gateway", "Gateway of its network.", nullable=True),
        _text("netmask", "Netmask of its network.", nullable=True),
        _big("created_at", "When the row was made."),
        _text("state", "State of the machine; see `interlock machines`."),
        _big("since", "When the present state was entered."),
        _integer("version", "Rises by one with each transition."),
        _text("hash", "Hash of the journal row that made this version."),
        _refers("vm_id", "vm.id"),
        _refers("network_id", "network.id"),
        _key("id"),
    )
    _index("nic_ip_once", "nic", ["network_id", "ip_address"], unique=True)
    _index("nic_mac_once", "nic", ["mac_address"], unique=True)
    _index("nic_vm", "nic", ["vm_id"])


def _operation() -> None:
    op.create_table(
        "operation",
        _text("id", "UUIDv7 of the operation."),
        _text("kind", "deploy, start, stop, reboot, destroy, recover or expunge."),
        _text("vm_id", "The VM it drives."),
        _text("actor", "Who asked."),
        _text("request", "What was asked: JSON object of the request's fields."),
        _integer("step", "Last step entered, from 0; -1 before the first."),
        _integer("attempt", "Which placement this is, from 1."),
        _integer("tries", "Failed tries of the present step's effects."),
        _big("wake_at", "When a waiting operation goes on.", nullable=True),
        _text("made", "JSON array: volumes this operation created, which its undo deletes."),
        _text("avoid", "JSON array: the avoid set, each with scope, id, cause and expiry."),
        _text("then", "What follows the undo: replan, failed or cancelled.", nullable=True),
        _text("error", "Why it failed, is being undone or is stuck.", nullable=True),
        _text("reasons", "JSON array: each candidate for a place, and why not."),
        _text("worker_id", "The worker that drives it.", nullable=True),
        _big("created_at", "When the row was made."),
        _text("state", "State of the machine; see `interlock machines`."),
        _big("since", "When the present state was entered."),
        _integer("version", "Rises by one with each transition."),
        _text("hash", "Hash of the journal row that made this version."),
        _refers("vm_id", "vm.id"),
        _key("id"),
    )
    _index(
        "operation_active_once",
        "operation",
        ["vm_id"],
        unique=True,
        where="state IN ('Queued', 'Running', 'Retrying', 'Undoing', 'Stuck')",
    )
    _index("operation_driven", "operation", ["id"], where="state IN ('Queued', 'Running', 'Retrying', 'Undoing')")
    _index("operation_vm", "operation", ["vm_id", "id"])


def _volume() -> None:
    op.create_table(
        "volume",
        _text("id", "UUIDv7 of the volume."),
        _text("vm_id", "The VM it belongs to."),
        _text("name", "ROOT-<vm> or DATA-<vm>-<device>."),
        _text("kind", "ROOT or DATA."),
        _integer("device", "Its number in the VM; 0 is the root disk."),
        _integer("size_mib", "Its size, and what it takes of its pool, in MiB."),
        _text("template_id", "What it is made from; empty for a blank disk.", nullable=True),
        _text("storage", "shared or local: which pools may hold it."),
        _text("pool_id", "The pool whose space it holds; empty while it holds none.", nullable=True),
        _big("created_at", "When the row was made."),
        _text("state", "State of the machine; see `interlock machines`."),
        _big("since", "When the present state was entered."),
        _integer("version", "Rises by one with each transition."),
        _text("hash", "Hash of the journal row that made this version."),
        _refers("vm_id", "vm.id"),
        _refers("template_id", "template.id"),
        _refers("pool_id", "storage_pool.id"),
        _key("id"),
    )
    _index("volume_pool", "volume", ["pool_id"])
    _index("volume_vm", "volume", ["vm_id"])
