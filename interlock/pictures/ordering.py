"""The order of the cells in each layer, such that few arrows cross: the second of the three steps.

Each sweep walks the layers down, then up, and sorts each layer by the mean place of its neighbours in the
layer before (the barycenter); then neighbours change places wherever that removes crossings. The best order
seen is kept. Nothing here is left to chance: the same machine always gives the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

from interlock.pictures.layers import Cell, Chain, Layered

SWEEPS = 16
"""More sweeps found no better order for any of our machines."""

Order = list[list[Cell]]
Links = Mapping[Cell, Sequence[Cell]]


def ordered(drawing: Layered) -> Order:
    """The cells of each layer in the order they are to stand."""
    above, below = neighbours(drawing.chains)
    order = [list(layer) for layer in drawing.layers]
    best, fewest = _copy(order), crossings(order, below)
    for _ in range(SWEEPS):
        _sort_all(order, above, downwards=True)
        _swap_all(order, above, below)
        _sort_all(order, below, downwards=False)
        _swap_all(order, above, below)
        count = crossings(order, below)
        if count < fewest:
            best, fewest = _copy(order), count
    return best


def neighbours(chains: Sequence[Chain]) -> tuple[dict[Cell, list[Cell]], dict[Cell, list[Cell]]]:
    """For each cell its neighbours in the layer above, and in the layer below."""
    above: dict[Cell, list[Cell]] = {}
    below: dict[Cell, list[Cell]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain.cells):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    return above, below


def crossings(order: Order, below: Links) -> int:
    """How many pairs of lines cross."""
    count = 0
    for upper, lower in pairwise(order):
        place = _places(lower)
        ends = [[place[cell] for cell in below.get(each, ())] for each in upper]
        count += sum(_crossing(left, right) for left, right in combinations(ends, 2))
    return count


def _crossing(left: Sequence[int], right: Sequence[int]) -> int:
    """How many lines cross when one cell stands left of another, given where their lines end."""
    return sum(1 for one in left for other in right if one > other)


def _sort_all(order: Order, links: Links, *, downwards: bool) -> None:
    layers = order if downwards else order[::-1]
    for before, layer in pairwise(layers):
        place, own = _places(before), _places(layer)
        layer.sort(key=lambda cell: _mean([place[each] for each in links.get(cell, ())], own[cell]))


def _swap_all(order: Order, above: Links, below: Links) -> None:
    """Let neighbours change places while that removes crossings."""
    improved = True
    while improved:
        improved = False
        for index, layer in enumerate(order):
            over = _places(order[index - 1]) if index else {}
            under = _places(order[index + 1]) if index + 1 < len(order) else {}
            for at in range(len(layer) - 1):
                left, right = layer[at], layer[at + 1]
                if _gain(left, right, above, over) + _gain(left, right, below, under) > 0:
                    layer[at], layer[at + 1] = right, left
                    improved = True


def _gain(left: Cell, right: Cell, links: Links, place: Mapping[Cell, int]) -> int:
    """How many crossings on one side vanish when the two change places."""
    ends = [[place[each] for each in links.get(cell, ())] for cell in (left, right)]
    return _crossing(ends[0], ends[1]) - _crossing(ends[1], ends[0])


def _places(layer: Sequence[Cell]) -> dict[Cell, int]:
    return {cell: place for place, cell in enumerate(layer)}


def _mean(values: Sequence[int], otherwise: int) -> float:
    return sum(values) / len(values) if values else float(otherwise)


def _copy(order: Order) -> Order:
    return [list(layer) for layer in order]
