"""The journal tells of places and settings, too: a release before 0.3 that writes them without a row is kept out.

Frozen. No table changes, only what is said of three columns. The rows that tell of the places there are now are written
by the store when this migration is behind it (`engine/store/cloud.py`).
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MACHINE = "vm, nic, volume or operation; cloud: places and settings."
CHANGES = "JSON object: the attributes that changed, with their new values; of the cloud, rows or ids by table."
DETAIL = "JSON object: what was decided on: the input, candidates, effects, outcomes."


def upgrade() -> None:
    """SQLite keeps no comments."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("journal", "machine", comment=MACHINE)
        op.alter_column("journal", "changes", comment=CHANGES)
        op.alter_column("journal", "detail", comment=DETAIL)
