"""Alembic's migrations: the tables only. Guards are derived from the machine tables and installed after them."""
