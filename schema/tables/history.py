"""The tables of what has happened: the journal, and where its oldest rows went when they left the database."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, UniqueConstraint

from interlock.schema.tables.columns import Micros, Sequence, metadata, names

journal = Table(
    "journal",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False, comment="Number of the transition; no gaps."),
    Column("at", Micros, nullable=False, comment="When it was decided."),
    names("machine", "vm, nic, volume or operation; cloud: places and settings."),
    names("entity_id", "The entity that moved."),
    names("vm_id", "The VM it belongs to; empty for a disk that belongs to none.", optional=True),
    Column("version", Integer, nullable=False, comment="The entity's version after it."),
    names("event", "What happened."),
    names("source", "State before; empty for a new entity."),
    names("destination", "State after."),
    names("operation_id", "The operation that moved it.", optional=True),
    names("actor", "Who asked for that operation."),
    names("cause", "Why, in words, where the event alone does not say.", optional=True),
    names(
        "changes",
        "JSON object: the attributes that changed, with their new values; of the cloud, rows or ids by table.",
    ),
    names("ledger", "JSON array of [thing, where, giver, taker, amount]."),
    names("detail", "JSON object: what was decided on: the input, candidates, effects, outcomes.", optional=True),
    Column("tables", Integer, nullable=False, comment="Version of the transition tables it was made under."),
    names("prev", "Hash of the entity's previous journal row; empty for the first."),
    names("hash", "SHA-256 over the previous hash and all other columns."),
    UniqueConstraint("entity_id", "version", name="journal_entity_version"),
    Index("journal_vm", "vm_id", "seq"),
)

archive = Table(
    "archive",
    metadata,
    Column("id", Text, primary_key=True, comment="Name of the file."),
    names("folder", "Where it was written."),
    Column("count", BigInteger, nullable=False, comment="Journal rows that are there, and not in `journal` any more."),
    Column("first", BigInteger, nullable=False, comment="Number of the first of them."),
    Column("last", BigInteger, nullable=False, comment="Number of the last of them."),
    names("root", "SHA-256 over the numbers and hashes of these rows: what the file must give."),
    Column("archived_at", Micros, nullable=False, comment="When they left."),
)
archiving = Table(
    "archiving",
    metadata,
    Column("entity_id", Text, primary_key=True, comment="An entity whose rows leave; only during that transaction."),
    names("archive_id", "Where to.", "archive.id"),
)
