"""The kinds of faults, as one table, and the book of orders.

A kind says two things: when the effect of the command it hits happens (never, half, now, later), and what is
answered (a refusal, or nothing ever). A new kind is a new row; one that needs a third thing is a new
column.

An order stands in the world's file, so it outlives the process that gave it. The oldest order that matches
and has times left is taken, in the transaction of the effect or non-effect that it causes: an order fires
exactly as often as it is counted.

Only a copy can be done by half: what it leaves takes space until it is deleted, or begun anew (volumes.py).

What is never done: an order whose answer promises that nothing happened does not hit the repetition of a
token that is Done. The promise would be false, and the protocol says that such a token is answered Done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from interlock.schema.commands import COMMANDS, AnyCommand, CreateVolume, Refusal, Scope
from interlock.schema.errors import InvalidRequest

ANY = "*"
"""The command of an order that hits every kind of command."""


class FaultKind(StrEnum):
    """What can go wrong, on order."""

    REFUSE = "refuse"
    REFUSE_VM = "refuse-vm"
    TRANSIENT = "transient"
    FAIL_UNKNOWN = "fail-unknown"
    LOST_REPLY = "lost-reply"
    HANG = "hang"
    LATE = "late"
    OUT_OF_SPACE = "out-of-space"


class When(StrEnum):
    """When the effect of a command that is hit happens."""

    NEVER = "never"
    HALF = "half"
    NOW = "now"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Course:
    """What a kind of fault does."""

    effect: When
    answer: Refusal | None
    """None: no answer ever comes."""
    reason: str
    scope: Scope | None = None
    """None: the host or pool that the command was sent to."""

    @property
    def hits_repetitions(self) -> bool:
        """Whether it may hit a token that is Done: only if it does not claim that nothing happened."""
        return self.answer in (None, Refusal.UNKNOWN)


COURSES: Mapping[FaultKind, Course] = {
    FaultKind.REFUSE: Course(When.NEVER, Refusal.PERMANENT, "refused"),
    FaultKind.REFUSE_VM: Course(When.NEVER, Refusal.PERMANENT, "this VM is refused", Scope.VM),
    FaultKind.TRANSIENT: Course(When.NEVER, Refusal.TRANSIENT, "busy, try again"),
    FaultKind.FAIL_UNKNOWN: Course(When.NEVER, Refusal.UNKNOWN, "the connection broke"),
    FaultKind.LOST_REPLY: Course(When.NOW, Refusal.UNKNOWN, "the reply was lost"),
    FaultKind.HANG: Course(When.NEVER, None, "no answer"),
    FaultKind.LATE: Course(When.LATER, Refusal.UNKNOWN, "no reply in time"),
    FaultKind.OUT_OF_SPACE: Course(When.HALF, Refusal.PERMANENT, "no space left in the middle of the copy"),
}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An order: the next `times` commands that match go wrong as `kind` says. A filter of None matches."""

    kind: FaultKind
    command: str = ANY
    """The name of a command's type, or "*"."""
    at: str | None = None
    vm_id: str | None = None
    subject: str | None = None
    times: int = 1
    seconds: float = 0.0
    """LATE: how long after the answer the effect happens."""


def check(fault: Fault) -> None:
    """See that an order makes sense.

    Raises:
        InvalidRequest: it could never fire, or not as it says.
    """
    names = [command.__name__ for command in COMMANDS]
    if fault.command != ANY and fault.command not in names:
        raise InvalidRequest(f"a fault names the command {fault.command}; there are only {', '.join(names)}")
    if COURSES[fault.kind].effect is When.HALF and fault.command != CreateVolume.__name__:
        raise InvalidRequest(f"only CreateVolume can be done by half, not {fault.command}; order it for that")
    if fault.times < 1:
        raise InvalidRequest(f"a fault is ordered {fault.times} times; order at least one")
    if not fault.seconds >= 0:
        raise InvalidRequest(f"a fault's effect is to happen after {fault.seconds} seconds; give 0 or more")


@dataclass(frozen=True, slots=True)
class Order:
    """An order that was just taken."""

    id: int
    course: Course
    seconds: float


PLACE = """
    INSERT INTO fault (kind, command, at, vm, subject, seconds, times_left) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
MATCHING = """
    SELECT id, kind, seconds FROM fault
    WHERE times_left > 0 AND command IN ('*', ?)
      AND (at IS NULL OR at = ?) AND (vm IS NULL OR vm = ?) AND (subject IS NULL OR subject = ?)
    ORDER BY id
"""
COUNT = "UPDATE fault SET times_left = times_left - 1, fired = fired + 1 WHERE id = ?"


def place(db: sqlite3.Cursor, fault: Fault) -> int:
    """Write an order into the book; the answer is its number."""
    f = fault
    row = db.execute(PLACE, (f.kind, f.command, f.at, f.vm_id, f.subject, f.seconds, f.times))
    return int(row.lastrowid or 0)


def take(db: sqlite3.Cursor, command: AnyCommand, *, repeated: bool) -> Order | None:
    """The order that hits this command, counted as fired."""
    filters = (type(command).__name__, command.at, command.vm_id, command.subject)
    for number, kind, seconds in db.execute(MATCHING, filters).fetchall():
        course = COURSES[FaultKind(kind)]
        if course.hits_repetitions or not repeated:
            db.execute(COUNT, (number,))
            return Order(number, course, seconds)
    return None


def fired(db: sqlite3.Cursor, number: int) -> int | None:
    """How often an order has fired; None if there is no such order."""
    row = db.execute("SELECT fired FROM fault WHERE id = ?", (number,)).fetchone()
    return None if row is None else int(row[0])


def recall(db: sqlite3.Cursor, number: int) -> None:
    """Take an order back; what has fired stays counted."""
    db.execute("UPDATE fault SET times_left = 0 WHERE id = ?", (number,))
