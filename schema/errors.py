"""The typed errors of Interlock: a small family, each saying what happened, to what, and what to do next.

Promises: every error an embedder can meet derives from `InterlockError`, and carries a stable `code`
(for programs) beside its message (for people). Never holds a traceback of ours as its message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.schema.records import Operation


class InterlockError(Exception):
    """Base of all. `code` is stable across releases; the message may change."""

    code = "interlock"


class TableError(InterlockError):
    """A machine, interlock or holding table is wrong; raised at import, never at run time."""

    code = "table"


class IllegalTransition(InterlockError):
    """The transition table has no such (state, event)."""

    code = "illegal-transition"

    def __init__(self, machine: str, state: str, event: str, entity: str = "") -> None:
        subject = f"{machine} {entity}".strip()
        super().__init__(
            f"{subject} cannot take {event} in state {state}; `interlock machines {machine}` shows what it can"
        )
        self.machine, self.state, self.event = machine, state, event


class InterlockViolated(InterlockError):
    """A related entity, or a holding, is not where this transition needs it."""

    code = "interlock-violated"


class InvalidRequest(InterlockError):
    """The request is malformed, or names something that does not exist or does not allow it."""

    code = "invalid-request"


class NotFound(InvalidRequest):
    """No such entity."""

    code = "not-found"


class NoRoom(InvalidRequest):
    """What was asked cannot be had now: every address is taken."""

    code = "no-room"


class OverLimit(NoRoom):
    """An account, or a domain above it, may have no more of something."""

    code = "over-limit"


class NotAllowed(InvalidRequest):
    """The account on whose rights it was asked may not do this."""

    code = "not-allowed"


class NameTaken(InvalidRequest):
    """Another living VM has this name."""

    code = "name-taken"


class Busy(InvalidRequest):
    """Another operation is active on this VM or disk."""

    code = "busy"


class OperationFailed(InterlockError):
    """An operation ended Failed, Cancelled or Stuck; `operation` has the whole record."""

    code = "operation-failed"

    def __init__(self, message: str, operation: Operation) -> None:
        super().__init__(message)
        self.operation = operation


class PluginError(InterlockError):
    """A planner, guru or driver is missing or does not keep its protocol."""

    code = "plugin"


class StoreError(InterlockError):
    """The database is missing, locked, full, newer than this release, or was refused."""

    code = "store"


class JournalDamaged(StoreError):
    """A journal is not as it was written."""

    code = "journal-damaged"


class Conflict(StoreError):
    """A commit lost a race: some version or holding was no longer as the decision saw it."""

    code = "conflict"


class EngineClosed(InterlockError):
    """The engine was closed, or its store lost, before this could finish; the work goes on at the next open."""

    code = "closed"
