"""What the core answers: the changes to commit, their journal rows, the effects to perform afterwards, and the end.

Promises: a decision is complete. Committing its changes and rows in one transaction, then performing its effects,
then telling the core their outcomes is all the shell ever does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from interlock.schema.cloud import SecurityGroup
from interlock.schema.commands import AnyCommand
from interlock.schema.holdings import Movement, movements
from interlock.schema.machine import NOT_YET
from interlock.schema.machines import TABLE_VERSION
from interlock.schema.records import CHANGEABLE, MACHINE_OF, UNWRITTEN, Entity, Nic, Operation, Vm, Volume
from interlock.schema.transition import Entry

_canonical = msgspec.json.Encoder(order="sorted").encode

NOTHING_MOVED = "[]"
"""A ledger without movements."""
DERIVED = frozenset({"id", "state", "since", "version", "hash", "created_at"})
"""Columns that follow from the journal row itself, and are therefore not in its `changes`."""


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A compare-and-set of one record: it must still be `before` (None: not be there) to become `after`."""

    machine: str
    before: Entity | None
    after: Entity
    ledger: tuple[Movement, ...]
    entry: Entry


class Effect(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A driver call to make once the decision is committed; `token` is its idempotency key."""

    token: str
    command: AnyCommand


class End(StrEnum):
    """How an operation stands when nothing more is driven."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    STUCK = "Stuck"


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to one event.

    `if_fresh`: it refuses something for want of room, so it must not be committed on figures that others have
    changed meanwhile. `wake_at`: with neither effects nor outcome, when to ask again.
    """

    operation: Operation
    vm: Vm | None
    nics: tuple[Nic, ...]
    volumes: tuple[Volume, ...]
    changes: tuple[Change, ...]
    effects: tuple[Effect, ...]
    wake_at: int | None
    outcome: End | None
    if_fresh: bool
    groups: tuple[SecurityGroup, ...] = ()
    """Security groups that must be there; made with the changes unless they are."""

    @property
    def ledger(self) -> tuple[Movement, ...]:
        """All movements of scarce things, in order."""
        return tuple(movement for change in self.changes for movement in change.ledger)

    @property
    def journal(self) -> tuple[Entry, ...]:
        """All journal rows, in order."""
        return tuple(change.entry for change in self.changes)


def joined(first: Decision, then: Decision) -> Decision:
    """What follows `first` together with it, as one: all of it is written, or nothing."""
    return msgspec.structs.replace(
        then,
        changes=first.changes + then.changes,
        groups=first.groups + then.groups,
        if_fresh=first.if_fresh or then.if_fresh,
    )


class Author(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """On whose behalf a change is made."""

    at: int
    operation_id: str | None
    actor: str


def change(
    before: Entity | None,
    after: Entity,
    event: str,
    author: Author,
    cause: str | None,
    detail: dict[str, Any] | None,
    touched: Iterable[str] | None = None,
) -> Change:
    """The change from `before` to `after` with its ledger and its journal row.

    Args:
        after: a record that was just made, and is nobody else's yet: its hash is set.
        touched: the attributes that may differ, besides those that follow from the row; None: any.
    """
    machine = MACHINE_OF[type(after)]
    ledger = movements(machine, after.id, before, after)
    entry = Entry(
        at=author.at,
        machine=machine,
        entity_id=after.id,
        vm_id=_belongs_to(before, after),
        version=after.version,
        event=event,
        source=before.state if before else NOT_YET,
        destination=after.state,
        operation_id=author.operation_id,
        actor=author.actor,
        cause=cause,
        changes=_canonical(_changed(before, after, touched)).decode(),
        ledger=_canonical(ledger).decode() if ledger else NOTHING_MOVED,
        detail=_canonical(detail).decode() if detail else None,
        tables=TABLE_VERSION,
        prev=before.hash if before else UNWRITTEN,
        hash=UNWRITTEN,
    )
    # Nobody has seen either of them yet: a copy of each would cost as much as all above.
    force_setattr(entry, "hash", seal(entry))
    force_setattr(after, "hash", entry.hash)
    return Change(machine=machine, before=before, after=after, ledger=ledger, entry=entry)


def _belongs_to(before: Entity | None, after: Entity) -> str | None:
    """The VM whose history the row is part of; a disk that is detached was still that VM's."""
    if isinstance(after, Vm):
        return after.id
    return after.vm_id or (before.vm_id if before is not None and not isinstance(before, Vm) else None)


SEALED = tuple(name for name in Entry.__struct_fields__ if name != "hash")
"""What the hash of a journal row covers: all columns but itself and the number."""
_sealed = attrgetter(*SEALED)


def seal(entry: Entry) -> str:
    """The hash of a journal row; with `prev` among what it covers, an entity's rows are a chain."""
    return hashlib.sha256(_canonical(_sealed(entry))).hexdigest()


def _changed(before: Entity | None, after: Entity, touched: Iterable[str] | None) -> dict[str, Any]:
    if before is None:
        columns, values = _described[type(after)]
        return dict(zip(columns, values(after), strict=True))
    names = CHANGEABLE[MACHINE_OF[type(after)]] if touched is None else touched
    return {name: value for name in names if (value := getattr(after, name)) != getattr(before, name)}


def _columns(kind: type[Entity]) -> tuple[tuple[str, ...], Callable[[Entity], tuple[Any, ...]]]:
    names = tuple(name for name in kind.__struct_fields__ if name not in DERIVED)
    return names, attrgetter(*names)


_described = {kind: _columns(kind) for kind in MACHINE_OF}
"""What the first row of a record says of it: the names of the columns, and what gets them."""
