"""What came of a history, recorded or not: where each VM stood last, how operations ended, how full hosts were.

Told each decision that was written; what it keeps grows with VMs, operations and hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from interlock.engine.core.decision import Change
from interlock.schema.cloud import Host
from interlock.schema.records import Operation, Vm

WELL = "Succeeded"


class Stand(msgspec.Struct, frozen=True):
    """A VM, and where it stands, or stood last."""

    name: str
    host_id: str | None
    state: str
    holds: bool
    """Whether it holds that host now."""


class End(msgspec.Struct, frozen=True):
    """How an operation stands."""

    kind: str
    vm_id: str | None
    state: str
    error: str | None
    attempts: int


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """How full a host is; shares are of what it has."""

    host_id: str
    cpu: float
    memory: float
    most_cpu: float = 0.0
    most_memory: float = 0.0


class Tally:
    """What came of it so far."""

    def __init__(self) -> None:
        self.vms: dict[str, Stand] = {}
        self.operations: dict[str, End] = {}
        self._most: dict[str, tuple[float, float]] = {}

    def add(self, changes: Iterable[Change], hosts: Mapping[str, Any]) -> None:
        """Take a decision; `hosts` as they are after it."""
        for change in changes:
            match after := change.after:
                case Vm():
                    host_id = after.host_id or after.last_host_id
                    self.vms[after.id] = Stand(after.name, host_id, after.state, after.host_id is not None)
                case Operation():
                    end = End(after.kind, after.vm_id, after.state, after.error, after.attempt)
                    self.operations[after.id] = end
            for movement in change.ledger:
                if movement.thing == "cpu" and (host := hosts.get(movement.where)) is not None:
                    self._note(host)

    def _note(self, host: Host) -> None:
        cpu, memory = self._most.get(host.id, (0.0, 0.0))
        now = fill_of(host)
        self._most[host.id] = max(cpu, now.cpu), max(memory, now.memory)

    def fills(self, hosts: Iterable[Host]) -> list[Fill]:
        """How full hosts are now, and were at most, by id."""
        found = []
        for host in sorted(hosts, key=lambda host: host.id):
            cpu, memory = self._most.get(host.id, (0.0, 0.0))
            found.append(msgspec.structs.replace(fill_of(host), most_cpu=cpu, most_memory=memory))
        return found


def fill_of(host: Host) -> Fill:
    """How full a host is now."""
    return Fill(
        host_id=host.id,
        cpu=host.cpu_used_mhz / host.cpu_mhz if host.cpu_mhz else 0.0,
        memory=host.memory_used_mib / host.memory_mib if host.memory_mib else 0.0,
    )
