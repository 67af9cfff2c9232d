"""A journal row as it is read: one transition of one entity."""

from __future__ import annotations

from typing import Any

import msgspec

from interlock.schema.holdings import Movement


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """Fields are the columns of `journal`; JSON columns are text, because the hash covers the very bytes."""

    seq: int
    at: int
    machine: str
    entity_id: str
    vm_id: str
    version: int
    event: str
    source: str
    destination: str
    operation_id: str | None
    actor: str
    cause: str | None
    changes: str
    ledger: str
    detail: str | None
    tables: int
    prev: str
    hash: str

    @property
    def changed(self) -> dict[str, Any]:
        """The attributes that changed, with their new values."""
        return dict(msgspec.json.decode(self.changes))

    @property
    def movements(self) -> list[Movement]:
        """What changed hands."""
        return msgspec.json.decode(self.ledger, type=list[Movement])

    @property
    def details(self) -> dict[str, Any]:
        """What was decided on: candidates with reasons, effects, outcomes."""
        return dict(msgspec.json.decode(self.detail)) if self.detail else {}
