"""The tables of the engines that are open on a database, and of what one of them was given and has not begun."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table, Text

from interlock.schema.tables.columns import Micros, metadata, names

worker = Table(
    "worker",
    metadata,
    Column("id", Text, primary_key=True, comment="UUIDv7 of one open engine."),
    names("machine", "Which machine, boot and process space it runs in."),
    Column("pid", Integer, nullable=False, comment="Its process."),
    names(
        "born",
        "When that process began, as the machine counts: tells it from a later one with the same number.",
    ),
    Column("lease_until", Micros, nullable=False, comment="Its operations may be taken over after this."),
)
claim = Table(
    "claim",
    metadata,
    Column("operation_id", Text, primary_key=True, comment="An operation that was only asked for."),
    names("worker_id", "The worker that was given it, and has not begun it."),
)
