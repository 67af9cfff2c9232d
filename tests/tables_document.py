"""docs/tables.md, made from the comments in schema/tables/.

    python -m tests.tables_document > docs/tables.md

`tests/test_tables_doc.py` holds the two equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, UniqueConstraint

from interlock.schema.machines import MACHINES
from interlock.schema.tables import metadata

CONTRACT = ("vm", "nic", "volume", "operation", "journal", "host", "storage_pool", "network")
"""The tables that other programs may read."""

ABOUT = {
    "vm": "The virtual machines, those that are gone among them.",
    "nic": "The network interfaces of VMs.",
    "volume": "The disks, those of VMs and those that are attached to none.",
    "operation": "What was asked of VMs and disks, one row a request, and how far it has come.",
    "journal": "One row for each transition of a VM, NIC, volume or operation, and of the cloud. It only grows.",
    "host": "The hypervisors.",
    "storage_pool": "Where volumes lie.",
    "network": "What NICs are on.",
    "domain": "The tree of domains, with what all accounts in and below each may have, and have.",
    "domain_above": "Each domain with itself and all that it lies in.",
    "account": "Whose VMs and disks are, with what each may have, and has.",
    "zone": "The places a cloud is at.",
    "pod": "The racks of a zone.",
    "cluster": "The hosts of a pod that share storage.",
    "pod_range": "Which addresses of a basic zone's network belong to which pod.",
    "offering": "The sizes a VM may have.",
    "disk_offering": "The sizes a disk may have.",
    "template": "What root disks are made from, and the ISOs that VMs boot.",
    "affinity_group": "VMs that shall run together, or apart.",
    "affinity_member": "Which VMs are in which affinity group: an index of what the VMs list, kept by triggers.",
    "security_group": "The firewalls that VMs are in.",
    "security_member": "Which VMs are in which security group: an index of what the VMs list, kept by triggers.",
    "vm_tally": "How many VMs are in each state in which they stay, by zone and by account: kept by triggers.",
    "ssh_key": "The public keys that VMs may be given.",
    "setting": "The settings that are not at their defaults.",
    "driver": "How each driver is opened.",
    "worker": "The engines that are open on this database.",
    "archive": "Files that hold journal rows which left the database with what they tell of.",
    "archiving": "Whose rows are leaving: empty but for the transaction in which they do.",
    "claim": "Operations that were only asked for, and the workers that are about to begin them.",
    "guard": "Which triggers are installed.",
}

HEAD = ("| column | type | NULL | what |", "| --- | --- | --- | --- |")

INTRODUCTION = """\
# The tables

<!-- Made from schema/tables/ by `python -m tests.tables_document > docs/tables.md`; do not edit. -->

These tables are a contract. Other programs may read
{contract}.
A release that changes a column of theirs says so. The other tables are described for completeness and may change.

Nobody but the engine writes them. Triggers in the database hold that: a state moves only along its machine
(`interlock machines`), only together with its journal row, and only where the interlocks allow it; the journal only
grows; what is held of hosts and pools is counted, and never goes under zero or over what there is (of a pool: times
its overcommit); what accounts and domains have is counted, and does not grow over their limits.

Times are microseconds since 1970 UTC; sizes MiB; CPU MHz; ids text. JSON is text in canonical form (sorted keys, no
blanks). On SQLite a boolean is 0 or 1. A column is never NULL unless it says that it may be: there, empty means NULL;
elsewhere, the empty text.
"""


def document() -> str:
    """The whole text."""
    contract = ", ".join(f"`{name}`" for name in CONTRACT[:-1]) + f" and `{CONTRACT[-1]}`"
    others = [name for name in ABOUT if name not in CONTRACT]
    parts = [
        INTRODUCTION.format(contract=contract),
        *(_table(metadata.tables[name]) for name in CONTRACT),
        "## Not part of the contract\n",
        *(_table(metadata.tables[name], level=3) for name in others),
    ]
    return "\n".join(parts)


def _table(table: Table, level: int = 2) -> str:
    lines = [f"{'#' * level} `{table.name}`", "", ABOUT[table.name], "", *HEAD]
    lines += [f"| `{column.name}` | {_type(column)} | {_null(column)} | {_what(column)} |" for column in table.c]
    lines += ["", f"- `{', '.join(table.primary_key.columns.keys())}` is the key.", *sorted(_rules(table))]
    return "\n".join(lines) + "\n"


def _type(column: Column[object]) -> str:
    return {"TEXT": "text", "BOOLEAN": "boolean", "DOUBLE": "real"}.get(str(column.type), "integer")


def _null(column: Column[object]) -> str:
    return "may be" if column.nullable else ""


def _what(column: Column[object]) -> str:
    assert column.comment, f"{column} has no comment"
    what = column.comment
    if column.table.name in MACHINES and column.name == "state":
        what = f"State of the machine; see `interlock machines {column.table.name}`."
    for key in column.foreign_keys:
        what += f" → `{_target(key)}`"
    return what.replace("|", "\\|").replace("<", "\\<")


def _target(key: ForeignKey) -> str:
    return key.target_fullname


def _rules(table: Table) -> Iterator[str]:
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield f"- Unique: `{', '.join(constraint.columns.keys())}`."
        if isinstance(constraint, CheckConstraint):
            yield f"- Always: `{constraint.sqltext}`."
    for index in table.indexes:
        yield _index(index)


def _index(index: Index) -> str:
    columns, where = ", ".join(index.columns.keys()), index.dialect_options["sqlite"]["where"]
    among = "" if where is None else f" where `{where}`"
    return f"- {'Unique' if index.unique else 'Indexed'}: `{columns}`{among}."


if __name__ == "__main__":
    sys.stdout.write(document())
