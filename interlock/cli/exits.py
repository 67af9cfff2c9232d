"""What the exit codes mean: one table, shown by `interlock --help`, printed in docs/cli.md and held there by a test."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    STORE = 4
    STUCK = 5
    INTERRUPTED = 130


class Interrupted(Exception):
    """The command was asked to end.

    Args:
        left: operations still under way, with which the next command goes on; None: it only looked.
        unsent: requests that were not sent any more.
    """

    def __init__(self, left: int | None = None, unsent: int = 0) -> None:
        super().__init__("interrupted")
        self.left, self.unsent = left, unsent

    @property
    def message(self) -> str:
        """For people."""
        still = f"{self.left} operation{' is' if self.left == 1 else 's are'} still under way"
        words = ["interrupted", f"{still}; the next command goes on with {'it' if self.left == 1 else 'them'}"]
        if not self.left:
            words[1] = "nothing is left under way"
        if self.unsent:
            words.append(f"{self.unsent} request{' was' if self.unsent == 1 else 's were'} not sent")
        return "; ".join(words)


MEANING = {
    Exit.OK: "all went well",
    Exit.FAILED: "an operation failed or was undone; "
    "`doctor`, `verify`, `bisect` or `replay` found something; the disk is full",
    Exit.USAGE: "the command line is wrong",
    Exit.REFUSED: "there is no such thing, or the request is refused; nothing was begun",
    Exit.STORE: "the database (missing, locked, newer) or a plug-in cannot be used",
    Exit.STUCK: "an operation is Stuck and needs a person: `interlock resolve`",
    Exit.INTERRUPTED: "Ctrl-C; what is under way goes on with the next command",
}

_GRAVEST = (Exit.STORE, Exit.STUCK, Exit.FAILED, Exit.REFUSED)
"""Of several ends, the first of these is told."""

_CODES = {
    "closed": Exit.STORE,
    "conflict": Exit.STORE,
    "journal-damaged": Exit.FAILED,
    "plugin": Exit.STORE,
    "store": Exit.STORE,
}


def of_error(error: Exception) -> Exit:
    """What an error of Interlock's exits with."""
    from interlock.schema.errors import InterlockError, InvalidRequest

    if isinstance(error, InvalidRequest):
        return Exit.REFUSED
    return _CODES.get(error.code, Exit.FAILED) if isinstance(error, InterlockError) else Exit.FAILED


def of_operation(state: str, hoped: tuple[str, ...] = ("Succeeded",)) -> Exit:
    """What an operation that ended in `state` exits with; `hoped` are the ends that were asked for."""
    if state in hoped:
        return Exit.OK
    return Exit.STUCK if state == "Stuck" else Exit.FAILED


def gravest(exits: Iterable[Exit]) -> Exit:
    """One exit code for several things done by one command."""
    found = set(exits)
    return next((code for code in _GRAVEST if code in found), Exit.OK)
