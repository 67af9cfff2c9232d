"""The fleet as the journal has it after some row: every VM, NIC, volume and operation, and how full the places are.

`Rebuild` checks each row and gives the records; here stands what one asks of them: by name, by VM, counts per state,
capacity. A row costs the same however many there were; memory is that of the records, not of the journal.

Never reads anything: rows are added by whoever plays them (`rewind.py`). Places (hosts, pools, accounts, …) are given:
what of them a journal does not tell is taken as it is now; what is held of them follows from the journal alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from interlock.engine.core.rebuild import Rebuild
from interlock.replay.usage import Usage
from interlock.schema.cloud import PLACES, Place
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.holdings import Movement
from interlock.schema.records import RECORDS, Entity, Nic, Operation, Vm, Volume
from interlock.schema.transition import Transition

_movements = msgspec.json.Decoder(list[Movement]).decode
NOTHING = "[]"
"""The ledger of a row that moves nothing."""
T = TypeVar("T", Nic, Volume, Operation)
GONE = ("Expunged", "Expunging", "Error")
"""VM states in which its name is free for another."""


class Fleet:
    """The state after the rows that were added.

    Args:
        places: what VMs run on and belong to, by table; their `used` columns are not looked at.
    """

    def __init__(self, places: Mapping[str, Iterable[Place]]) -> None:
        self._rebuilt = Rebuild()
        self._usage = Usage()
        self._places: dict[str, dict[str, Place]] = {name: {} for name in PLACES}
        self._places |= {name: {each.id: each for each in found} for name, found in places.items()}
        self._named: dict[str, list[str]] = {}
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in RECORDS}
        """How many of each machine are in each state."""
        self.last: Transition | None = None
        """The last row; None before the first."""
        self.fills = 0
        """Rises whenever a place may have become fuller or emptier: what was seen of places holds until then."""
        self.time = 0
        """The latest time that any row so far was decided at, µs: clocks of several workers may differ."""

    @property
    def seq(self) -> int:
        """The number of the last row; 0 before the first."""
        return self._rebuilt.head

    def add(self, row: Transition) -> None:
        """Take one more row.

        Raises:
            JournalBroken: it cannot follow the rows before it.
        """
        after = self._rebuilt.add(row)
        if row.ledger != NOTHING:
            self._usage.add(_movements(row.ledger))
            self.fills += 1
        if not row.source and isinstance(after, Vm):
            self._named.setdefault(after.name, []).append(after.id)
        if row.machine in self.counts:
            self._count(row)
        self.last, self.time = row, max(self.time, row.at)

    def _count(self, row: Transition) -> None:
        counts = self.counts[row.machine]
        counts[row.destination] += 1
        if row.source:
            counts[row.source] -= 1

    def copy(self) -> Fleet:
        """The same, which rows that are added here do not change any more."""
        other = Fleet({})
        other._rebuilt.records = {name: dict(found) for name, found in self._rebuilt.records.items()}
        other._rebuilt.head = self._rebuilt.head
        other._usage = self._usage.copy()
        other._places = {name: dict(found) for name, found in self._places.items()}
        other._named = {name: list(ids) for name, ids in self._named.items()}
        other.counts = {name: counts.copy() for name, counts in self.counts.items()}
        other.last, other.time, other.fills = self.last, self.time, self.fills
        return other

    # --- records

    def records(self, machine: str) -> Mapping[str, Any]:
        """All records of a machine, by id, also those that are gone."""
        return self._rebuilt.records[machine]

    def record(self, machine: str, entity_id: str) -> Entity | None:
        """One record; None if it is not there yet."""
        return self._rebuilt.records.get(machine, {}).get(entity_id)

    def find(self, name_or_id: str) -> Vm | None:
        """The VM with that id or name; of several with one name a living one, the youngest; None if there is none."""
        vms: dict[str, Any] = self._rebuilt.records["vm"]
        named: list[Vm] = [vms[each] for each in self._named.get(name_or_id, ())]
        living = [vm for vm in named if vm.state not in GONE]
        return vms.get(name_or_id) or next(reversed(living or named), None)

    def vm(self, name_or_id: str) -> Vm:
        """One VM, which must be meant without doubt.

        Raises:
            NotFound: there is none yet.
            InvalidRequest: several live under that name, in different accounts.
        """
        found = self.find(name_or_id)
        if found is None:
            raise NotFound(f"after transition {self.seq} there is no VM {name_or_id!r}")
        named = [self.records("vm")[each] for each in self._named.get(name_or_id, ())]
        living = [vm.id for vm in named if vm.state not in GONE]
        if len(living) > 1 and found.id != name_or_id:
            raise InvalidRequest(f"several VMs are named {name_or_id}; say which: {', '.join(living)}")
        return found

    def nics(self, vm_id: str) -> list[Nic]:
        """All NICs that a VM has or had, by device."""
        return sorted(self._belonging("nic", Nic, vm_id), key=lambda nic: (nic.device, nic.id))

    def volumes(self, vm_id: str) -> list[Volume]:
        """All volumes of a VM, by device."""
        found = self._belonging("volume", Volume, vm_id)
        return sorted(found, key=lambda volume: (volume.device is None, volume.device or 0, volume.id))

    def operations(self, vm_id: str) -> list[Operation]:
        """All operations on a VM, the oldest first."""
        return sorted(self._belonging("operation", Operation, vm_id), key=lambda operation: operation.id)

    def _belonging(self, machine: str, kind: type[T], vm_id: str) -> list[T]:
        found = self._rebuilt.records[machine].values()
        return [each for each in found if isinstance(each, kind) and each.vm_id == vm_id]

    # --- places

    def places(self, kind: str) -> list[Place]:
        """All places of a table, by id, each with what is held of it."""
        return [self._usage.of(kind, place, self._places) for _, place in sorted(self._places[kind].items())]

    def place(self, kind: str, place_id: str) -> Place | None:
        """One of them; None if there is none."""
        found = self._places.get(kind, {}).get(place_id)
        return None if found is None else self._usage.of(kind, found, self._places)
