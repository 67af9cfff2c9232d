"""What a driver is.

A driver performs commands and answers with outcomes; it never raises for what the world did (an exception is taken
as Refused unknown, and logged as the driver's bug). It must be safe to perform

* the same token again, at once or years later: no further change, the same outcome if it was Done (but
  `LookForDomain` looks again: what it finds is what is there now);
* a command whose effect is already there, or was never there (deletes and releases of nothing are Done);
* with a fence lower than one seen for the VM or for the subject: Refused permanent, and nothing changes. Disks change
  hands, and one that belongs to no VM (`vm_id` is empty) has only its own.

What not every hypervisor can is a `Capability`. The engine asks no driver for what it lacks; a command that comes all
the same is Refused permanent, about the VM. Undoing stays Done where there is nothing to undo.

Calls arrive concurrently on one event loop; a driver that blocks does so in threads of its own and leaves none
behind after `close`. Cancelling `perform` may leave the effect done or not done; the engine asks again by token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import msgspec

from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Outcome
from interlock.schema.reports import HostReport, Report


class Home(msgspec.Struct, frozen=True):
    """Where a driver may keep files of its own: in `directory`, with names that begin with `stem`."""

    directory: Path
    stem: str


@runtime_checkable
class Driver(Protocol):
    """A hypervisor and its storage."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What its hypervisor can of what not all can; an attribute will do. Read once after `open` and once after
        each `attach`."""
        ...

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        """Learn which hosts and pools are this driver's; called after opening and when the cloud changes."""
        ...

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        """Carry out one command; see the module's header for what must hold."""
        ...

    async def close(self) -> None:
        """Let go of everything; the world stays as it is."""
        ...


Tell = Callable[[Report], None]
"""What a driver calls on the event loop when something has happened; it returns at once, and never raises."""


@runtime_checkable
class Reporter(Protocol):
    """What a driver may have besides: it says what happens that no command asked for. A driver without it works; its
    guests are looked at only when somebody asks.

    Reports are hints (`schema/reports.py`): they may be late, repeated, out of order or missing, and none is needed for
    what commands did. Those with a wrong clock or epoch are worse than none.
    """

    def listen(self, tell: Tell) -> Callable[[], None]:
        """Call `tell` from now on, until what is returned is called."""
        ...

    async def survey(self) -> Sequence[HostReport]:
        """What all hosts that were attached have now. A host that does not answer is left out."""
        ...


class DriverFactory(Protocol):
    """What an entry point in `interlock.drivers` names: usually the driver's class."""

    @classmethod
    async def open(cls, options: Mapping[str, Any], home: Home) -> Self:
        """Make a driver from the options that the cloud description gives it.

        Raises:
            PluginError: an option is unknown or wrong; the message says which.
        """
        ...
