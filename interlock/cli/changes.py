"""How what a transition, or several, changed is told: attributes as they were and are, entities by what people call
them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from interlock.cli.layout import Cell
from interlock.replay.fleet import Fleet
from interlock.schema.records import Nic, Operation, Vm, Volume


def attributes(differing: dict[str, tuple[Any, Any]]) -> Iterator[Cell]:
    """A line for each: `host_id: - → north-host-1`."""
    for name, (old, new) in differing.items():
        yield f"{name}: {shown(old)} → {shown(new)}", ""


def shown(value: object) -> str:
    """A value on one line; what is not set is a dash."""
    if value is None or value in ("", ()):
        return "-"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def name_of(entity: Any, fleet: Fleet) -> str:
    """What people call it: a VM by its name, what belongs to it beside that."""
    if isinstance(entity, Vm | Volume):
        return entity.name
    vm = fleet.record("vm", entity.vm_id or "")
    owner = vm.name if isinstance(vm, Vm) else ""
    if isinstance(entity, Nic):
        return f"{owner} {entity.device}"
    assert isinstance(entity, Operation)
    volume = fleet.record("volume", entity.volume_id or "")
    return f"{entity.kind} {owner or (volume.name if isinstance(volume, Volume) else '')}".strip()
