"""Which states stand in which layer: the first of the three steps of a layered drawing (see `svg.py`).

A picture reads downwards from the initial state. Arrows that would close a circle are laid upside down
(they are drawn pointing up), the rest of the arrows decide how deep each state stands: below all that lead
to it.

Layers alternate: states stand in even layers, the labels of arrows in odd ones, so that no label can fall
on a state. An arrow that spans several layers is a chain of cells, one in each layer between: its label,
and bends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Arrow = tuple[str, str]
"""Source and destination; all transitions between the same two states are one arrow."""

BEND_WIDTH = 12.0
PORT_WIDTH = 15.0
"""Of a state's side, for each line that meets it there: arrow heads must not touch."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a state's box or of a label, in pixels."""

    width: float
    height: float


class Kind(StrEnum):
    """What a cell shows."""

    STATE = "state"
    LABEL = "label"
    BEND = "bend"


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing in one layer. `subject` is the state's name, or the arrow it belongs to."""

    kind: Kind
    subject: str | Arrow
    layer: int
    size: Size


@dataclass(frozen=True, slots=True)
class Chain:
    """One arrow from its upper state to its lower one; `upwards` says that its head is at the upper end."""

    arrow: Arrow
    cells: tuple[Cell, ...]
    upwards: bool


@dataclass(frozen=True, slots=True)
class Layered:
    """Cells by layer, in the order they were made, and the chains that connect them."""

    layers: tuple[tuple[Cell, ...], ...]
    chains: tuple[Chain, ...]


def layered(states: Mapping[str, Size], labels: Mapping[Arrow, Size], initial: str) -> Layered:
    """Give each state a layer and each arrow a chain of cells. No arrow may lead to its own source."""
    upwards = _closing(labels, initial)
    depth = _depths(states, [_downwards(arrow, upwards) for arrow in labels])
    wide = _widened(states, labels, upwards)
    boxes = {name: Cell(Kind.STATE, name, 2 * depth[name], size) for name, size in wide.items()}
    crowd = [0.0] * (2 * max(depth.values()) + 1)
    chains = {}
    for arrow in sorted(labels, key=lambda each: abs(depth[each[0]] - depth[each[1]])):
        upper, lower = (boxes[name] for name in _downwards(arrow, upwards))
        between = _between(arrow, upper.layer, lower.layer, labels[arrow], crowd)
        chains[arrow] = Chain(arrow, (upper, *between, lower), arrow in upwards)
    return _gathered(boxes.values(), [chains[arrow] for arrow in labels], len(crowd))


def _downwards(arrow: Arrow, upwards: frozenset[Arrow]) -> Arrow:
    return (arrow[1], arrow[0]) if arrow in upwards else arrow


def _widened(states: Mapping[str, Size], arrows: Iterable[Arrow], upwards: frozenset[Arrow]) -> dict[str, Size]:
    """The boxes, wide enough for all lines that meet them above or below."""
    laid = [_downwards(arrow, upwards) for arrow in arrows]
    below, above = Counter(upper for upper, _ in laid), Counter(lower for _, lower in laid)
    return {
        name: Size(max(size.width, PORT_WIDTH * (max(below[name], above[name]) + 1)), size.height)
        for name, size in states.items()
    }


def _closing(arrows: Iterable[Arrow], initial: str) -> frozenset[Arrow]:
    """The arrows that close a circle, met on a walk in depth from the initial state."""
    following: dict[str, list[str]] = {}
    for source, destination in arrows:
        following.setdefault(source, []).append(destination)
    closing: set[Arrow] = set()
    _walk(initial, following, [], set(), closing)
    return frozenset(closing)


def _walk(state: str, following: Mapping[str, list[str]], path: list[str], seen: set[str], closing: set[Arrow]) -> None:
    seen.add(state)
    path.append(state)
    for after in following.get(state, ()):
        if after in path:
            closing.add((state, after))
        elif after not in seen:
            _walk(after, following, path, seen, closing)
    path.pop()


def _depths(states: Iterable[str], arrows: Sequence[Arrow]) -> dict[str, int]:
    """The longest way down to each state. The arrows have no circle, so this comes to rest."""
    depth = dict.fromkeys(states, 0)
    moved = True
    while moved:
        moved = False
        for upper, lower in arrows:
            if depth[lower] <= depth[upper]:
                depth[lower] = depth[upper] + 1
                moved = True
    return depth


def _between(arrow: Arrow, upper: int, lower: int, label: Size, crowd: list[float]) -> list[Cell]:
    """The cells of one arrow, its label in the odd layer that is least crowded so far."""
    middle = (upper + lower) / 2
    home = min(range(upper + 1, lower, 2), key=lambda layer: (crowd[layer], abs(layer - middle), layer))
    cells = []
    for layer in range(upper + 1, lower):
        kind, size = (Kind.LABEL, label) if layer == home else (Kind.BEND, Size(BEND_WIDTH, 0.0))
        crowd[layer] += size.width
        cells.append(Cell(kind, arrow, layer, size))
    return cells


def _gathered(boxes: Iterable[Cell], chains: Sequence[Chain], count: int) -> Layered:
    layers: list[list[Cell]] = [[] for _ in range(count)]
    for cell in (*boxes, *(cell for chain in chains for cell in chain.cells[1:-1])):
        layers[cell.layer].append(cell)
    return Layered(tuple(tuple(layer) for layer in layers), tuple(chains))
