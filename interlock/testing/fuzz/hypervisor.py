"""The hypervisor of the fuzzer: the simulator's own rules on a world in memory, asked one command at a time.

Promises: what a command does and how tokens and fences are kept is the simulator's (`delivery.deliver`), so what is
fuzzed is what ships. All lies (lost replies, late effects, duplicates) are told by the network in front of it
(`network.py`), which works in front of any driver. Never waits, and knows no time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Protocol

from interlock.drivers.simulator import capabilities, outside, tables, world
from interlock.drivers.simulator.delivery import Sent, deliver
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Outcome
from interlock.testing.seen import Seen, seen_in

STATEMENTS = 256
"""Compiled statements kept. Too low: each is compiled anew; too high: nothing, there are about 70."""

GUESTS = "SELECT host, power FROM domain WHERE vm = ?"
DISKS = "SELECT pool FROM volume WHERE id = ? ORDER BY pool"
LOST = "SELECT id FROM host WHERE lost IS NOT NULL ORDER BY id"
NICS = "SELECT host FROM nic WHERE id = ? ORDER BY host"


class Act(StrEnum):
    """What happens to guests and hosts that no command asked for."""

    SHUTS_DOWN = "shuts down"
    CRASHES = "crashes"
    VANISHES = "vanishes"
    MOVES = "is moved"
    APPEARS = "appears"
    IS_LOST = "is lost"
    """A host: no command reaches it, and its guests run on."""
    IS_BACK = "is back"


class Hypervisor(Protocol):
    """What the fuzzer asks of a driver under test, once commands are to be carried out."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can."""
        ...

    def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        """Carry a command out."""
        ...

    def guests(self, vm_id: str) -> Iterable[tuple[str, bool]]:
        """The hosts that have a guest of the VM, and whether it runs there."""
        ...

    def disks(self, volume_id: str) -> Iterable[str] | None:
        """The pools that have the disk; None: that cannot be seen."""
        ...

    def nics(self, nic_id: str) -> Iterable[str] | None:
        """The hosts on which the NIC is ready; None: that cannot be seen."""
        ...

    def seen(self) -> Seen:
        """All there is now, as far as can be seen."""
        ...

    def happens(self, act: Act, guest: str, host: str) -> bool:
        """Something happens to a guest or a host that no command asked for; False if it cannot, or changes nothing."""
        ...

    def lost(self) -> Iterable[str]:
        """The hosts that are lost now."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class MemoryHypervisor:
    """The simulator without file, thread, latency or faults."""

    def __init__(self, hosts: Iterable[Host], pools: Iterable[StoragePool]) -> None:
        self.capabilities = capabilities.ALL
        self._found: dict[tuple[str, str], list[Any]] = {}
        """What the world was found to have since something last happened."""
        self._db = _EMPTY.pop() if _EMPTY else _empty()
        self._db.execute("BEGIN")  # and never a commit: nothing of it is to last
        world.attach(self._db, tuple(hosts), tuple(pools))

    def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        """See `Hypervisor`."""
        self._found.clear()
        outcome = deliver(self._db, Sent(command, token, fence), 0.0, self.capabilities)
        assert outcome is not None  # only an order of a fault answers nothing, and none is ever given
        return outcome

    def guests(self, vm_id: str) -> Iterable[tuple[str, bool]]:
        """See `Hypervisor`."""
        return [(host, power == world.Power.ON) for host, power in self._find(GUESTS, vm_id)]

    def disks(self, volume_id: str) -> Iterable[str]:
        """See `Hypervisor`."""
        return [pool for (pool,) in self._find(DISKS, volume_id)]

    def nics(self, nic_id: str) -> Iterable[str]:
        """See `Hypervisor`."""
        return [host for (host,) in self._find(NICS, nic_id)]

    def _find(self, query: str, entity_id: str) -> list[Any]:
        """What a query finds; asked once until something happens."""
        found = self._found.get((query, entity_id))
        if found is None:
            found = self._found[query, entity_id] = self._db.execute(query, (entity_id,)).fetchall()
        return found

    def seen(self) -> Seen:
        """See `Hypervisor`."""
        return seen_in(world.read(self._db))

    def happens(self, act: Act, guest: str, host: str) -> bool:
        """See `Hypervisor`."""
        self._found.clear()
        match act:
            case Act.SHUTS_DOWN | Act.CRASHES:
                return bool(outside.switch(self._db, guest, world.Power.OFF, str(act), 0.0))
            case Act.VANISHES:
                return bool(outside.undefine(self._db, guest, 0.0))
            case Act.MOVES:
                return bool(outside.move(self._db, guest, host, 0.0))
            case Act.APPEARS:
                return bool(outside.appear(self._db, guest, host, 0.0))
            case Act.IS_LOST:
                return bool(outside.lose(self._db, host, dies=False, silent=False, now=0.0))
            case Act.IS_BACK:
                return bool(outside.bring_back(self._db, host, 0.0))

    def lost(self) -> Iterable[str]:
        """See `Hypervisor`."""
        return [host for (host,) in self._db.execute(LOST)]

    def close(self) -> None:
        """See `Hypervisor`."""
        db = self._db
        del self._db  # it will be another's
        db.execute("ROLLBACK")
        _EMPTY.append(db)


_EMPTY: list[sqlite3.Cursor] = []
"""Worlds that nobody uses now: to build one, and to compile its statements, takes as long as ten events."""


def _empty() -> sqlite3.Cursor:
    """A world without anything. Whoever has it has it alone, but the next one may be another thread."""
    memory = sqlite3.connect(":memory:", isolation_level=None, cached_statements=STATEMENTS, check_same_thread=False)
    db = memory.cursor()
    for statement in tables.BUILD:
        db.execute(statement)
    return db
