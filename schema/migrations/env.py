"""Alembic's entry: runs the migrations on the connection that the store hands in."""

from __future__ import annotations

from alembic import context

from interlock.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
