"""How tables stand on a terminal and in a pipe: one layout for both, as lines of styled words.

Promises: without a width (a pipe, a file) every cell is there in full, one line a row, columns aligned by spaces and
apart by at least two. With a width, columns that are only nice to have give way until the rest fits, and the last
column folds. An empty cell is a dash, so that `awk` can count columns. Pure functions; styles are names that Rich
knows, and without Rich they are dropped.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Cell = tuple[str, str]
"""Words and their style; no style is "plain"."""
Line = list[Cell]

PLAIN, HEAD, DIM, BAD = "", "bold", "dim", "red"
GAP = "  "
FOLDED_LEAST = 24
"""Characters that a folded last column gets. Too low: words are torn; too high: narrow terminals wrap by themselves."""

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")
_STYLES = {
    "Running": "green",
    "Ready": "green",
    "Reserved": "green",
    "Succeeded": "green",
    "Error": "bold red",
    "Failed": "bold red",
    "Stuck": "bold red",
    "Unknown": "bold red",
}
_RESTING = ("Allocated", "Stopped", "Destroyed", "Expunged", "Destroy", "Deallocated", "Cancelled", "Uploaded")


@dataclass(frozen=True)
class Column:
    """A column; an `extra` one is dropped where there is no room, a `right` one is flush right."""

    title: str
    extra: bool = False
    right: bool = False


@dataclass(frozen=True)
class Row:
    """A row, and lines of remarks beneath it."""

    cells: tuple[Cell, ...]
    notes: tuple[Cell, ...] = ()


def plain(value: object) -> Cell:
    """A cell without a style; None and "" are dashes."""
    return ("-", DIM) if value in (None, "") else (str(value), PLAIN)


def state(name: str) -> Cell:
    """A state in its colour: green lives, yellow moves, red needs somebody."""
    return name, _STYLES.get(name, DIM if name in _RESTING else "yellow")


def table(columns: Sequence[Column], rows: Sequence[Row], width: int | None, indent: int = 0) -> Iterator[Line]:
    """The lines of a table.

    Args:
        width: of the terminal; None: nothing is dropped, folded or cut.
        indent: of the remarks beneath rows.
    """
    kept = _kept(columns, _widths(columns, rows), width)
    shown = [columns[number] for number in kept]
    picked = [Row(tuple(row.cells[number] for number in kept), row.notes) for row in rows]
    widths = _widths(shown, picked)
    yield from _row([(column.title, HEAD) for column in shown], shown, widths, width)
    for row in picked:
        yield from _row(row.cells, shown, widths, width)
        for note in row.notes:
            yield from _folded(note, indent, width)


def _widths(columns: Sequence[Column], rows: Iterable[Row]) -> list[int]:
    widths = [len(column.title) for column in columns]
    for row in rows:
        widths = [max(width, len(cell[0])) for width, cell in zip(widths, row.cells, strict=True)]
    return widths


def _kept(columns: Sequence[Column], widths: Sequence[int], width: int | None) -> list[int]:
    """The numbers of the columns to show: extra ones go, the last first, until the others fit."""
    kept = list(range(len(columns)))
    for number in reversed(range(len(columns))):
        if width is not None and _total(widths, kept) > width and columns[number].extra:
            kept.remove(number)
    return kept


def _total(widths: Sequence[int], kept: Sequence[int]) -> int:
    return sum(widths[number] for number in kept) + len(GAP) * (len(kept) - 1)


def _row(cells: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int], width: int | None) -> Iterator[Line]:
    line: Line = []
    for (words, style), column, wide in zip(cells[:-1], columns, widths, strict=False):
        line += [(words.rjust(wide) if column.right else words.ljust(wide), style), (GAP, PLAIN)]
    words, style = cells[-1]
    words = words.rjust(widths[-1]) if columns[-1].right else words
    indent = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    for number, piece in enumerate(_pieces(words, indent, width)):
        yield [*(line if number == 0 else [(" " * indent, PLAIN)]), (piece, style)]


def _folded(cell: Cell, indent: int, width: int | None) -> Iterator[Line]:
    for piece in _pieces(cell[0], indent, width):
        yield [(" " * indent, PLAIN), (piece, cell[1])]


def _pieces(words: str, indent: int, width: int | None) -> list[str]:
    if width is None or len(words) <= width - indent or width - indent < FOLDED_LEAST:
        return [words]
    return textwrap.wrap(words, width - indent, break_on_hyphens=False)


def printable(line: Line) -> Line:
    """The line without what moves the cursor or changes its colour: its words may be of a stranger's log."""
    return [(words.translate(_CONTROLS), style) for words, style in line]


def bar(share: float, cells: int = 10) -> str:
    """`██████····` for 0.6"""
    full = round(max(0.0, min(1.0, share)) * cells)
    return "█" * full + "·" * (cells - full)
