"""The interlocks: what must stand where before an entity may enter a state.

One table, checked twice: by the core when it decides (`violated`), and by the triggers generated from it in the
transaction that writes. A rule is about *entering* a state: staying in it by another event is not checked again.
Related entities in a terminal state are history and never count.

Within one transaction children are written before their VM (nic, volume, vm, operation), so a rule on a VM sees its
NICs as they will be, and a rule on a NIC sees its VM as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from interlock.schema.errors import TableError
from interlock.schema.machine import Machine, Stability
from interlock.schema.machines import MACHINES


@dataclass(frozen=True, slots=True)
class Related:
    """All entities of `machine` that belong to the VM (or the VM itself) must be in one of `states`."""

    machine: str
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Holds:
    """The entity's own `column` must have a value."""

    column: str


@dataclass(frozen=True, slots=True)
class HoldsNo:
    """The entity's own `column` must be empty: it has given back what it held."""

    column: str


Need = Related | Holds | HoldsNo


@dataclass(frozen=True, slots=True)
class Interlock:
    """An entity of `machine` may enter `state` only if every need is met."""

    machine: str
    state: str
    needs: tuple[Need, ...]


def interlock(machine: str, state: str, *needs: Need) -> Interlock:
    """One row of the table.

    Raises:
        TableError: it names a machine or a state that does not exist.
    """
    _known(machine, state)
    for need in needs:
        if isinstance(need, Related):
            for other in need.states:
                _known(need.machine, other)
    return Interlock(machine, state, needs)


def _known(machine: str, state: str) -> None:
    if machine not in MACHINES:
        raise TableError(f"an interlock names the unknown machine {machine}")
    if state not in MACHINES[machine].states:
        raise TableError(f"an interlock names the unknown state {state} of machine {machine}")


_NOWHERE = (HoldsNo("host_id"), HoldsNo("target_host_id"))
INTERLOCKS = (
    interlock("vm", "Starting", Holds("host_id"), Holds("charged_to")),
    interlock(
        "vm",
        "Running",
        Holds("host_id"),
        HoldsNo("target_host_id"),
        Holds("charged_to"),
        Related("nic", ("Reserved",)),
        Related("volume", ("Ready",)),
    ),
    interlock("vm", "Stopped", *_NOWHERE, Holds("charged_to"), Related("nic", ("Allocated",))),
    interlock("vm", "Destroyed", *_NOWHERE, HoldsNo("charged_to"), Related("nic", ("Allocated",))),
    interlock("vm", "Error", *_NOWHERE, HoldsNo("charged_to"), Related("nic", ("Allocated",))),
    interlock("vm", "Expunged", *_NOWHERE, HoldsNo("charged_to"), Related("nic", ()), Related("volume", ())),
    interlock("nic", "Reserving", Holds("ip_address"), Holds("mac_address")),
    interlock("nic", "Reserved", Holds("ip_address"), Holds("mac_address")),
    interlock(
        "nic",
        "Deallocated",
        *(HoldsNo(column) for column in ("ip_address", "ip6_address", "mac_address", "host_name", "charged_to")),
    ),
    interlock(
        "nic",
        "Deallocating",
        Related("vm", ("Allocated", "Stopped", "Starting", "Running", "Destroyed", "Expunging", "Error")),
    ),
    interlock("volume", "Creating", Holds("pool_id")),
    interlock("volume", "Ready", Holds("pool_id")),
    interlock("volume", "Allocated", HoldsNo("pool_id")),
    interlock("volume", "Expunged", HoldsNo("pool_id"), HoldsNo("charged_to")),
    interlock(
        "volume",
        "Expunging",
        Related("vm", ("Allocated", "Stopped", "Starting", "Restoring", "Destroyed", "Expunging", "Error")),
    ),
)

BY_ENTRY: Mapping[tuple[str, str], Interlock] = {(row.machine, row.state): row for row in INTERLOCKS}


class Standing(msgspec.Struct, frozen=True, gc=False):
    """A related entity, as an interlock sees it."""

    machine: str
    id: str
    state: str


def violated(machine: Machine, state: str, entity: msgspec.Struct, related: Iterable[Standing]) -> Sequence[str]:
    """Why `entity` may not enter `state`, in words; empty when it may."""
    row = BY_ENTRY.get((machine.name, state))
    if row is None:
        return ()
    standing = tuple(related) if any(isinstance(need, Related) for need in row.needs) else ()
    return [reason for need in row.needs for reason in _unmet(need, entity, standing)]


def _unmet(need: Need, entity: msgspec.Struct, related: tuple[Standing, ...]) -> Iterable[str]:
    match need:
        case Holds(column):
            if getattr(entity, column) is None:
                yield f"it holds no {column}"
        case HoldsNo(column):
            if getattr(entity, column) is not None:
                yield f"it still holds {column} {getattr(entity, column)}"
        case Related(machine, states):
            for other in related:
                if other.machine == machine and other.state not in states and not _over(other):
                    yield f"{machine} {other.id} is {other.state}, not {' or '.join(states) or 'gone'}"


def _over(other: Standing) -> bool:
    return MACHINES[other.machine].states[other.state].stability is Stability.TERMINAL
