"""The first schema: machines, journal, places, workers.

Frozen: it says what release 0.1 made, not what `schema/tables.py` says today; a test compares the two after all
migrations have run.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables, parents before children."""
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
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the account."),
        sa.PrimaryKeyConstraint("id"),
    )


def _driver() -> None:
    op.create_table(
        "driver",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the driver, as its entry point says."),
        sa.Column("options", sa.Text(), nullable=False, comment="JSON object: what it is opened with."),
        sa.PrimaryKeyConstraint("id"),
    )


def _guard() -> None:
    op.create_table(
        "guard",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="Always 1."),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="Of the triggers that are installed."),
        sa.PrimaryKeyConstraint("id"),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="Number of the transition; no gaps.",
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When it was decided."),
        sa.Column("machine", sa.Text(), nullable=False, comment="vm, nic, volume or operation."),
        sa.Column("entity_id", sa.Text(), nullable=False, comment="The entity that moved."),
        sa.Column("vm_id", sa.Text(), nullable=False, comment="The VM it belongs to."),
        sa.Column("version", sa.Integer(), nullable=False, comment="The entity's version after it."),
        sa.Column("event", sa.Text(), nullable=False, comment="What happened."),
        sa.Column("source", sa.Text(), nullable=False, comment="State before; empty for a new entity."),
        sa.Column("destination", sa.Text(), nullable=False, comment="State after."),
        sa.Column("operation_id", sa.Text(), nullable=True, comment="The operation that moved it."),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who asked for that operation."),
        sa.Column("cause", sa.Text(), nullable=True, comment="Why, in words, where the event alone does not say."),
        sa.Column(
            "changes",
            sa.Text(),
            nullable=False,
            comment="JSON object: the attributes that changed, with their new values.",
        ),
        sa.Column("ledger", sa.Text(), nullable=False, comment="JSON array of [thing, where, giver, taker, amount]."),
        sa.Column(
            "detail",
            sa.Text(),
            nullable=True,
            comment="JSON object: what was decided on: candidates, effects, outcomes.",
        ),
        sa.Column(
            "tables",
            sa.Integer(),
            nullable=False,
            comment="Version of the transition tables it was made under.",
        ),
        sa.Column(
            "prev",
            sa.Text(),
            nullable=False,
            comment="Hash of the entity's previous journal row; empty for the first.",
        ),
        sa.Column("hash", sa.Text(), nullable=False, comment="SHA-256 over the previous hash and all other columns."),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("entity_id", "version", name="journal_entity_version"),
    )
    op.create_index("journal_vm", "journal", ["vm_id", "seq"], unique=False)


def _offering() -> None:
    op.create_table(
        "offering",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the offering."),
        sa.Column("cpu_cores", sa.Integer(), nullable=False, comment="Virtual CPUs."),
        sa.Column("cpu_mhz", sa.Integer(), nullable=False, comment="Speed of one, in MHz."),
        sa.Column("memory_mib", sa.Integer(), nullable=False, comment="Memory, in MiB."),
        sa.Column("storage", sa.Text(), nullable=False, comment="shared or local: where its disks lie."),
        sa.Column(
            "planner",
            sa.Text(),
            nullable=True,
            comment="Host planner of its VMs; empty: the engine's default.",
        ),
        sa.PrimaryKeyConstraint("id"),
    )


def _template() -> None:
    op.create_table(
        "template",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the template."),
        sa.Column("size_mib", sa.Integer(), nullable=False, comment="Size of a disk made from it, in MiB."),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it may be used for new VMs."),
        sa.PrimaryKeyConstraint("id"),
    )


def _worker() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.Text(), nullable=False, comment="UUIDv7 of one open engine."),
        sa.Column("machine", sa.Text(), nullable=False, comment="Which machine, boot and process space it runs in."),
        sa.Column("pid", sa.Integer(), nullable=False, comment="Its process."),
        sa.Column(
            "born",
            sa.Text(),
            nullable=False,
            comment="When that process began, as the machine counts: tells it from a later one with the same number.",
        ),
        sa.Column(
            "lease_until",
            sa.BigInteger(),
            nullable=False,
            comment="Its operations may be taken over after this.",
        ),
        sa.PrimaryKeyConstraint("id"),
    )


def _zone() -> None:
    op.create_table(
        "zone",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the zone."),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it may be used for new VMs."),
        sa.PrimaryKeyConstraint("id"),
    )


def _network() -> None:
    op.create_table(
        "network",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the network."),
        sa.Column("zone_id", sa.Text(), nullable=False, comment="Its zone."),
        sa.Column("guru", sa.Text(), nullable=False, comment="Which guru gives addresses."),
        sa.Column("cidr", sa.Text(), nullable=False, comment="Its address block."),
        sa.Column("gateway", sa.Text(), nullable=False, comment="Gateway the guests get."),
        sa.Column("first_ip", sa.Text(), nullable=False, comment="Lowest address given out."),
        sa.Column("last_ip", sa.Text(), nullable=False, comment="Highest address given out."),
        sa.Column("vlan", sa.Integer(), nullable=True, comment="VLAN tag, where it has one."),
        sa.Column(
            "account_id",
            sa.Text(),
            nullable=True,
            comment="The only account that may use it; empty: everybody.",
        ),
        sa.Column("is_default", sa.Boolean(), nullable=False, comment="Taken when a request names no network."),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it may be used for new VMs."),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["zone_id"],
            ["zone.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("zone_id", "vlan", name="network_vlan_once"),
    )


def _pod() -> None:
    op.create_table(
        "pod",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the pod."),
        sa.Column("zone_id", sa.Text(), nullable=False, comment="Its zone."),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it may be used for new VMs."),
        sa.ForeignKeyConstraint(
            ["zone_id"],
            ["zone.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )


def _cluster() -> None:
    op.create_table(
        "cluster",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the cluster."),
        sa.Column("zone_id", sa.Text(), nullable=False, comment="Its zone."),
        sa.Column("pod_id", sa.Text(), nullable=False, comment="Its pod."),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it may be used for new VMs."),
        sa.ForeignKeyConstraint(
            ["pod_id"],
            ["pod.id"],
        ),
        sa.ForeignKeyConstraint(
            ["zone_id"],
            ["zone.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )


def _host() -> None:
    op.create_table(
        "host",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the host."),
        sa.Column("zone_id", sa.Text(), nullable=False, comment="Its zone."),
        sa.Column("pod_id", sa.Text(), nullable=False, comment="Its pod."),
        sa.Column("cluster_id", sa.Text(), nullable=False, comment="Its cluster."),
        sa.Column("driver", sa.Text(), nullable=False, comment="Which driver acts on it."),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it may be used for new VMs."),
        sa.Column("cpu_mhz", sa.BigInteger(), server_default="0", nullable=False, comment="Physical CPU, in MHz."),
        sa.Column(
            "memory_mib",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Physical memory, in MiB.",
        ),
        sa.Column(
            "cpu_overcommit",
            sa.Double(),
            server_default="1",
            nullable=False,
            comment="May be taken this many times over.",
        ),
        sa.Column(
            "memory_overcommit",
            sa.Double(),
            server_default="1",
            nullable=False,
            comment="May be taken this many times over.",
        ),
        sa.Column(
            "cpu_used_mhz",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Held by VMs, in MHz; kept by triggers.",
        ),
        sa.Column(
            "memory_used_mib",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Held by VMs, in MiB; kept by triggers.",
        ),
        sa.CheckConstraint(
            "cpu_used_mhz >= 0 AND cpu_used_mhz <= cpu_mhz * cpu_overcommit", name="host_cpu_within_capacity"
        ),
        sa.CheckConstraint(
            "memory_used_mib >= 0 AND memory_used_mib <= memory_mib * memory_overcommit",
            name="host_memory_within_capacity",
        ),
        sa.ForeignKeyConstraint(
            ["cluster_id"],
            ["cluster.id"],
        ),
        sa.ForeignKeyConstraint(
            ["pod_id"],
            ["pod.id"],
        ),
        sa.ForeignKeyConstraint(
            ["zone_id"],
            ["zone.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )


def _storage_pool() -> None:
    op.create_table(
        "storage_pool",
        sa.Column("id", sa.Text(), nullable=False, comment="Name of the pool."),
        sa.Column("zone_id", sa.Text(), nullable=False, comment="Its zone."),
        sa.Column("scope", sa.Text(), nullable=False, comment="zone, cluster or host: who reaches it."),
        sa.Column("cluster_id", sa.Text(), nullable=True, comment="Its cluster, with scope cluster."),
        sa.Column("host_id", sa.Text(), nullable=True, comment="Its host, with scope host."),
        sa.Column("driver", sa.Text(), nullable=False, comment="Which driver acts on it."),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it may be used for new VMs."),
        sa.Column("size_mib", sa.BigInteger(), server_default="0", nullable=False, comment="Physical size, in MiB."),
        sa.Column(
            "overcommit",
            sa.Double(),
            server_default="1",
            nullable=False,
            comment="May be taken this many times over.",
        ),
        sa.Column(
            "used_mib",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Held by volumes, in MiB; kept by triggers.",
        ),
        sa.CheckConstraint(
            "used_mib >= 0 AND used_mib <= size_mib * overcommit", name="storage_pool_space_within_capacity"
        ),
        sa.ForeignKeyConstraint(
            ["cluster_id"],
            ["cluster.id"],
        ),
        sa.ForeignKeyConstraint(
            ["host_id"],
            ["host.id"],
        ),
        sa.ForeignKeyConstraint(
            ["zone_id"],
            ["zone.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )


def _vm() -> None:
    op.create_table(
        "vm",
        sa.Column("id", sa.Text(), nullable=False, comment="UUIDv7 of the VM; sorts by creation."),
        sa.Column("name", sa.Text(), nullable=False, comment="Host name of the guest."),
        sa.Column(
            "name_scope",
            sa.Text(),
            nullable=False,
            comment="Living VMs have distinct names within one scope.",
        ),
        sa.Column("account_id", sa.Text(), nullable=False, comment="Whose it is."),
        sa.Column("zone_id", sa.Text(), nullable=False, comment="Where it lives."),
        sa.Column("offering_id", sa.Text(), nullable=False, comment="Its size."),
        sa.Column("template_id", sa.Text(), nullable=False, comment="What its root disk was made from."),
        sa.Column("cpu_cores", sa.Integer(), nullable=False, comment="Virtual CPUs."),
        sa.Column(
            "cpu_mhz",
            sa.Integer(),
            nullable=False,
            comment="Cores times speed: what it takes of its host, in MHz.",
        ),
        sa.Column("memory_mib", sa.Integer(), nullable=False, comment="What it takes of its host, in MiB."),
        sa.Column("planner", sa.Text(), nullable=False, comment="Which host planner places it."),
        sa.Column(
            "host_id",
            sa.Text(),
            nullable=True,
            comment="The host whose capacity it holds; empty while it holds none.",
        ),
        sa.Column("last_host_id", sa.Text(), nullable=True, comment="Where it ran last."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When the row was made."),
        sa.Column("state", sa.Text(), nullable=False, comment="State of the machine; see `interlock machines`."),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="When the present state was entered."),
        sa.Column("version", sa.Integer(), nullable=False, comment="Rises by one with each transition."),
        sa.Column("hash", sa.Text(), nullable=False, comment="Hash of the journal row that made this version."),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["host_id"],
            ["host.id"],
        ),
        sa.ForeignKeyConstraint(
            ["offering_id"],
            ["offering.id"],
        ),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["template.id"],
        ),
        sa.ForeignKeyConstraint(
            ["zone_id"],
            ["zone.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("vm_account", "vm", ["account_id", "id"], unique=False)
    op.create_index("vm_host", "vm", ["host_id", "account_id"], unique=False)
    op.create_index("vm_name", "vm", ["name", "id"], unique=False)
    op.create_index(
        "vm_name_once",
        "vm",
        ["name_scope", "name"],
        unique=True,
        sqlite_where=sa.text("state NOT IN ('Error', 'Expunging', 'Expunged')"),
        postgresql_where=sa.text("state NOT IN ('Error', 'Expunging', 'Expunged')"),
    )
    op.create_index("vm_state", "vm", ["state", "id"], unique=False)


def _nic() -> None:
    op.create_table(
        "nic",
        sa.Column("id", sa.Text(), nullable=False, comment="UUIDv7 of the NIC."),
        sa.Column("vm_id", sa.Text(), nullable=False, comment="The VM it belongs to."),
        sa.Column("network_id", sa.Text(), nullable=False, comment="The network it is on."),
        sa.Column("device", sa.Integer(), nullable=False, comment="Its number in the VM, from 0."),
        sa.Column(
            "is_default",
            sa.Boolean(),
            nullable=False,
            comment="Whether the guest's default route goes through it.",
        ),
        sa.Column("ip_address", sa.Text(), nullable=True, comment="IPv4 address it owns; empty once Deallocated."),
        sa.Column("mac_address", sa.Text(), nullable=True, comment="MAC address it owns; empty once Deallocated."),
        sa.Column("gateway", sa.Text(), nullable=True, comment="Gateway of its network."),
        sa.Column("netmask", sa.Text(), nullable=True, comment="Netmask of its network."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When the row was made."),
        sa.Column("state", sa.Text(), nullable=False, comment="State of the machine; see `interlock machines`."),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="When the present state was entered."),
        sa.Column("version", sa.Integer(), nullable=False, comment="Rises by one with each transition."),
        sa.Column("hash", sa.Text(), nullable=False, comment="Hash of the journal row that made this version."),
        sa.ForeignKeyConstraint(
            ["network_id"],
            ["network.id"],
        ),
        sa.ForeignKeyConstraint(
            ["vm_id"],
            ["vm.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("nic_ip_once", "nic", ["network_id", "ip_address"], unique=True)
    op.create_index("nic_mac_once", "nic", ["mac_address"], unique=True)
    op.create_index("nic_vm", "nic", ["vm_id"], unique=False)


def _operation() -> None:
    op.create_table(
        "operation",
        sa.Column("id", sa.Text(), nullable=False, comment="UUIDv7 of the operation."),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="deploy, start, stop, reboot, destroy, recover or expunge.",
        ),
        sa.Column("vm_id", sa.Text(), nullable=False, comment="The VM it drives."),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who asked."),
        sa.Column(
            "request",
            sa.Text(),
            nullable=False,
            comment="What was asked: JSON object of the request's fields.",
        ),
        sa.Column("step", sa.Integer(), nullable=False, comment="Last step entered, from 0; -1 before the first."),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="Which placement this is, from 1."),
        sa.Column("tries", sa.Integer(), nullable=False, comment="Failed tries of the present step's effects."),
        sa.Column("wake_at", sa.BigInteger(), nullable=True, comment="When a waiting operation goes on."),
        sa.Column(
            "made",
            sa.Text(),
            nullable=False,
            comment="JSON array: volumes this operation created, which its undo deletes.",
        ),
        sa.Column(
            "avoid",
            sa.Text(),
            nullable=False,
            comment="JSON array: the avoid set, each with scope, id, cause and expiry.",
        ),
        sa.Column("then", sa.Text(), nullable=True, comment="What follows the undo: replan, failed or cancelled."),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it failed, is being undone or is stuck."),
        sa.Column(
            "reasons",
            sa.Text(),
            nullable=False,
            comment="JSON array: each candidate for a place, and why not.",
        ),
        sa.Column("worker_id", sa.Text(), nullable=True, comment="The worker that drives it."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When the row was made."),
        sa.Column("state", sa.Text(), nullable=False, comment="State of the machine; see `interlock machines`."),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="When the present state was entered."),
        sa.Column("version", sa.Integer(), nullable=False, comment="Rises by one with each transition."),
        sa.Column("hash", sa.Text(), nullable=False, comment="Hash of the journal row that made this version."),
        sa.ForeignKeyConstraint(
            ["vm_id"],
            ["vm.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "operation_active_once",
        "operation",
        ["vm_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('Queued', 'Running', 'Retrying', 'Undoing', 'Stuck')"),
        postgresql_where=sa.text("state IN ('Queued', 'Running', 'Retrying', 'Undoing', 'Stuck')"),
    )
    op.create_index(
        "operation_driven",
        "operation",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state IN ('Queued', 'Running', 'Retrying', 'Undoing')"),
        postgresql_where=sa.text("state IN ('Queued', 'Running', 'Retrying', 'Undoing')"),
    )
    op.create_index("operation_vm", "operation", ["vm_id", "id"], unique=False)


def _volume() -> None:
    op.create_table(
        "volume",
        sa.Column("id", sa.Text(), nullable=False, comment="UUIDv7 of the volume."),
        sa.Column("vm_id", sa.Text(), nullable=False, comment="The VM it belongs to."),
        sa.Column("name", sa.Text(), nullable=False, comment="ROOT-<vm> or DATA-<vm>-<device>."),
        sa.Column("kind", sa.Text(), nullable=False, comment="ROOT or DATA."),
        sa.Column("device", sa.Integer(), nullable=False, comment="Its number in the VM; 0 is the root disk."),
        sa.Column(
            "size_mib",
            sa.Integer(),
            nullable=False,
            comment="Its size, and what it takes of its pool, in MiB.",
        ),
        sa.Column("template_id", sa.Text(), nullable=True, comment="What it is made from; empty for a blank disk."),
        sa.Column("storage", sa.Text(), nullable=False, comment="shared or local: which pools may hold it."),
        sa.Column(
            "pool_id",
            sa.Text(),
            nullable=True,
            comment="The pool whose space it holds; empty while it holds none.",
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When the row was made."),
        sa.Column("state", sa.Text(), nullable=False, comment="State of the machine; see `interlock machines`."),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="When the present state was entered."),
        sa.Column("version", sa.Integer(), nullable=False, comment="Rises by one with each transition."),
        sa.Column("hash", sa.Text(), nullable=False, comment="Hash of the journal row that made this version."),
        sa.ForeignKeyConstraint(
            ["pool_id"],
            ["storage_pool.id"],
        ),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["template.id"],
        ),
        sa.ForeignKeyConstraint(
            ["vm_id"],
            ["vm.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("volume_pool", "volume", ["pool_id"], unique=False)
    op.create_index("volume_vm", "volume", ["vm_id"], unique=False)
