"""The words that the tables are declared in: kinds of columns, conditions of indexes, and `metadata`, which lists them.

Never declares a table. A word that only one file needs stands there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, MetaData, Text, text
from sqlalchemy.dialects.postgresql import TEXT

metadata = MetaData()
Micros = BigInteger
Sequence = BigInteger().with_variant(Integer, "sqlite")
Bytewise = Text().with_variant(TEXT(collation="C"), "postgresql")
"""Text that is compared byte by byte whatever the database's collation: else its index finds no names by how they
begin."""


def quoted(values: Iterable[str]) -> str:
    """Values as SQL has them in a list."""
    return ", ".join(f"'{value}'" for value in values)


def where(condition: str) -> dict[str, Any]:
    """Which rows an index is of."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def machine_columns() -> list[Column[object]]:
    """What every entity that has a machine has."""
    return [
        Column("created_at", Micros, nullable=False, comment="When the row was made."),
        Column("state", Text, nullable=False, comment="State of the machine; see `interlock machines`."),
        Column("since", Micros, nullable=False, comment="When the present state was entered."),
        Column("version", Integer, nullable=False, comment="Rises by one with each transition."),
        Column("hash", Text, nullable=False, comment="Hash of the journal row that made this version."),
    ]


def names(name: str, comment: str, target: str | None = None, *, optional: bool = False) -> Column[str]:
    """A text: a name, an id, or JSON.

    Args:
        target: the column whose values it has.
        optional: whether it may be empty.
    """
    keys = [ForeignKey(target)] if target else []
    return Column(name, Text, *keys, nullable=optional, comment=comment)


def listed(name: str, comment: str) -> Column[str]:
    """A name that lists are ordered by, and searched by its beginning."""
    return Column(name, Bytewise, nullable=False, comment=comment)


def amount(name: str, comment: str) -> Column[int]:
    """How much there is, or is held, of something."""
    return Column(name, BigInteger, nullable=False, server_default="0", comment=comment)


def flag(name: str, comment: str) -> Column[bool]:
    """A yes or no."""
    return Column(name, Boolean, nullable=False, comment=comment)


def enabled() -> Column[bool]:
    """What an operator takes out of service by."""
    return flag("enabled", "Whether it may be used for new VMs.")
