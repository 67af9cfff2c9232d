"""Interim."""

from __future__ import annotations

from alembic import op

from interlock.schema.tables import metadata

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Interim."""
    bind = op.get_bind()
    metadata.drop_all(bind)
    metadata.create_all(bind)
