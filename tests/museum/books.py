"""Room three: what the database refuses. Checked in the request and not in the commit, or counted on one side only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from interlock.engine.core.decision import Change, Decision
from interlock.engine.store.memory import Figure, MemoryStore, Refused
from interlock.schema import holdings
from interlock.schema.holdings import FREE, Limited, Movement
from interlock.schema.records import Vm, Volume
from tests.museum.exhibit import Fired, exhibit
from tests.museum.planting import entry, swapped

ACCOUNTS = ("account", "domain")
"""What has limits."""


def _unguarded(fired: Fired, *names: str) -> Any:
    """`MemoryStore._figure` that takes anything of the places of these names."""
    right = MemoryStore._figure

    def figure(self: MemoryStore, figure: Figure, amount: int) -> int:
        name, place_id, column = figure
        try:
            return right(self, figure, amount)
        except Refused:
            if name not in names:
                raise
            fired()
            return int(getattr(self.places[name][place_id], column) + amount)

    return swapped(MemoryStore, _figure=figure)


@exhibit(
    bug="capacity is checked before the commit, and not in it",
    source="cloudstack PR 1180, PR 3728",
    promises=("capacity",),
)
def capacity_checked_before(fired: Fired) -> Iterator[None]:
    """Two VMs that are planned at the same time both get the last room of a host or a pool."""
    with _unguarded(fired, "host", "storage_pool"):
        yield


@exhibit(
    bug="limits are counted by each request for itself",
    source="cloudstack PR 8302, PR 9169",
    promises=("limits",),
)
def limits_by_request(fired: Fired) -> Iterator[None]:
    """Two requests that are admitted at the same time both get the last of what an account or a domain may have."""
    with _unguarded(fired, *ACCOUNTS):
        yield


@exhibit(
    bug="one address for two NICs",
    source="cloudstack 9234, PR 9240",
    promises=("unique",),
)
def address_twice(fired: Fired) -> Iterator[None]:
    """Whether an address is free is looked at when it is chosen, and not when it is written."""
    right = MemoryStore._things_free

    def free(self: MemoryStore, ledger: Iterable[Movement]) -> None:
        try:
            right(self, ledger)
        except Refused:
            fired()

    with swapped(MemoryStore, _things_free=free):
        yield


@exhibit(
    bug="a generation that is read in one transaction and written in another goes backwards",
    source="omicron 1745",
    promises=("journal",),
)
def stale_write_wins(fired: Fired) -> Iterator[None]:
    """A record is written whatever became of it since it was read."""
    right = MemoryStore._not_stale

    def fresh(self: MemoryStore, changes: Sequence[Change]) -> None:
        try:
            right(self, changes)
        except Refused:
            fired()

    with swapped(MemoryStore, _not_stale=fresh):
        yield


@exhibit(
    bug="a second lock is taken for running",
    source="lxd 14042; cloudstack PR 9725, 10367",
    promises=("one operation",),
)
def two_operations(fired: Fired) -> Iterator[None]:
    """A VM, or a disk, that has an operation under way gets another."""
    right = MemoryStore._one_owner

    def owner(self: MemoryStore, decision: Decision) -> None:
        try:
            right(self, decision)
        except Refused:
            fired()

    with swapped(MemoryStore, _one_owner=owner):
        yield


def _gives_back_less(fired: Fired, kept: Any) -> Any:
    """`MemoryStore._within` without the movements that `kept(movement, ledger)` says."""
    right = MemoryStore._within

    def within(self: MemoryStore, ledger: Iterable[Movement]) -> dict[Figure, int]:
        moved = list(ledger)
        left = [each for each in moved if each.giver == FREE or not kept(each, moved)]
        if left != moved:
            fired()
        return right(self, left)

    return swapped(MemoryStore, _within=within)


@exhibit(
    bug="reserved capacity is not given back when the VM starts on another host",
    source="cloudstack PR 13363; omicron 4662, 10695",
    promises=("ledger",),
)
def capacity_not_drained(fired: Fired) -> Iterator[None]:
    """A VM that goes from one host to the next takes its capacity there, and leaves what it held here."""

    def kept(given: Movement, ledger: list[Movement]) -> bool:
        return given.thing in ("cpu", "memory") and _taken_elsewhere(given, ledger)

    with _gives_back_less(fired, kept):
        yield


@exhibit(
    bug="what is handed over is counted twice",
    source="cloudstack 8927, PR 8171, PR 3669",
    promises=("ledger",),
)
def assigned_counted_twice(fired: Fired) -> Iterator[None]:
    """A VM that is assigned counts against its new owner's limits, and goes on counting against the old one's."""
    limited = {row.thing for row in holdings.METERED if isinstance(row, Limited)}

    def kept(given: Movement, ledger: list[Movement]) -> bool:
        return given.thing in limited and _taken_elsewhere(given, ledger)

    with _gives_back_less(fired, kept):
        yield


def _taken_elsewhere(given: Movement, ledger: list[Movement]) -> bool:
    return any(each.thing == given.thing and each.taker == given.giver and each.where != given.where for each in ledger)


@exhibit(
    bug="a VM that migrates is not counted",
    source="cloudstack PR 3727",
    promises=("ledger", "capacity"),
)
def migrating_not_counted(fired: Fired) -> Iterator[None]:
    """What a VM holds of the host it migrates to is missing in the table of what is held."""
    known = zip(holdings._METERED_BY["vm"], holdings._HOLDINGS["vm"], strict=True)
    rest = [holding for rule, holding in known if rule.key != "target_host_id"]
    right = MemoryStore._write

    def write(self: MemoryStore, change: Change) -> None:
        if isinstance(change.after, Vm) and change.after.target_host_id is not None:
            fired()
        right(self, change)

    with entry(holdings._HOLDINGS, "vm", rest), swapped(MemoryStore, _write=write):
        yield


@exhibit(
    bug="a change on one path leaves no event",
    source="cloudstack PR 8545, 4151",
    promises=("journal",),
)
def row_not_written(fired: Fired) -> Iterator[None]:
    """A disk that is unplugged from a running guest changes its record without a row in the journal."""
    right = MemoryStore._write

    def write(self: MemoryStore, change: Change) -> None:
        right(self, change)
        if isinstance(change.after, Volume) and change.entry.source == "Detaching":
            fired()
            self.journal.remove(change.entry)

    with swapped(MemoryStore, _write=write):
        yield
