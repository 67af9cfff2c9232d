"""How a state is shown in a timeline: five tones, each a light ground for dark text, told apart by a character as well.

A tone follows from the machine's own class of the state and from two short lists; a state of no machine of ours is at
rest. The same tones serve pages, dark ones too (texts and spans stand on a light ground), and terminals.
"""

from __future__ import annotations

from enum import StrEnum

from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES


class Tone(StrEnum):
    """What a state means to whoever looks at many."""

    LIVE = "live"
    RESTING = "resting"
    MOVING = "moving"
    BAD = "bad"
    OVER = "over"


LIVE = frozenset({"Running", "Ready", "Reserved", "Succeeded"})
BAD = frozenset({"Error", "Unknown", "Stuck", "Failed", "UploadError", "UploadAbandoned"})
GROUNDS = {
    Tone.LIVE: "#bbf7d0",
    Tone.RESTING: "#dbeafe",
    Tone.MOVING: "#fde68a",
    Tone.BAD: "#fecaca",
    Tone.OVER: "#e2e8f0",
}
EDGES = {
    Tone.LIVE: "#15803d",
    Tone.RESTING: "#1d4ed8",
    Tone.MOVING: "#b45309",
    Tone.BAD: "#b91c1c",
    Tone.OVER: "#64748b",
}
FILLS = {Tone.LIVE: "━", Tone.RESTING: "─", Tone.MOVING: "▒", Tone.BAD: "!", Tone.OVER: "·"}
"""In a terminal, where a span is longer than its state's name."""
STYLES = {Tone.LIVE: "green", Tone.RESTING: "blue", Tone.MOVING: "yellow", Tone.BAD: "bold red", Tone.OVER: "dim"}
MEANING = {
    Tone.LIVE: "in use",
    Tone.RESTING: "at rest",
    Tone.MOVING: "under way",
    Tone.BAD: "needs somebody",
    Tone.OVER: "ended",
}


def tone(machine: str, state: str) -> Tone:
    """The tone of a state."""
    if state in BAD:
        return Tone.BAD
    known = MACHINES[machine].states.get(state) if machine in MACHINES else None
    if machine == "operation" and state == "Running":
        return Tone.MOVING
    if state in LIVE:
        return Tone.LIVE
    if known is not None and known.stability is Stability.TRANSITIONAL:
        return Tone.MOVING
    return Tone.OVER if known is not None and known.stability is Stability.TERMINAL else Tone.RESTING
