"""What the command lines of all modules share: how a run begins, and how its figures are told, written and judged.

    def main(arguments: Sequence[str] | None = None) -> int:
        begun = begin("lists", arguments)
        options = parser("lists", __doc__).parse_args(begun.arguments)
        return ended(begun, options, lambda: measure(options))

Exit codes: 0 is well, 1 is void or (with `--check`) a target missed, `LEFT_OUT` is that the machine lacks what it
needs.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

import interlock
from benchmarks import drawing, report
from benchmarks.machine import Watch, this_machine
from benchmarks.result import Curve, Figure, Result
from benchmarks.targets import judged

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
KEPT = ("benchmarks/measured.json", "benchmarks/README.md", "benchmarks/pictures")
"""What keeping figures changes; it is not what was measured."""
CODE = ("--", ".", *(f":(exclude){path}" for path in KEPT))
LEFT_OUT = 77
"""As automake's tests say that they were skipped."""


class Wrong(Exception):
    """What was measured did not do its work; the figures are void."""


class Missing(Exception):
    """This machine lacks what the benchmark needs; the message says what."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a module hands over.

    Raises:
        ValueError: two figures have one name; targets are found by it.
    """

    figures: list[Figure]
    curves: list[Curve] = []
    settings: dict[str, str | int | float] = {}
    detail: Any = None

    def __post_init__(self) -> None:
        twice = {name for name, count in Counter(each.name for each in self.figures).items() if count > 1}
        if twice:
            raise ValueError(f"figures need names of their own; these are there twice: {', '.join(sorted(twice))}")


class Begun:
    """A run under way: what it was asked, and since when."""

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self.module = module
        self.arguments = list(arguments)
        self.date = datetime.now().astimezone().isoformat(timespec="seconds")
        self.watch = Watch()

    @property
    def command(self) -> str:
        """That makes the same figures again: where they are written is left out, and so are passwords."""
        return shlex.join(["python", "-m", f"benchmarks.{self.module}", *_telling(self.arguments)])


def begin(module: str, arguments: Sequence[str] | None) -> Begun:
    """A run begins now; without arguments they are the process's own."""
    return Begun(module, sys.argv[1:] if arguments is None else arguments)


def parser(module: str, about: str | None) -> argparse.ArgumentParser:
    """The parser of a module, with what each has: `--json`, `--folder` and `--check`."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=about)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("--folder", type=Path, default=RESULTS, help="the disk to measure on (benchmarks/results)")
    where = RESULTS / f"{module}.json"
    made.add_argument("--json", type=Path, default=where, help=f"where figures go (benchmarks/results/{module}.json)")
    made.add_argument("--check", action="store_true", help="fail when a target is missed")
    return made


def ended(begun: Begun, options: argparse.Namespace, measure: Callable[[], Measured]) -> int:
    """Measure, print, write; the exit code of it all.

    Args:
        begun: the run.
        options: as `parser` reads them.
        measure: raises Wrong when the figures are void, and Missing when they cannot be had here.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        result = _result(begun, options.folder, measure())
    except Wrong as wrong:
        print(f"void: {wrong}", file=sys.stderr)
        return 1
    except Missing as missing:
        print(f"left out: {missing}", file=sys.stderr)
        return LEFT_OUT
    report.show(result)
    write(result, options.json)
    missed = any(each.met is False for each in result.targets)
    return 1 if missed and options.check else 0


def _result(begun: Begun, folder: Path, measured: Measured) -> Result:
    seconds, others = begun.watch.seconds(), begun.watch.others()
    return Result(
        module=begun.module,
        command=begun.command,
        date=begun.date,
        version=interlock.__version__,
        commit=commit(),
        seconds=round(seconds, 1),
        machine=this_machine(folder, others),
        settings=measured.settings,
        figures=measured.figures,
        curves=measured.curves,
        targets=judged(begun.module, measured.figures),
        detail=measured.detail,
    )


def write(result: Result, file: Path) -> None:
    """As JSON, and each curve as a picture beside it; says where."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    print(f"\nfigures: {file}")
    for curve in result.curves:
        picture = file.with_name(f"{result.module}-{curve.name}.svg")
        picture.write_text(drawing.as_svg(curve), encoding="utf-8")
        print(f"picture: {picture}")


def commit() -> str:
    """Of the tree that this stands in."""
    try:
        told = [_git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "--untracked-files=no", *CODE)]
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told[0] + ("+" if told[1] else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _telling(arguments: Sequence[str]) -> Iterator[str]:
    rest = iter(arguments)
    for argument in rest:
        if argument == "--json":
            next(rest, None)
        elif argument != "--check" and not argument.startswith("--json="):
            yield re.sub(r"(://[^:@/]*):[^@/]*@", r"\1:***@", argument)
