"""Results for people: the same rows as plain text and as Markdown.

A row is a figure beside one floor or peer: median, least and most, of how many rounds, the floor's median, the ratio
with its least and most, the target and whether it is met. A figure with two floors, or with a target for itself and one
for its ratio, has two rows, and is named once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.result import Figure, Judged, Result, Spread

Row = tuple[str, ...]

COLUMNS: Row = ("figure", "median", "min – max", "rounds", "beside it", "median", "ratio", "min – max", "target", "")
LEFT = (0, 4, 8, 9)
"""Columns of words; the others are numbers, and end at their right."""
SAID = {True: "met", False: "MISSED", None: "not measured"}


def show(result: Result) -> None:
    """Print all of it."""
    print("\n".join(result.machine.lines()))
    if result.settings:
        print(f"measured {settings(result)}")
    print()
    print("\n".join(plain(COLUMNS, rows(result))))


def settings(result: Result) -> str:
    """What it was measured on, in a line."""
    return "; ".join(f"{name} {spoken(value)}" for name, value in result.settings.items())


def rows(result: Result) -> list[Row]:
    """A row for each figure and each that stands beside it; then the targets that the run did not measure."""
    targets = {(each.figure, each.beside): each for each in result.targets}
    found = [row for figure in result.figures for row in _of(figure, targets)]
    left = [each for each in result.targets if each.met is None]
    return found + [(each.figure, "", "", "", each.beside, "", "", "", *_target(each)) for each in left]


def _of(figure: Figure, targets: dict[tuple[str, str], Judged]) -> Iterator[Row]:
    name = f"{figure.name}, {figure.unit}" if figure.unit else figure.name
    own: Row = (name, spoken(figure.value.median), _range(figure.value), f"{figure.rounds}")
    held = targets.get((figure.name, ""))
    if not figure.beside or (held is not None and (figure.name, figure.beside[0].what) in targets):
        yield (*own, "", "", "", "", *_target(held))
        own, held = ("", "", "", ""), None
    for each in figure.beside:
        ratio = ("", "") if each.ratio is None else (spoken(each.ratio.median), _range(each.ratio))
        target = _target(held or targets.get((figure.name, each.what)))
        yield (*own, each.what, spoken(each.value.median), *ratio, *target)
        own, held = ("", "", "", ""), None


def _target(judged: Judged | None) -> tuple[str, str]:
    return ("", "") if judged is None else (judged.bound, SAID[judged.met])


def _range(spread: Spread) -> str:
    return "" if spread.least == spread.most else f"{spoken(spread.least)} – {spoken(spread.most)}"


def spoken(value: float | str) -> str:
    """A number as short as it says enough: three figures, whole from a hundred on."""
    if isinstance(value, str):
        return value
    if value == int(value) or abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.{1 if abs(value) >= 9.995 else 2}f}"


def plain(columns: Row, lines: Sequence[Row]) -> list[str]:
    """Rows as a table of text; a column that nobody fills is left out."""
    kept = [at for at in range(len(columns)) if any(line[at] for line in lines)]
    table = [columns, *lines]
    wide = {at: max(len(line[at]) for line in table) for at in kept}
    return ["  ".join(_cell(line[at], at, wide[at]) for at in kept).rstrip() for line in table]


def _cell(words: str, at: int, wide: int) -> str:
    return words.ljust(wide) if at in LEFT else words.rjust(wide)


def markdown(columns: Row, lines: Sequence[Row]) -> list[str]:
    """Rows as a table of Markdown; a column that nobody fills is left out."""
    kept = [at for at in range(len(columns)) if any(line[at] for line in lines)]
    marks = tuple("---" if at in LEFT else "---:" for at in range(len(columns)))
    return ["| " + " | ".join(line[at].replace("|", "\\|") for at in kept) + " |" for line in (columns, marks, *lines)]
