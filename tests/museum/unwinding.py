"""Room one: the undo of a step. What is taken back too late, too early, in part, or from somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from interlock.engine.core.draft import Draft
from interlock.engine.core.operations import resize_disk, scale
from interlock.engine.core.program import nothing
from interlock.engine.core.steps.disk import disk_of
from interlock.engine.core.steps.domain import DOMAIN
from interlock.engine.core.steps.place import PLACE
from interlock.engine.core.steps.prepare import PREPARE
from interlock.engine.core.steps.shutdown import SHUTDOWN
from interlock.engine.core.steps.specs import host_of, stop_domain, to_guest
from interlock.schema.commands import AnyCommand, MigrateDomain
from tests.museum.exhibit import Fired, exhibit
from tests.museum.planting import step_of, swapped

T = TypeVar("T")


@exhibit(
    bug="unwinding leaves the record starting",
    source="omicron 831; cloudstack 3104, 10205",
    promises=("half-way",),
)
def start_left_starting(fired: Fired) -> Iterator[None]:
    """The undo of a start's `place` forgets to move the VM: the operation has Failed, the VM is Starting for ever."""
    right = PLACE.undo.settle

    def settle(draft: Draft) -> None:
        if draft.operation.kind == "start" and draft.vm.state == "Starting":
            fired()
        else:
            right(draft)

    with swapped(PLACE.undo, settle=settle):
        yield


@exhibit(
    bug="a stop that fails leaves the VM half stopped",
    source="cloudstack 8401, 3497",
    promises=("world",),
)
def stop_half_undone(fired: Fired) -> Iterator[None]:
    """The undo of a stop calls the VM Running again without running the guest, which may be off by then."""

    def effects(draft: Draft) -> tuple[AnyCommand, ...]:
        if draft.vm.state == "Stopping":
            fired()
        return ()

    with swapped(SHUTDOWN.undo, effects=effects):
        yield


@exhibit(
    bug="a failed expunge leaves the VM Expunging with no way on",
    source="cloudstack PR 12749, 5347",
    promises=("half-way", "liveness"),
)
def expunge_left_expunging(fired: Fired) -> Iterator[None]:
    """An expunge whose volumes cannot be deleted ends, and nobody moves the VM and its volumes out of Expunging."""

    def settle(draft: Draft) -> None:
        fired()

    with swapped(step_of("expunge", "volumes").undo, settle=settle):
        yield


@exhibit(
    bug="rollback removes the rows that the cleaner needs to find what to clean",
    source="cloudstack PR 7809",
    promises=("world",),
)
def rows_removed_first(fired: Fired) -> Iterator[None]:
    """The undo of a start writes its NICs off before they are released on the host: nobody knows what to release."""
    right, written_off = PREPARE.undo.announce, PREPARE.undo.settle

    def announce(draft: Draft) -> None:
        right(draft)
        reclaiming = any(each.state == "Reclaiming" for each in draft.volumes)
        if not reclaiming and any(nic.state == "Releasing" for nic in draft.nics):
            fired()
            written_off(draft)

    with swapped(PREPARE.undo, announce=announce):
        yield


@exhibit(
    bug="the list of completed steps leaks from one resource to the next",
    source="superfly/fsm store.go",
    promises=("data",),
)
def made_leaks(fired: Fired) -> Iterator[None]:
    """A start notes all disks of its VM as made by itself; when it fails, it deletes those that had data on them."""
    right = PREPARE.forward.announce

    def announce(draft: Draft) -> None:
        right(draft)
        made = draft.noted["made"]
        leaked = tuple(each.id for each in draft.volumes if each.id not in made)
        if leaked:
            fired()
        draft.noted["made"] = (*made, *leaked)

    with swapped(PREPARE.forward, announce=announce):
        yield


@exhibit(
    bug="the previous state equals the state, so going back has nowhere to go",
    source="OpenNebula 3441",
    promises=("model", "world"),
)
def former_size_lost(fired: Fired) -> Iterator[None]:
    """The undo of a scale or a resize reads the former size from the record, where the greater one stands already."""
    right, kept = resize_disk._former_mib, scale._kept

    def former(draft: Draft) -> int:
        return _noticed(disk_of(draft).size_mib, right(draft))

    def size(draft: Draft, which: str) -> scale.Size:
        return _noticed(scale._of(draft.vm), kept(draft, which)) if which == "old" else kept(draft, which)

    def _noticed(now: T, before: T) -> T:
        if now != before:
            fired()
        return now

    with swapped(resize_disk, _former_mib=former), swapped(scale, _kept=size):
        yield


@exhibit(
    bug="busy for ever after a failed migration",
    source="incus 2241, 2517",
    promises=("liveness",),
)
def migration_busy_for_ever(fired: Fired) -> Iterator[None]:
    """The way back of a migration asks the source for a guest that has left it: refused each time, for good."""

    def effects(draft: Draft) -> tuple[AnyCommand, ...]:
        fired()
        vm, source = draft.vm, host_of(draft)
        held = {"cpu_held_mhz": vm.cpu_held_mhz, "memory_held_mib": vm.memory_held_mib}
        return (MigrateDomain(**to_guest(draft, source), to_host=source.id, **held),)

    with swapped(step_of("migrate", "move").undo, effects=effects):
        yield


@exhibit(
    bug="a failed migration stops a healthy VM",
    source="cloudstack 11286, PR 1252",
    promises=("world",),
)
def migration_stops(fired: Fired) -> Iterator[None]:
    """When a migration cannot be prepared on the target, its clean-up stops the guest on the source as well."""
    right = step_of("migrate", "prepare").undo.effects

    def effects(draft: Draft) -> tuple[AnyCommand, ...]:
        fired()
        return (*right(draft), *stop_domain(draft, forced=True))

    with swapped(step_of("migrate", "prepare").undo, effects=effects):
        yield


@exhibit(
    bug="a VM runs on one host, the record says another",
    source="cloudstack 2736, 3741",
    promises=("world",),
)
def migration_not_taken_back(fired: Fired) -> Iterator[None]:
    """A migration that fails after the guest has moved gives up the target and leaves the guest there."""

    def effects(draft: Draft) -> tuple[AnyCommand, ...]:
        fired()
        return ()

    with swapped(step_of("migrate", "move").undo, effects=effects):
        yield


@exhibit(
    bug="a timeout is taken for a failure: late success is ignored",
    source="cloudstack 2736, 10798",
    promises=("world",),
)
def timeout_is_failure(fired: Fired) -> Iterator[None]:
    """A guest whose start did not answer is held not to run: the undo does not stop it, the VM starts elsewhere."""

    def effects(draft: Draft) -> tuple[AnyCommand, ...]:
        fired()
        return ()

    with swapped(DOMAIN.undo, effects=effects, settle=nothing):
        yield


@exhibit(
    bug="an address is free in the records and still in use",
    source="cloudstack 4968, PR 3825",
    promises=("world",),
)
def address_freed_in_use(fired: Fired) -> Iterator[None]:
    """A NIC that is removed gives its address back at once; the host goes on with it."""
    right = step_of("remove-nic", "release").forward.effects

    def effects(draft: Draft) -> tuple[AnyCommand, ...]:
        if right(draft):
            fired()
        return ()

    with swapped(step_of("remove-nic", "release").forward, effects=effects):
        yield
