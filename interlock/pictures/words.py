"""What all pictures share: how a deadline reads, colours of classes, which transitions are one arrow."""

from __future__ import annotations

from interlock.schema.machine import Machine, Stability, State

COLOURS = {Stability.STABLE: "#dbeafe", Stability.TRANSITIONAL: "#fef3c7", Stability.TERMINAL: "#e5e7eb"}
"""What a state's box is filled with, in every picture."""


def deadline(state: State) -> str:
    """What happens when an entity stays too long, e.g. "30 min, then unwind"; empty when it may stay."""
    if state.within is None or state.overdue is None:
        return ""
    return f"{duration(state.within)}, then {state.overdue.value}"


def duration(seconds: int) -> str:
    """Seconds in the largest unit that divides them."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def arrows(machine: Machine) -> dict[tuple[str, str], tuple[str, ...]]:
    """The events of each (source, destination), in table order: what is drawn as one arrow."""
    merged: dict[tuple[str, str], tuple[str, ...]] = {}
    for move in machine.moves:
        pair = (move.source, move.destination)
        merged[pair] = (*merged.get(pair, ()), move.event)
    return merged
