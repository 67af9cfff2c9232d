"""A state machine as text for other programs to draw (Mermaid, Graphviz) and as rows for a terminal.

Transitions between the same two states are one arrow whose label has a line for each event: a VM has twice
as many transitions as pairs of states, and drawn one by one nobody could follow them.
"""

from __future__ import annotations

from collections.abc import Iterable

from interlock.pictures.words import COLOURS, arrows, deadline
from interlock.schema.machine import Machine, Stability, State

DASHES = {Stability.STABLE: "solid", Stability.TRANSITIONAL: "dashed", Stability.TERMINAL: "bold"}


def as_rows(machine: Machine) -> list[tuple[str, str, str, str]]:
    """A row for each transition and each terminal state: source, class and deadline, event, destination."""
    rows = []
    for state in machine.states.values():
        moves = [move for move in machine.moves if move.source == state.name]
        rows += [(state.name, _standing(state), move.event, move.destination) for move in moves]
        if not moves:
            rows.append((state.name, _standing(state), "", ""))
    return rows


def _standing(state: State) -> str:
    return ", ".join(filter(None, (state.stability.value, deadline(state))))


def as_mermaid(machine: Machine) -> str:
    """A `stateDiagram-v2`; GitHub and most documentation tools draw it in place."""
    return _lines(
        [
            "stateDiagram-v2",
            *(f"    {line}" for line in _mermaid_classes()),
            *(f"    {_mermaid_state(state)}" for state in machine.states.values()),
            f"    [*] --> {machine.initial}",
            *(
                f"    {source} --> {destination} : {'<br/>'.join(events)}"
                for (source, destination), events in arrows(machine).items()
            ),
            *(f"    {name} --> [*]" for name in machine.names(Stability.TERMINAL)),
        ]
    )


def _mermaid_classes() -> Iterable[str]:
    for stability, colour in COLOURS.items():
        dashes = ",stroke-dasharray:5 3" if stability is Stability.TRANSITIONAL else ""
        yield f"classDef {stability.value} fill:{colour},stroke:#475569,color:#0f172a{dashes}"


def _mermaid_state(state: State) -> str:
    within = deadline(state)
    label = f"{state.name} ({within})" if within else state.name
    return f'state "{label}" as {state.name}\n    class {state.name} {state.stability.value}'


def as_dot(machine: Machine) -> str:
    """A Graphviz digraph, e.g. for `dot -Tpdf`."""
    return _lines(
        [
            f"digraph {_quoted(machine.name)} {{",
            '    node [shape=box, style="rounded,filled", fontname="monospace", fontsize=12];',
            '    edge [fontname="monospace", fontsize=10];',
            '    "" [shape=point, width=0.15];',
            *(f"    {_dot_state(state)}" for state in machine.states.values()),
            f'    "" -> {_quoted(machine.initial)};',
            *(
                f"    {_quoted(source)} -> {_quoted(destination)} [label={_quoted(*events)}];"
                for (source, destination), events in arrows(machine).items()
            ),
            "}",
        ]
    )


def _dot_state(state: State) -> str:
    label = _quoted(state.name, *filter(None, [deadline(state)]))
    style = f'"rounded,filled,{DASHES[state.stability]}"'
    return (
        f"{_quoted(state.name)} [label={label}, class={state.stability.value}, "
        f'fillcolor="{COLOURS[state.stability]}", style={style}];'
    )


def _quoted(*lines: str) -> str:
    """A DOT string of several lines."""
    return '"' + r"\n".join(line.replace("\\", r"\\").replace('"', r"\"") for line in lines) + '"'


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
