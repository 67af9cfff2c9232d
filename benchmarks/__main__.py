"""The benchmarks with one command: `make bench` (some minutes) and `make bench-full`, or

    python -m benchmarks                        # the quick suite
    python -m benchmarks --full                 # all, at the sizes that the targets are about
    python -m benchmarks --only deploys         # one of them, or several
    python -m benchmarks --list                 # what there is, and how long it takes
    python -m benchmarks --check                # exit code 1 when a target is missed
    python -m benchmarks --full --keep benchmarks/measured.json          # for README.md
    python -m benchmarks --write-readme benchmarks/measured.json

Each module runs in a process of its own. When one fails the others still run, and the exit code is 1. What has been
measured is written after each, so that a run that is cut short has it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import readme, report
from benchmarks.command import RESULTS
from benchmarks.running import Summary, kept, read, run_all, written
from benchmarks.suite import MODULES, Module, Size, chosen


def main(arguments: Sequence[str] | None = None, modules: Sequence[Module] = MODULES) -> int:
    """Run what is asked for; the exit code of it all."""
    options = _options(arguments, modules)
    if options.write_readme:
        print("\n".join(f"written: {file}" for file in readme.write(read(options.write_readme))))
        return 0
    asked = chosen(modules, full=options.full, only=options.only)
    if options.list:
        print("\n".join(_listed(asked)))
        return 0
    summary = Summary()
    for summary in run_all(asked, options.results):
        written(summary, options.results / "suite.json")
        if options.keep:
            written(kept(summary, options.keep), options.keep)
    show(summary)
    print(f"\nall figures: {options.results / 'suite.json'}")
    return code(summary, check=options.check)


def _options(arguments: Sequence[str] | None, modules: Sequence[Module]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = [each.name for each in modules]
    parser.add_argument("--full", action="store_true", help="at full size, and those that take long")
    parser.add_argument("--only", action="append", choices=names, default=[], metavar="NAME", help=", ".join(names))
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--list", action="store_true", help="say what would be run, and run nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of figures (benchmarks/results)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="put the results into FILE, in their modules' places")
    parser.add_argument("--write-readme", type=Path, metavar="FILE", help="write what was kept into README.md; no run")
    return parser.parse_args(arguments)


def _listed(asked: Sequence[tuple[Module, Size]]) -> Iterator[str]:
    for each, size in asked:
        yield f"{size.minutes:>5g} min  python -m benchmarks.{each.name} {size.arguments}".rstrip()
        yield f"           {each.measures}"
    yield f"{sum(size.minutes for _, size in asked):>5g} min  in all"


def show(summary: Summary) -> None:
    """A table of all, with the command of each module; then what failed."""
    for result in summary.results:
        print(f"\n{result.module}: {result.command}  ({result.seconds:,.0f} s)")
        print("\n".join(f"  {line}" for line in report.plain(report.COLUMNS, report.rows(result))))
    print()
    judged = [each for result in summary.results for each in result.targets]
    counts = {words: sum(1 for each in judged if each.met is met) for met, words in report.SAID.items()}
    print("targets: " + ", ".join(f"{count} {words}" for words, count in counts.items()))
    print("\n".join(each.line for each in summary.failed))


def code(summary: Summary, *, check: bool) -> int:
    """1 when a module failed, or when a target was missed and that is asked for."""
    failed = any(not each.left_out for each in summary.failed)
    missed = any(each.met is False for result in summary.results for each in result.targets)
    return 1 if failed or (check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
