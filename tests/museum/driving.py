"""Room five: the driver. One that forgets what it did, or does half of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

from interlock.schema.commands import AnyCommand, Done, MigrateDomain, Outcome, StopDomain
from interlock.testing.fuzz.hypervisor import MemoryHypervisor
from tests.museum.exhibit import Fired, exhibit
from tests.museum.planting import swapped


@exhibit(
    bug="one VM runs on two hosts",
    source="cloudstack 2890, PR 2472, 1640",
    promises=("one guest",),
)
def second_copy(fired: Fired) -> Iterator[None]:
    """A migration to where the guest is already, asked for once more or taken back though it never happened, runs the
    guest on the other host as well."""
    copies: WeakKeyDictionary[MemoryHypervisor, dict[str, str]] = WeakKeyDictionary()
    right, found = MemoryHypervisor.perform, MemoryHypervisor.guests

    def perform(self: MemoryHypervisor, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        mine = copies.setdefault(self, {})
        there = command.vm_id and [host for host, _ in found(self, command.vm_id)]
        outcome = right(self, command, token=token, fence=fence)
        if isinstance(command, MigrateDomain) and isinstance(outcome, Done) and there == [command.to_host]:
            if command.at != command.to_host:
                fired()
                mine[command.vm_id] = command.at
        elif isinstance(command, StopDomain) and mine.get(command.vm_id) == command.at:
            del mine[command.vm_id]
        return outcome

    def guests(self: MemoryHypervisor, vm_id: str) -> Iterable[tuple[str, bool]]:
        copy = copies.get(self, {}).get(vm_id)
        return [*found(self, vm_id), *([(copy, True)] if copy else [])]

    with swapped(MemoryHypervisor, perform=perform, guests=guests):
        yield
