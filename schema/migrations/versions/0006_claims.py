"""Operations that were only asked for are found by an index, and given to workers, which this table names.

Frozen.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WAITING = "state = 'Queued' AND worker_id IS NULL"


def upgrade() -> None:
    """Add the index and the table, empty."""
    op.create_index(
        "operation_waiting", "operation", ["id"], sqlite_where=sa.text(WAITING), postgresql_where=sa.text(WAITING)
    )
    op.create_table(
        "claim",
        sa.Column("operation_id", sa.Text(), primary_key=True, comment="An operation that was only asked for."),
        sa.Column(
            "worker_id", sa.Text(), nullable=False, comment="The worker that was given it, and has not begun it."
        ),
    )
