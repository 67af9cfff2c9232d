"""Puts a real driver under the fuzzer: asked one command at a time, on an event loop and in a folder of its own.

The network in front of it does the lying, so the driver need not know how to fail. What the oracle compares it with is
what `observe` shows, as in the conformance kit: what cannot be seen is not compared.

Promises: nothing is left behind by `close`. A driver that raises breaks its protocol, and is told of as a violation.
Not for use inside a running event loop; a thread will do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from interlock.drivers.protocol import Driver, Home
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Done, Outcome, Refused
from interlock.testing.fuzz.hypervisor import Act, Hypervisor
from interlock.testing.fuzz.violation import Violation
from interlock.testing.seen import Seen

T = TypeVar("T")
Make = Callable[[Home], Awaitable[Any]]
"""Opens the driver in a fresh home."""
Observe = Callable[[Any], Awaitable[Seen]]
"""All that is in the driver's world, by the driver."""


def driven(make: Make, observe: Observe) -> Callable[[Iterable[Host], Iterable[StoragePool]], Hypervisor]:
    """What `Setting.hypervisor` takes, for a driver of one's own.

    Args:
        make: opens the driver, as the kit's `make` does.
        observe: what is in its world, as the kit's `observe` says.
    """
    return lambda hosts, pools: Driven(make, observe, tuple(hosts), tuple(pools))


class Driven:
    """A driver as the fuzzer's hypervisor."""

    def __init__(self, make: Make, observe: Observe, hosts: tuple[Host, ...], pools: tuple[StoragePool, ...]) -> None:
        self._loop = asyncio.new_event_loop()
        self._folder = TemporaryDirectory(prefix="interlock-fuzz-")
        self._observe = observe
        self._seen: Seen | None = None
        self._driver: Driver = self._do(_made(make, Home(Path(self._folder.name), "fuzz")))
        self._do(_attached(self._driver, hosts, pools))
        self.capabilities = self._driver.capabilities

    def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        """See `Hypervisor`."""
        self._seen = None
        try:
            outcome = self._do(self._driver.perform(command, token=token, fence=fence))
        except Exception as error:
            raise Violation("driver", f"{type(command).__name__} of {command.subject} raised {error!r}") from error
        if not isinstance(outcome, Done | Refused):
            raise Violation("driver", f"{type(command).__name__} of {command.subject} answered {outcome!r}")
        return outcome

    def guests(self, vm_id: str) -> Iterable[tuple[str, bool]]:
        """See `Hypervisor`."""
        return [(each.host_id, each.running) for each in self.seen().guests if each.vm_id == vm_id]

    def disks(self, volume_id: str) -> Iterable[str] | None:
        """See `Hypervisor`."""
        disks = self.seen().disks
        return None if disks is None else [each.pool_id for each in disks if each.id == volume_id]

    def nics(self, nic_id: str) -> Iterable[str] | None:
        """See `Hypervisor`."""
        nics = self.seen().nics
        return None if nics is None else [each.host_id for each in nics if each.id == nic_id]

    def seen(self) -> Seen:
        """See `Hypervisor`."""
        if self._seen is None:
            self._seen = self._do(_observed(self._observe, self._driver))
        return self._seen

    def happens(self, act: Act, guest: str, host: str) -> bool:
        """See `Hypervisor`: nobody else acts on the driver's world."""
        return False

    def lost(self) -> Iterable[str]:
        """See `Hypervisor`."""
        return ()

    def close(self) -> None:
        """See `Hypervisor`."""
        self._do(self._driver.close())
        self._loop.close()
        self._folder.cleanup()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


async def _made(make: Make, home: Home) -> Any:
    return await make(home)


async def _attached(driver: Driver, hosts: tuple[Host, ...], pools: tuple[StoragePool, ...]) -> None:
    await driver.attach(hosts, pools)


async def _observed(observe: Observe, driver: Driver) -> Seen:
    return await observe(driver)
