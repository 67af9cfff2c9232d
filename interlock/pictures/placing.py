"""Where everything stands, in pixels: the last step of a layered drawing before it is written down.

The order of each layer is fixed by now. Cells are drawn towards the mean of their neighbours, again and
again, as near as the order and the gaps allow; bends pull harder than states, so that long arrows run
straight. Lines meet a state at ports, spread over its upper and lower side in the order of what they lead
to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from interlock.pictures.layers import BEND_WIDTH, Arrow, Cell, Chain, Kind, Layered
from interlock.pictures.ordering import Order, ordered

GAP = 14.0
"""Between two cells of a layer."""
ROW_GAP = 26.0
"""Between two layers, at least: room for lines to bend."""
SPREAD = 0.05
"""How much further apart two layers stand for each pixel that a line between them runs sideways."""
MOST_GAP = 90.0
ROUNDS = 60
PULL = {Kind.STATE: 1.0, Kind.LABEL: 2.0, Kind.BEND: 4.0}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its centre."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A straight piece of a line. `lean` is how far it moves sideways for each pixel down."""

    start: Point
    end: Point
    lean: float


@dataclass(frozen=True, slots=True)
class Line:
    """An arrow as it runs from its source to its destination: straight pieces, to be joined by curves."""

    arrow: Arrow
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture ready to be written: boxes of states, boxes of labels, lines."""

    states: Mapping[str, Box]
    labels: Mapping[Arrow, Box]
    lines: tuple[Line, ...]
    width: float
    height: float


def placed(drawing: Layered) -> Placed:
    """Order the layers and give everything its place, from (0, 0) to the right and downwards."""
    order = ordered(drawing)
    ports = _ports(drawing.chains, order)
    x = _columns(order, _pulls(drawing.chains, ports))
    rows = _rows(order, _gaps(drawing.chains, x, len(order)))
    cells = [cell for layer in order for cell in layer]
    boxes = {cell: Box(x[cell], rows[cell.layer].y, cell.size.width, cell.size.height) for cell in cells}
    return Placed(
        states={str(cell.subject): boxes[cell] for cell in cells if cell.kind is Kind.STATE},
        labels={
            cell.subject: boxes[cell] for cell in cells if cell.kind is Kind.LABEL and isinstance(cell.subject, tuple)
        },
        lines=tuple(_line(chain, boxes, rows, ports) for chain in drawing.chains),
        width=max(box.x + box.width / 2 for box in boxes.values()),
        height=rows[-1].y + rows[-1].height / 2,
    )


Ports = Mapping[tuple[Cell, Cell], float]
"""How far from the middle of the first cell the line to the second one meets it."""


def _ports(chains: Sequence[Chain], order: Order) -> Ports:
    place = {cell: index for layer in order for index, cell in enumerate(layer)}
    sides: dict[tuple[Cell, int], list[Cell]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain.cells):
            sides.setdefault((upper, lower.layer), []).append(lower)
            sides.setdefault((lower, upper.layer), []).append(upper)
    ports = {}
    for (cell, _), others in sides.items():
        step = cell.size.width / (len(others) + 1)
        for index, other in enumerate(sorted(others, key=lambda each: place[each])):
            ports[cell, other] = step * (index + 1) - cell.size.width / 2
    return ports


Pulls = Mapping[Cell, Sequence[tuple[Cell, float, float]]]
"""For each cell its neighbours, how far right of each it would stand on a straight line, and how strongly."""


def _pulls(chains: Sequence[Chain], ports: Ports) -> Pulls:
    pulls: dict[Cell, list[tuple[Cell, float, float]]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain.cells):
            weight = PULL[upper.kind] * PULL[lower.kind]
            shift = ports[lower, upper] - ports[upper, lower]
            pulls.setdefault(lower, []).append((upper, -shift, weight))
            pulls.setdefault(upper, []).append((lower, shift, weight))
    return pulls


def _columns(order: Order, pulls: Pulls) -> dict[Cell, float]:
    """The middle of each cell, left edge of the picture at zero."""
    x = {cell: 0.0 for layer in order for cell in layer}
    for turn in range(ROUNDS):
        for layer in order if turn % 2 == 0 else order[::-1]:
            x.update(_settled(layer, x, pulls))
    left = min(x[cell] - cell.size.width / 2 for cell in x)
    return {cell: middle - left for cell, middle in x.items()}


def _settled(layer: Sequence[Cell], x: Mapping[Cell, float], pulls: Pulls) -> dict[Cell, float]:
    """The places of one layer nearest to where its neighbours pull, order and gaps kept.

    Where each would stand in a packed layer is taken off first. What is left may not decrease, and the
    nearest such sequence is found by merging neighbours that are out of order into blocks with one mean.
    """
    blocks: list[tuple[float, float, int]] = []  # weighted sum, weight, how many cells
    offsets = _offsets(layer)
    for cell, offset in zip(layer, offsets, strict=True):
        wanted, weight = _wanted(cell, x, pulls)
        block = ((wanted - offset) * weight, weight, 1)
        while blocks and blocks[-1][0] / blocks[-1][1] > block[0] / block[1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    means = [total / weight for total, weight, count in blocks for _ in range(count)]
    return {cell: mean + offset for cell, mean, offset in zip(layer, means, offsets, strict=True)}


def _offsets(layer: Sequence[Cell]) -> list[float]:
    """Where each cell's middle is when the layer is packed tight."""
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + (left.size.width + right.size.width) / 2 + GAP)
    return offsets


def _wanted(cell: Cell, x: Mapping[Cell, float], pulls: Pulls) -> tuple[float, float]:
    """Where a cell's neighbours want it, and how much."""
    mine = pulls.get(cell, ())
    weight = sum(pull[2] for pull in mine)
    if not weight:
        return x[cell], 1.0
    return sum((x[other] + shift) * pull for other, shift, pull in mine) / weight, weight


def _gaps(chains: Sequence[Chain], x: Mapping[Cell, float], count: int) -> list[float]:
    """How much room to leave below each layer: flat lines are hard to tell apart."""
    gaps = [ROW_GAP] * count
    for chain in chains:
        for upper, lower in pairwise(chain.cells):
            wanted = ROW_GAP + SPREAD * abs(x[upper] - x[lower])
            gaps[upper.layer] = max(gaps[upper.layer], min(wanted, MOST_GAP))
    return gaps


def _rows(order: Order, gaps: Sequence[float]) -> list[Box]:
    """The strip of each layer: where it is and how high."""
    rows: list[Box] = []
    top = 0.0
    for layer, gap in zip(order, gaps, strict=True):
        height = max((cell.size.height for cell in layer), default=0.0)
        rows.append(Box(0.0, top + height / 2, 0.0, height))
        top += height + gap
    return rows


def _line(chain: Chain, boxes: Mapping[Cell, Box], rows: Sequence[Box], ports: Ports) -> Line:
    first, *between, last = chain.cells
    start, end = boxes[first], boxes[last]
    leaves = start.x + ports[first, chain.cells[1]]
    arrives = end.x + ports[last, chain.cells[-2]]
    middles = [(leaves, rows[first.layer].y), *((boxes[cell].x, rows[cell.layer].y) for cell in between)]
    middles.append((arrives, rows[last.layer].y))
    pieces = [Piece((leaves, start.y + start.height / 2), (leaves, _bottom(rows[first.layer])), 0.0)]
    for cell, before, after in zip(between, middles[:-2], middles[2:], strict=True):
        lean = _lean(before, after, rows[cell.layer].height) if cell.kind is Kind.BEND else 0.0
        pieces.append(_through(boxes[cell].x, rows[cell.layer], lean))
    pieces.append(Piece((arrives, _top(rows[last.layer])), (arrives, end.y - end.height / 2), 0.0))
    if chain.upwards:
        pieces = [Piece(piece.end, piece.start, piece.lean) for piece in reversed(pieces)]
    return Line(chain.arrow, tuple(pieces))


def _lean(before: Point, after: Point, height: float) -> float:
    """How far a line moves sideways for each pixel down, within the room that its layer leaves beside it."""
    room = (BEND_WIDTH + GAP) / max(height, 1.0)
    return max(-room, min(room, (after[0] - before[0]) / (after[1] - before[1])))


def _through(x: float, row: Box, lean: float) -> Piece:
    aside = lean * row.height / 2
    return Piece((x - aside, _top(row)), (x + aside, _bottom(row)), lean)


def _top(box: Box) -> float:
    return box.y - box.height / 2


def _bottom(box: Box) -> float:
    return box.y + box.height / 2
