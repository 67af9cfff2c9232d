"""An operation's record names its steps, which `step` counts.

Frozen. Operations of earlier releases get no names: which steps those releases had is a fact about their code, kept in
`engine/core/begun.py`, and whoever takes one over writes the names with its first transition. So the journal, which
nobody may change, still gives the very records of the table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STEPS = "JSON array: the names of its steps; empty if a release before 0.3 began it."
STEP = "Last of the steps that was entered, from 0; -1 before the first."


def upgrade() -> None:
    """Add the column; every row there is says that it has no names."""
    op.add_column("operation", sa.Column("steps", sa.Text(), nullable=True, comment=STEPS))
    op.execute("UPDATE operation SET steps = '[]'")
    with op.batch_alter_table("operation") as batch:
        batch.alter_column("steps", nullable=False)
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("operation", "step", comment=STEP)
