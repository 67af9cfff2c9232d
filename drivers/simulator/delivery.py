"""What befalls a command between being sent and being answered: token, fence, ordered faults, late effects.

In this order, all in one transaction:

    the host is lost           it does not arrive: refused as transient, or never answered (outside.py)
    a fence higher than any seen for the VM or the subject is noted, whatever becomes of the command
    the token is Done          Done again, unless an order loses the reply; nothing more happens
    the fence is too low       refused: another worker drives this VM, or this disk, now
    a capability is lacking    refused (capabilities.py)
    an order matches           the fault takes its course (faults.py)
    else                       the rule carries it out (rules.py); if that is Done, the token is remembered

A fence counts for the VM and for the subject, and is too low if it is lower than one seen for either: disks change
hands, and a command about one that belongs to no VM has no other fence than the disk's.

Only Done is remembered: a refusal may be asked again, and a look looks again. A Done token is answered before the
fence is looked at, since the answer is true and changes nothing. One token for two different commands is the
sender's error and is refused.

Most commands meet nothing of this. So the token is claimed first, in one statement that also looks for what may befall
the command; a command that has claimed it goes the short way, and gives it back if it is not Done (`deliver`). Any
other goes the long way, which looks at one thing after the other (`_with_care`). Both ways answer and leave the same,
and nobody sees a claim that is given back, for all is one transaction.

Late effects wait in the file with the time they are due, and are carried out before anything else is read
or written after that time (`settle`). So no timer runs, an effect is due even if the process that asked has
died, and nobody can tell the difference. A late effect is held to its fence: once a higher one was seen, it
never happens. Under the *same* fence it may come after a StopDomain and start the guest again, as in a real
data centre.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Set

import msgspec

from interlock.drivers.simulator import faults
from interlock.drivers.simulator.answers import DONE, refused
from interlock.drivers.simulator.capabilities import incapable
from interlock.drivers.simulator.faults import Order, When
from interlock.drivers.simulator.outside import SILENT, unreachable
from interlock.drivers.simulator.rules import carry_out, place_of
from interlock.drivers.simulator.volumes import half_of_a_volume
from interlock.schema.commands import (
    AnyCommand,
    Capability,
    Command,
    CreateVolume,
    Done,
    LookForDomain,
    MigrateDomain,
    Outcome,
    Refusal,
    Refused,
    Scope,
)


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A command with what goes with it."""

    command: AnyCommand
    token: str
    fence: int


def deliver(db: sqlite3.Cursor, sent: Sent, now: float, capabilities: frozenset[Capability]) -> Outcome | None:
    """Perform a command.

    Args:
        db: the world, in a transaction.
        sent: the command.
        now: when it arrives, in seconds; late effects count from it.
        capabilities: what the hypervisor can.

    Returns:
        The outcome; None if no answer will ever come.
    """
    if not _claimed(db, sent):
        return _with_care(db, sent, now, capabilities)
    outcome = _stale(db, sent) or incapable(db, sent.command, capabilities) or carry_out(db, sent.command)
    if not isinstance(outcome, Done):
        db.execute("DELETE FROM token WHERE token = ?", (sent.token,))
    return outcome


CLAIM = """
    INSERT OR IGNORE INTO token (token, command, at, subject) SELECT ?, ?, ?, ?
    WHERE NOT EXISTS (SELECT 1 FROM host WHERE id = ? AND lost IS NOT NULL)
      AND NOT EXISTS (SELECT 1 FROM fault WHERE times_left > 0)
"""
UNCLAIMED: Set[type[Command]] = frozenset({LookForDomain, MigrateDomain})
"""What goes the long way always: the one is not remembered, the other needs two hosts."""


def _claimed(db: sqlite3.Cursor, sent: Sent) -> bool:
    """Remember the token as Done before the command is, if it is new, its host is heard and no order is open."""
    command = sent.command
    if type(command) in UNCLAIMED:
        return False
    return db.execute(CLAIM, (sent.token, *_gist(command), command.at)).rowcount == 1


def _with_care(db: sqlite3.Cursor, sent: Sent, now: float, capabilities: frozenset[Capability]) -> Outcome | None:
    """Perform a command that something may befall. Its token is not claimed."""
    if (lost := unreachable(db, sent.command)) is not None:
        return None if lost == SILENT else Refused(kind=Refusal.TRANSIENT, scope=Scope.HOST, reason=lost)
    stale, repeated = _stale(db, sent), _done_before(db, sent)
    if isinstance(repeated, Refused):
        return repeated
    if stale and not repeated:
        return stale
    if not repeated and (refusal := incapable(db, sent.command, capabilities)):
        return refusal
    order = faults.take(db, sent.command, repeated=repeated)
    if order is not None:
        return _go_wrong(db, sent, order, now + order.seconds)
    return DONE if repeated else _act(db, sent)


NOTE = """
    INSERT INTO fence (entity, fence) VALUES {}
    ON CONFLICT (entity) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= fence
"""
NOTE_ONE, NOTE_TWO = NOTE.format("(?, ?)"), NOTE.format("(?, ?), (?, ?)")


def _stale(db: sqlite3.Cursor, sent: Sent) -> Refused | None:
    """Note a higher fence; refuse a lower one. A row that is not written had a higher one."""
    vm, subject, fence = *_fenced(sent.command), sent.fence
    if vm == subject:
        noted = db.execute(NOTE_ONE, (vm, fence)).rowcount == 1
    else:
        noted = db.execute(NOTE_TWO, (vm, fence, subject, fence)).rowcount == 2
    return None if noted else _too_low(db, sent)


def _too_low(db: sqlite3.Cursor, sent: Sent) -> Refused:
    """The refusal of a fence that was not noted for all that the command is about."""
    for entity in _fenced(sent.command):
        [highest] = db.execute("SELECT fence FROM fence WHERE entity = ?", (entity,)).fetchone()
        if highest > sent.fence:
            break
    return refused(Scope.VM, f"fence {sent.fence} of {entity} is too low: {highest} was seen")


def _fenced(command: Command) -> tuple[str, str]:
    """The entities whose fence the command is held to, and raises: its VM, if it has one, and its subject."""
    return f"vm {command.vm_id}" if command.vm_id else command.subject, command.subject


def _done_before(db: sqlite3.Cursor, sent: Sent) -> bool | Refused:
    row = db.execute("SELECT command, at, subject FROM token WHERE token = ?", (sent.token,)).fetchone()
    if row is None:
        return False
    if row == _gist(sent.command):
        return True
    return refused(Scope.VM, f"token {sent.token} was already used for {' '.join(row)}; each effect needs its own")


def _gist(command: AnyCommand) -> tuple[str, str, str]:
    return type(command).__name__, command.at, command.subject


def _act(db: sqlite3.Cursor, sent: Sent) -> Outcome:
    outcome = carry_out(db, sent.command)
    if isinstance(outcome, Done) and not isinstance(sent.command, LookForDomain):
        row = (sent.token, *_gist(sent.command))
        db.execute("INSERT OR IGNORE INTO token (token, command, at, subject) VALUES (?, ?, ?, ?)", row)
    return outcome


def _go_wrong(db: sqlite3.Cursor, sent: Sent, order: Order, due: float) -> Refused | None:
    course = order.course
    if course.effect is When.NOW:
        _settle_one(db, sent)
    elif course.effect is When.HALF and isinstance(sent.command, CreateVolume):
        half_of_a_volume(db, sent.command)
    elif course.effect is When.LATER:
        letter = msgspec.json.encode(sent.command)
        row = (due, sent.token, sent.fence, letter)
        db.execute("INSERT INTO late (due, token, fence, command) VALUES (?, ?, ?, ?)", row)
    if course.answer is None:
        return None
    scope = course.scope or place_of(sent.command)
    return Refused(kind=course.answer, scope=scope, reason=f"{course.reason} (fault {order.id}, on order)")


def settle(db: sqlite3.Cursor, now: float) -> None:
    """Let the late effects happen that are due."""
    due = db.execute("SELECT id, token, fence, command FROM late WHERE due <= ? ORDER BY due, id", (now,))
    for number, token, fence, letter in due.fetchall():
        db.execute("DELETE FROM late WHERE id = ?", (number,))
        _settle_one(db, Sent(msgspec.json.decode(letter, type=AnyCommand), token, fence))


def _settle_one(db: sqlite3.Cursor, sent: Sent) -> None:
    """An effect whose outcome nobody hears."""
    if _done_before(db, sent) is False and _stale(db, sent) is None:
        _act(db, sent)
