"""The tour: every exhibit is sought, and the table printed.

    python -m tests.museum [--seeds N] [--only NAME …] [--jobs N] [--write]

Ends with 1 if an exhibit is not found, is found by a promise that does not fit or without having fired, or if the
product breaks a promise without any bug.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

from tests.museum.document import WRITTEN, document
from tests.museum.exhibit import EXHIBITS
from tests.museum.search import SEEDS, Found, find, passes, timeline

HEADINGS = ("exhibit", "seeds", "events", "promise", "told in", "seconds", "class", "seen in")
FORMAT = "{:26} {:>5} {:>6}  {:14} {:>7} {:>7}  {} ({})"


class Visit(NamedTuple):
    """What came of one exhibit."""

    name: str
    found: Found | None
    told_in: int
    seconds: float
    wrong: str | None


def visit(seeds: int, name: str) -> Visit:
    """Seek one exhibit, and shrink what found it."""
    exhibit, began = EXHIBITS[name], time.perf_counter()
    found = find(exhibit, range(seeds))
    if found is None:
        return Visit(name, None, 0, time.perf_counter() - began, f"NOT FOUND in {seeds} seeds")
    wrong = None
    if found.promise not in exhibit.promises:
        wrong = f"found by promise {found.promise!r}, which is none of {exhibit.promises}: {found.message}"
    elif not found.fired:
        wrong = f"found without having made a difference: {found.message}"
    elif not passes(found.seed):
        wrong = f"seed {found.seed} fails without the bug, too"
    told_in = len(timeline(exhibit, found))
    return Visit(name, found, told_in, time.perf_counter() - began, wrong)


def tour(names: list[str], seeds: int, jobs: int) -> Iterator[Visit]:
    """Visit the exhibits, printing a line for each."""
    print(FORMAT.format(*HEADINGS))
    with ProcessPoolExecutor(jobs) as pool:
        for each in pool.map(partial(visit, seeds), names):
            _tell(each)
            yield each


def _tell(each: Visit) -> None:
    exhibit, found = EXHIBITS[each.name], each.found
    figures = (found.seeds, found.events, found.promise, each.told_in) if found else ("-", "-", "-", "-")
    print(FORMAT.format(each.name, *figures, f"{each.seconds:.1f}", exhibit.bug, exhibit.source))
    if each.wrong:
        print(f"  {each.name}: {each.wrong}")
    sys.stdout.flush()


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.museum", description="Seek the known bugs by fuzzing.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds to play before an exhibit is NOT FOUND")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(EXHIBITS), help="these exhibits alone")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--write", action="store_true", help="write docs/museum.md")
    args = parser.parse_args()
    if args.write and args.only:
        parser.error("--write needs all exhibits: leave --only out")
    visits = list(tour(args.only or list(EXHIBITS), args.seeds, args.jobs))
    failing = [each.name for each in visits if each.wrong]
    most = max((each.found.seeds for each in visits if each.found), default=0)
    clean = sum(passes(seed) for seed in range(most))
    print(f"{len(visits) - len(failing)} of {len(visits)} found; without a bug {clean} of {most} seeds pass")
    if args.write and not failing:
        WRITTEN.write_text(document((EXHIBITS[each.name], each.found, each.told_in) for each in visits if each.found))
        print(f"written: {WRITTEN}")
    return 1 if failing or clean != most else 0


if __name__ == "__main__":
    sys.exit(main())
