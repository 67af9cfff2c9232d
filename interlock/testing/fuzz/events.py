"""The events of a fuzz run: everything that can happen next, as values.

A run is a list of events, and nothing else: the same list gives the same run, byte for byte. Events name what they are
about by names that do not change when others are left out, so that a list can be shrunk; one that does not apply any
more is skipped.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from interlock.testing.fuzz.hypervisor import Act
from interlock.testing.fuzz.network import Fault


class Happening(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """What all events are."""


class Ask(Happening, frozen=True, kw_only=True, tag=True):
    """Somebody asks a worker for an operation; `number` makes all ids of what comes of it."""

    worker: str
    number: int
    kind: str
    fields: dict[str, Any]
    slow: bool = False
    """Whether what it decided is written only by a later `Submit`: others may be quicker."""


class Submit(Happening, frozen=True, kw_only=True, tag=True):
    """A worker commits a request that it has decided before."""

    worker: str
    number: int


class Think(Happening, frozen=True, kw_only=True, tag=True):
    """A worker decides what follows for an operation."""

    worker: str
    operation: str


class Fate(StrEnum):
    """What can befall a commit."""

    UNHEARD = "commit-unheard"
    """Durable, but the connection breaks before the worker hears of it: it tries again."""
    FAILED = "commit-failed"
    """Nothing is written; the worker tries again."""
    LATE = "commit-late"
    """Thought to have failed; durable just before the worker tries again."""
    REFUSED = "commit-refused"
    """A race is lost, or so the database says: the worker looks and decides again."""
    TWICE = "commit-twice"
    """It reaches the database two times."""


class Write(Happening, frozen=True, kw_only=True, tag=True):
    """It commits what it decided."""

    worker: str
    operation: str
    fate: Fate | None = None


class Deliver(Happening, frozen=True, kw_only=True, tag=True):
    """A message reaches the hypervisor, or a fault befalls it."""

    message: str
    fault: Fault | None = None


class Arrive(Happening, frozen=True, kw_only=True, tag=True):
    """A message that was held comes after all."""

    message: str


class Outside(Happening, frozen=True, kw_only=True, tag=True):
    """Something happens to a guest, or to a host, that no command asked for."""

    act: Act
    guest: str = ""
    host: str = ""


class Cancel(Happening, frozen=True, kw_only=True, tag=True):
    """Somebody wants an operation undone."""

    worker: str
    operation: str


class Break(Happening, frozen=True, kw_only=True, tag=True):
    """Our own code fails on an operation: a defect."""

    worker: str
    operation: str


class Resolve(Happening, frozen=True, kw_only=True, tag=True):
    """A person takes a way out of Stuck."""

    worker: str
    operation: str
    way: str


class Pass(Happening, frozen=True, kw_only=True, tag=True):
    """Time goes by: µs."""

    time: int


class Crash(Happening, frozen=True, kw_only=True, tag=True):
    """A worker is killed; all that it did not write is gone."""

    worker: str


class Pause(Happening, frozen=True, kw_only=True, tag=True):
    """A worker stops running, and does not know it."""

    worker: str


class Wake(Happening, frozen=True, kw_only=True, tag=True):
    """It runs again."""

    worker: str


class Open(Happening, frozen=True, kw_only=True, tag=True):
    """A worker that was killed starts again, as a new one."""

    worker: str


class Recover(Happening, frozen=True, kw_only=True, tag=True):
    """A worker takes over the operations whose worker is dead, or whose lease ran out."""

    worker: str


Event = (
    Ask
    | Submit
    | Think
    | Write
    | Deliver
    | Arrive
    | Outside
    | Cancel
    | Break
    | Resolve
    | Pass
    | Crash
    | Pause
    | Wake
    | Open
    | Recover
)
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(list[Event]).decode


def to_json(events: list[Event]) -> bytes:
    """A run, to be kept."""
    return _encode(events)


def from_json(text: bytes) -> list[Event]:
    """A run that was kept.

    Raises:
        msgspec.ValidationError: it is none.
    """
    return _decode(text)
