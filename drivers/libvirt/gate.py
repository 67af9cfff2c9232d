"""The gate that every call of a job passes on its way to libvirt: it knows what is under way, and since when.

A job is a function that runs in a thread and talks to libvirt through `guarded` objects, which look like libvirt's own.

Promises: once a job is given up on, none of its calls goes out any more, so the one that hangs is the last that may
have an effect. `touched` says whether a call that changes something has gone out at all: a job that was cut off before
has done nothing. Never swallows what libvirt raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Deed:
    """One command: whether any of its jobs has had a call go out that changes something."""

    def __init__(self) -> None:
        self.touched = False


DEED: ContextVar[Deed | None] = ContextVar("interlock-libvirt-deed", default=None)
"""The command that is being carried out."""

READING = (
    "lookup", "list", "get", "is", "XMLDesc", "info", "state", "name", "UUIDString", "path", "metadata", "newStream",
    "storagePoolLookup", "storageVolLookup", "networkLookup", "nwfilterLookup", "download", "recv", "refresh",
)  # fmt: skip
"""How the names of calls begin that change nothing."""


class GivenUp(Exception):
    """The job was given up on before this call; the call was not made."""


class Gate:
    """One job's."""

    watch: Callable[[str], None] | None = None
    """Called with the name of each call that changes something, before it goes out; of tests that die there."""

    def __init__(self) -> None:
        self.touched = False
        self.given_up = False
        self.since: float | None = None
        """When the call under way went out, by the monotonic clock."""
        self.calling = ""

    def call(self, name: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Make one call."""
        if self.given_up:
            raise GivenUp(name)
        changes = not name.startswith(READING)
        self.touched = self.touched or changes
        self.calling, self.since = name, time.monotonic()
        try:
            if changes and Gate.watch is not None:
                Gate.watch(name)
            return _wrapped(function(*map(_bare, args), **named), self)
        finally:
            self.since = None

    def overdue(self, within: float) -> float:
        """Seconds until the call under way has taken too long; 0 or less: it has."""
        since = self.since
        return within if since is None else since + within - time.monotonic()


class Guarded:
    """An object of libvirt whose calls pass a gate."""

    def __init__(self, target: Any, gate: Gate) -> None:
        self._target, self._gate = target, gate

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._target, name)

        def call(*args: Any, **named: Any) -> Any:
            return self._gate.call(name, function, *args, **named)

        return call


def guarded(target: T, gate: Gate) -> T:
    """The same, through the gate."""
    return cast(T, Guarded(target, gate))


def _wrapped(value: Any, gate: Gate) -> Any:
    if isinstance(value, list):
        return [_wrapped(each, gate) for each in value]
    return Guarded(value, gate) if type(value).__module__ == "libvirt" else value


def _bare(value: Any) -> Any:
    return value._target if isinstance(value, Guarded) else value
