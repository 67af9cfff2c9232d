"""The statements of the commit path: built and compiled by SQLAlchemy once per dialect, run on the bare driver.

Each is its text and the order of its parameters. SQLAlchemy's own execution would cost a thread hop per statement
on SQLite (measured: 300 commits/s instead of thousands).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from sqlalchemy import Dialect, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

from interlock.schema.records import CHANGEABLE, MOVED, USUAL
from interlock.schema.tables import metadata
from interlock.schema.tables.cloud import security_group
from interlock.schema.tables.history import journal
from interlock.schema.transition import CLOUD

ENTITY_TABLES = ("vm", "nic", "volume", "operation")
INSERT_ORDER = ENTITY_TABLES
"""A VM before what belongs to it: foreign keys."""
UPDATE_ORDER = ("nic", "volume", "vm", "operation")
"""Children before their VM: interlocks on a VM see its NICs and volumes as they will be."""


class Statement(msgspec.Struct, frozen=True):
    """Compiled SQL. `order`: which column each parameter is."""

    sql: str
    order: tuple[str, ...]
    table: str = ""
    """What it writes; with the next two, so that the same can be said of many rows at once (`setwise.py`)."""
    key: str = ""
    """Of an update: the column by which it finds its row, the last parameter."""
    unless: str = ""
    """Of an insert: when it is no error that the row is there."""


class Statements(msgspec.Struct, frozen=True):
    """All statements of the commit path for one dialect."""

    head: Statement
    journal: Statement
    inserts: dict[str, Statement]
    updates: dict[str, Statement]
    """Of what the usual transition changes."""
    rewrites: dict[str, Statement]
    """Of all that a transition may change."""
    group: Statement
    """Of a security group that a request made, unless somebody was faster."""
    cloud_version: Statement
    """Of the cloud's last journal row; nothing if it has none."""
    cloud_hash: Statement


def statements(dialect: str) -> Statements:
    """Compile them.

    Args:
        dialect: sqlite or postgresql.
    """
    spoken = _dialect(dialect)
    return Statements(
        head=_compiled(select(func.coalesce(func.max(journal.c.seq), 0)), spoken),
        journal=_compiled(insert(journal), spoken, journal.name),
        inserts={name: _compiled(insert(metadata.tables[name]), spoken, name) for name in INSERT_ORDER},
        updates={name: _compiled(_update(name, USUAL), spoken, name, key="id") for name in UPDATE_ORDER},
        rewrites={name: _compiled(_update(name, CHANGEABLE), spoken, name, key="id") for name in UPDATE_ORDER},
        group=_compiled(_unless_there(dialect), spoken, security_group.name, unless="ON CONFLICT DO NOTHING"),
        cloud_version=_compiled(_last_of_cloud("version"), spoken),
        cloud_hash=_compiled(_last_of_cloud("hash"), spoken),
    )


def _last_of_cloud(column: str) -> ClauseElement:
    rows = select(journal.c[column]).where(journal.c.entity_id == CLOUD)
    return rows.order_by(journal.c.version.desc()).limit(1)


def group_there(group_id: str) -> str:
    """SQL that counts the security groups of an id: only a request that wants to make one asks, so it is not kept."""
    quoted = group_id.replace("'", "''")
    return f"SELECT count(*) FROM security_group WHERE id = '{quoted}'"  # noqa: S608


def _unless_there(dialect: str) -> ClauseElement:
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    columns: dict[str, Any] = {column.name: bindparam(column.name) for column in security_group.c}
    return build(security_group).values(columns).on_conflict_do_nothing()


def _update(name: str, changed: Mapping[str, tuple[str, ...]]) -> ClauseElement:
    table = metadata.tables[name]
    values: dict[str, Any] = {column: bindparam(column) for column in (*changed[name], *MOVED)}
    # The version is not compared here: the guard refuses any but the next one, for every writer alike.
    return update(table).where(table.c.id == bindparam("id_")).values(values)


def _dialect(name: str) -> Dialect:
    if name == "postgresql":
        return cast(Dialect, postgresql.asyncpg.dialect())  # type: ignore[no-untyped-call]
    return sqlite.aiosqlite.dialect()


def compiled(statement: ClauseElement, dialect: str) -> Statement:
    """Another statement, for the bare driver; its parameters are named in it and have no values.

    Args:
        dialect: sqlite or postgresql.
    """
    return _compiled(statement, _dialect(dialect))


def _compiled(
    statement: ClauseElement, dialect: Dialect, table: str = "", key: str = "", unless: str = ""
) -> Statement:
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    order = tuple(name.rstrip("_") for name in compiled.positiontup or ())
    literal = {name: value for name, value in compiled.params.items() if value is not None}
    if literal:  # a constant of the statement itself, like the 0 of coalesce
        compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        order = ()
    return Statement(str(compiled), order, table, key, unless)
