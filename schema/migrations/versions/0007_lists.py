"""Lists and counts that cost the same however much there is: indexes in the order of pages, and counts of states.

Frozen. On PostgreSQL names are compared byte by byte from here on, so that an index finds them by how they begin.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

REPLACED = {
    "vm_host": ("vm", ["host_id", "account_id", "planner", "affinity_groups"]),
    "vm_state": ("vm", ["state", "id"]),
    "volume_vm": ("volume", ["vm_id", "id"]),
    "volume_pool": ("volume", ["pool_id", "id"]),
}
NEW = {
    "host_cluster": ("host", ["cluster_id", "id"], None),
    "nic_network": ("nic", ["network_id", "vm_id"], None),
    "vm_target": ("vm", ["target_host_id", "account_id", "planner", "affinity_groups"], "target_host_id IS NOT NULL"),
    "vm_over": ("vm", ["state", "since"], "state IN ('Destroyed', 'Expunged')"),
    "volume_over": ("volume", ["vm_id", "since"], "vm_id IS NULL AND state = 'Expunged'"),
    "operation_unhappy": ("operation", ["state", "id"], "state IN ('Stuck', 'Failed', 'Cancelled')"),
    "operation_over": ("operation", ["vm_id", "since"], "vm_id IS NULL AND volume_id IS NULL"),
}
NAMES = ("vm", "volume")
STAYED = "'Running', 'Stopped', 'Destroyed', 'Error', 'Unknown', 'Expunged'"


def upgrade() -> None:
    """Nothing is lost: the counts are of what is there now."""
    if op.get_bind().dialect.name == "postgresql":
        for table in NAMES:
            op.alter_column(table, "name", type_=TEXT(collation="C"), existing_nullable=False)
    for name, (table, columns) in REPLACED.items():
        op.drop_index(name, table)
        op.create_index(name, table, columns)
    for name, (table, columns, where) in NEW.items():
        among = None if where is None else sa.text(where)
        op.create_index(name, table, columns, sqlite_where=among, postgresql_where=among)
    _count()


def _count() -> None:
    op.create_table(
        "vm_tally",
        sa.Column("scope", sa.Text(), primary_key=True, comment="zone or account: by what is counted."),
        sa.Column("place_id", sa.Text(), primary_key=True, comment="Which zone or account."),
        sa.Column("state", sa.Text(), primary_key=True, comment="A state in which VMs stay."),
        sa.Column(
            "count",
            sa.BigInteger(),
            nullable=False,
            comment="How many VMs are in it; kept by triggers. None: no row.",
        ),
        sa.CheckConstraint("count > 0", name="vm_tally_of_some"),
        sqlite_with_rowid=False,
    )
    for scope in ("zone", "account"):
        op.execute(
            f"INSERT INTO vm_tally SELECT '{scope}', {scope}_id, state, count(*) FROM vm"
            f" WHERE state IN ({STAYED}) GROUP BY {scope}_id, state"
        )
