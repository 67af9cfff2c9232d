"""What a process tells the round while it lives: marks, each a short message through a pipe.

Promises: a mark that was written is read, even if the process was killed right after: it lies in the pipe. What a
process says it was told (`ACKED`) is what must be true ever after.
"""

from __future__ import annotations

from enum import StrEnum
from multiprocessing.connection import Connection

import msgspec


class Kind(StrEnum):
    """What a mark tells."""

    STAGE = "stage"
    WORKER = "worker"
    """The id under which it holds its lease."""
    ASKED = "asked"
    ACKED = "acked"
    """`about`: the operation, which is durable."""
    REFUSED = "refused"
    UNSURE = "unsure"
    """The database could not be written; the request may have been all the same."""
    ENDED = "ended"
    """`about`: the operation; `text`: its state."""
    COMMIT = "commit"
    """A batch is in the database's hands."""
    COMMITTED = "committed"
    """`rows`: of each decision that was accepted, the numbers of its first and last journal row."""
    EFFECT = "effect"
    """A command is with the hypervisor."""
    EFFECTED = "effected"
    STUCK = "stuck"
    FINDING = "finding"
    """What `engine.check()` found at the end."""
    BROKEN = "broken"
    """The program failed; `text`: its traceback."""


class Stage(StrEnum):
    """What a process is about."""

    STARTING = "starting"
    MAKING = "making"
    """It opens a database that is not there yet, and writes the cloud."""
    OPENING = "opening"
    ASKING = "asking"
    WORKING = "working"
    """All that was to be in flight at once has been asked for."""
    RECOVERING = "recovering"
    """As `WORKING`, in a process that came after one that died."""
    CLOSING = "closing"
    CLOSED = "closed"


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """One message."""

    kind: Kind
    about: str = ""
    text: str = ""
    rows: tuple[tuple[int, int], ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Mark).decode


class Diary:
    """The writing end."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def mark(self, kind: Kind, about: str = "", text: str = "", rows: tuple[tuple[int, int], ...] = ()) -> None:
        """Tell; returns when it is in the pipe."""
        self._pipe.send_bytes(_encode(Mark(kind, about, text, rows)))


def read(pipe: Connection) -> Mark | None:
    """The next mark; None when there will be none."""
    try:
        return _decode(pipe.recv_bytes())
    except (EOFError, OSError):
        return None
