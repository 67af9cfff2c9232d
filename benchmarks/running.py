"""Runs modules of the suite, each in a process of its own, and gathers what they wrote.

A module that fails, or is void, does not end the suite: the others run, and its exit code is kept. What an earlier run
wrote is never taken for this one's: it is removed before the module starts.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.command import LEFT_OUT, ROOT
from benchmarks.result import Result
from benchmarks.suite import Module, Size


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A module without results."""

    module: str
    command: str
    exit_code: int

    @property
    def left_out(self) -> bool:
        """The machine lacks what it needs; that is no fault."""
        return self.exit_code == LEFT_OUT

    @property
    def line(self) -> str:
        """For people."""
        if self.left_out:
            return f"{self.module} was left out, for this machine lacks what it needs: {self.command}"
        return f"{self.module} failed with exit code {self.exit_code}: {self.command}"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What all modules that were run came to; its JSON is this."""

    results: list[Result] = []
    failed: list[Failed] = []


def run_all(chosen: Iterable[tuple[Module, Size]], folder: Path) -> Iterator[Summary]:
    """Run them one after the other, with their own words on the terminal; after each, what all so far came to.

    Args:
        chosen: which, and at which size each.
        folder: where each writes `NAME.json` and its pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    failed: list[Failed] = []
    for module, size in chosen:
        ran = run(module, size, folder)
        if isinstance(ran, Result):
            results.append(ran)
        else:
            failed.append(ran)
        yield Summary(results=results[:], failed=failed[:])


def run(module: Module, size: Size, folder: Path) -> Result | Failed:
    """Run one; what it wrote."""
    told = ["-m", f"benchmarks.{module.name}", *shlex.split(size.arguments)]
    command, file = shlex.join(["python", *told]), folder / f"{module.name}.json"
    file.unlink(missing_ok=True)
    print(f"\n=== {module.name}: {module.measures} (about {size.minutes:g} min)\n$ {command}", flush=True)
    code = _called([*told, f"--json={file.absolute()}"])
    if code == 0 and file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Result)
    return Failed(module=module.name, command=command, exit_code=code)


def _called(arguments: Sequence[str]) -> int:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode


def read(file: Path) -> Summary:
    """What was kept."""
    return msgspec.json.decode(file.read_bytes(), type=Summary)


def written(summary: Summary, file: Path) -> None:
    """Keep it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def kept(new: Summary, file: Path) -> Summary:
    """What is in `file` with the new results in their modules' places, without what is of one round alone."""
    old = read(file).results if file.exists() else []
    by_name = {each.module: each for each in (*old, *new.results)}
    return Summary(results=[msgspec.structs.replace(each, detail=None) for _, each in sorted(by_name.items())])
