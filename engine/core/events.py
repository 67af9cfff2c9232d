"""What the shell tells the core: the events that `decide` answers, each with its time (µs since 1970)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from interlock.schema.commands import Outcome
from interlock.schema.machine import Overdue as Rule
from interlock.schema.requests import Request


class Happened(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What all events have."""

    at: int


class Requested(Happened, frozen=True, kw_only=True):
    """Somebody asks for an operation. `ids` are fresh, one for each record that may be made.

    `worker_id` is the worker that will drive it, so that others leave it alone while that one lives; None: whoever
    finds it.
    """

    request: Request
    actor: str
    caller_id: str | None = None
    """The account on whose rights it is asked; None: the operator's."""
    ids: tuple[str, ...]
    worker_id: str | None = None
    trace: str | None = None
    """Where in its caller's own records it was asked (a `traceparent`); written down, and nothing follows from it."""


class Claimed(Happened, frozen=True, kw_only=True):
    """A worker takes the operation: a queued one, or one whose worker is gone."""

    worker_id: str


class Settled(Happened, frozen=True, kw_only=True):
    """All effects that were announced have answered; outcomes in the order of the effects."""

    outcomes: tuple[Outcome, ...]


class Woken(Happened, frozen=True, kw_only=True):
    """The time the operation waited for has come."""


class Overdue(Happened, frozen=True, kw_only=True):
    """A transitional state has passed its deadline (`deadlines.py`)."""

    what: str
    rule: Rule = Rule.UNWIND
    """That state's: what its table says is to follow."""


class CancelRequested(Happened, frozen=True, kw_only=True):
    """Somebody wants the operation undone."""

    actor: str


class Broken(Happened, frozen=True, kw_only=True):
    """Our own code failed on this operation: a defect. It becomes Stuck, with the defect as its reason."""

    error: str


class Way(StrEnum):
    """The ways out of Stuck."""

    RETRY = "retry"
    UNDO = "undo"
    ACCEPT = "accept"


class Resolved(Happened, frozen=True, kw_only=True):
    """A person chooses a way out of Stuck."""

    way: Way
    actor: str
    reason: str


Event = Requested | Claimed | Settled | Woken | Overdue | CancelRequested | Broken | Resolved


def ids_needed(request: Request) -> int:
    """How many fresh ids a request may use: operation, VM, root volume, and each NIC and data disk."""
    nics = getattr(request, "nics", ()) or getattr(request, "networks", ())
    disks = (*getattr(request, "data_disks_mib", ()), *getattr(request, "data_disks", ()))
    return 3 + max(1, len(nics)) + len(disks)
