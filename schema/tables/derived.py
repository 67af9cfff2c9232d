"""The tables that triggers keep, which follow from others and make a question cheap; and the mark of which triggers are
installed.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Table, Text

from interlock.schema.tables.columns import metadata, names

MEMBERSHIPS = {"affinity_member": "affinity_groups", "security_member": "security_groups"}
"""Indexes of the groups that VMs list in their columns, kept by triggers: table and column."""


def _members(name: str, what: str) -> Table:
    return Table(
        name,
        metadata,
        Column("group_id", Text, primary_key=True, comment=f"The {what} group."),
        Column("vm_id", Text, primary_key=True, comment="A VM that is in it, and not Expunged."),
        Index(f"{name}_vm", "vm_id"),
    )


affinity_member = _members("affinity_member", "affinity")
security_member = _members("security_member", "security")

vm_tally = Table(
    "vm_tally",
    metadata,
    Column("scope", Text, primary_key=True, comment="zone or account: by what is counted."),
    Column("place_id", Text, primary_key=True, comment="Which zone or account."),
    Column("state", Text, primary_key=True, comment="A state in which VMs stay."),
    Column("count", BigInteger, nullable=False, comment="How many VMs are in it; kept by triggers. None: no row."),
    CheckConstraint("count > 0", name="vm_tally_of_some"),
    sqlite_with_rowid=False,
)
guard = Table(
    "guard",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="Always 1."),
    names("fingerprint", "Of the triggers that are installed."),
)
