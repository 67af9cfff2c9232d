"""docs/museum.md, made from the exhibits and from how they were found.

    python -m tests.museum --write

`tests/test_museum.py` holds names, classes, sources and what they do equal; the figures are those of the run that wrote
it, and may only not exceed the number of seeds that an exhibit may need.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.museum.exhibit import Exhibit
from tests.museum.search import Found

WRITTEN = Path(__file__).parents[2] / "docs" / "museum.md"
INTRODUCTION = """\
# The museum of known bugs

<!-- Made from tests/museum/ by `python -m tests.museum --write`; do not edit. -->

Each exhibit puts a bug that a real system had into Interlock, and the fuzzer has to find it. So the museum tells what
the fuzzer can see: an oracle that is blind to a class of bugs, or a mix of events that never leads there, shows here
first.

```sh
python -m tests.museum                      # all exhibits
python -m tests.museum --only fence-constant --seeds 200
```

Seeds 0, 1, 2, … are played, each a run of 400 events (run 0, 1, 2, … of `interlock fuzz --seed 0`) and the rest that
follows, until a promise of the oracle is broken. *Seeds* says how many that took; *events*, how far the last of them
had come; *told in*, how many events the run still has once all that is not needed to break the same promise is left
out. An exhibit counts as found if the promise is one that its bug breaks, the bug had made a difference in that run,
and the same seed passes without the bug. One that takes more than the bound is NOT FOUND, and the command ends with 1.

| exhibit | class of bugs | seen in | found by promise | seeds | events | told in |
| --- | --- | --- | --- | --- | --- | --- |
"""


def document(results: Iterable[tuple[Exhibit, Found, int]]) -> str:
    """The whole text.

    Args:
        results: exhibits, how each was found, and the length of its shortest story.
    """
    results = list(results)
    rows = "".join(row(*each) for each in results)
    meanings = "".join(meaning(exhibit) for exhibit, _, _ in results)
    return f"{INTRODUCTION}{rows}\n## What each does wrong\n\n{meanings}"


def heading(exhibit: Exhibit) -> str:
    """The columns that do not depend on a run."""
    return f"| {exhibit.name} | {exhibit.bug} | {exhibit.source} |"


def row(exhibit: Exhibit, found: Found, told_in: int) -> str:
    """One exhibit in the table."""
    return f"{heading(exhibit)} {found.promise} | {found.seeds} | {found.events} | {told_in} |\n"


def meaning(exhibit: Exhibit) -> str:
    """One exhibit below it."""
    return f"- **{exhibit.name}**: {exhibit.does}\n"


def figures(text: str) -> dict[str, tuple[str, int]]:
    """Promise and seeds of each exhibit in a text."""
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| ")]
    return {row[1]: (row[4], int(row[5])) for row in cells if len(row) > 6 and row[5].isdigit()}
