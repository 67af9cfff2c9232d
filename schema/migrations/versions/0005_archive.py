"""Journal rows of VMs that have ended may leave for a file, which this table names.

Frozen.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two tables, empty, and an index by which a disk's operations are found."""
    op.create_index(
        "operation_volume",
        "operation",
        ["volume_id"],
        sqlite_where=sa.text("volume_id IS NOT NULL"),
        postgresql_where=sa.text("volume_id IS NOT NULL"),
    )
    op.create_table(
        "archive",
        sa.Column("id", sa.Text(), primary_key=True, comment="Name of the file."),
        sa.Column("folder", sa.Text(), nullable=False, comment="Where it was written."),
        sa.Column(
            "count",
            sa.BigInteger(),
            nullable=False,
            comment="Journal rows that are there, and not in `journal` any more.",
        ),
        sa.Column("first", sa.BigInteger(), nullable=False, comment="Number of the first of them."),
        sa.Column("last", sa.BigInteger(), nullable=False, comment="Number of the last of them."),
        sa.Column(
            "root",
            sa.Text(),
            nullable=False,
            comment="SHA-256 over the numbers and hashes of these rows: what the file must give.",
        ),
        sa.Column("archived_at", sa.BigInteger(), nullable=False, comment="When they left."),
    )
    op.create_table(
        "archiving",
        sa.Column(
            "entity_id",
            sa.Text(),
            primary_key=True,
            comment="An entity whose rows leave; only during that transaction.",
        ),
        sa.Column("archive_id", sa.Text(), sa.ForeignKey("archive.id"), nullable=False, comment="Where to."),
    )
