"""The tables, column by column: the contract with everybody who reads the database.

Stable: `vm`, `nic`, `volume`, `operation`, `journal`, `host`, `storage_pool`, `network` and their columns may be
read by other programs; docs/tables.md is made from the comments here. Nobody but the engine writes the first five:
triggers (`guards/`) refuse what the machines, the interlocks and the ledger do not allow, whoever asks.

    records.py   VMs, NICs, volumes, operations: what moves
    history.py   the journal, and the archives its oldest rows went to
    cloud.py     places, offerings, accounts, settings: what a cloud description writes
    derived.py   what triggers keep of all these
    workers.py   the engines that are open
    columns.py   the words that they are declared in

Times are microseconds since 1970 UTC; sizes MiB; CPU MHz; ids text; JSON is text in canonical form (sorted keys,
no blanks), because the journal's hashes cover the very bytes. The columns of an entity are the fields of its record
(`records.py` and `cloud.py` of `schema/`); a test holds the two equal.

Promises: `metadata` knows every table, whichever of these files is imported, and what is owned once has its index.
"""

from __future__ import annotations

from sqlalchemy import Index

from interlock.schema.holdings import UNIQUE
from interlock.schema.tables import cloud, derived, history, records, workers
from interlock.schema.tables.columns import metadata

__all__ = ["cloud", "derived", "history", "metadata", "records", "workers"]

for _rule in UNIQUE:
    Index(
        f"{_rule.holder}_{_rule.thing}_once",
        *(metadata.tables[_rule.holder].c[c] for c in (*_rule.scope, _rule.key)),
        unique=True,
    )
