"""A journal row, one transition of one entity: `Entry` as it is written, `Transition` as it is read."""

from __future__ import annotations

from typing import Any

import msgspec

from interlock.schema.holdings import Movement

CLOUD = "cloud"
"""Machine and entity id of the rows that tell of the cloud: places and settings (docs/decisions/0020)."""
OURS = "interlock"
"""Who writes the cloud, in the journal, where nobody is named."""
CLOUD_STATE = "Described"
"""The only state it is in."""
PLACES_WRITTEN, PLACES_REMOVED = "PlacesWritten", "PlacesRemoved"
"""Its events. `changes` of the first are rows by table, of the second ids by table."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Fields are the columns of `journal` in order, but for the number, which the commit gives it.

    JSON columns are text, because the hash covers the very bytes.
    """

    at: int
    machine: str
    entity_id: str
    vm_id: str | None
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


class Transition(Entry, frozen=True, kw_only=True):
    """A committed entry. `seq` numbers all transitions of a database without gaps, in the order of their commits."""

    seq: int

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
