"""fuzz: hunt for a broken promise of the lifecycle, in memory and from one seed. Needs no database.

A run that fails is shrunk and told as a timeline, with the command line that repeats it. `--ground` names a function
that makes the cloud, planners, gurus and hypervisor under test; docs/fuzzing.md shows how to write one.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import Column, Row, plain
from interlock.cli.output import Out, note

if TYPE_CHECKING:
    from interlock.testing.fuzz.coverage import Coverage
    from interlock.testing.fuzz.hunt import Found, Hunted
    from interlock.testing.fuzz.universe import Setting

T = TypeVar("T")
GROUND = "interlock.testing.fuzz.ground:setting"
LISTED = 40
"""Cells never reached that are listed without `--json`. Too few: one sees no pattern; too many: nobody reads them."""


@command("fuzz")
@click.option("--seed", default="0", metavar="SEED", help="Any text; the same one gives the same hunt. Default 0.")
@click.option("--events", default=100_000, type=click.IntRange(1), help="Events to run, at least. Default 100000.")
@click.option("--run", "only", type=click.IntRange(0), metavar="N", help="Play this run of the seed, and no other.")
@click.option("--jobs", type=click.IntRange(1), help="Processes. Default: one for each core.")
@click.option("--ground", default=GROUND, metavar="MODULE:FUNCTION", help="What to fuzz. Default: what ships.")
@click.option("--exhaustive", is_flag=True, help="Instead: every operation, at every boundary, with every fault, once.")
async def fuzz(
    face: Face, seed: str, events: int, only: int | None, jobs: int | None, ground: str, exhaustive: bool
) -> Exit:
    """Fuzz the lifecycle: operations, races, faults, crashes and late answers, with the oracle asked after each event.

    Prints events per second, coverage of (transition x fault), and the cells never reached. When a promise is broken,
    the shortest timeline that breaks it.
    """
    make = _ground(ground)
    if exhaustive:
        return await _aside(lambda go_on: _every_boundary(face.out, make(), go_on))
    from interlock.testing.fuzz.hunt import hunt

    repeat = f"interlock fuzz --seed {seed}" + (f" --ground {ground}" if ground != GROUND else "")
    asked: dict[str, Any] = {"events": events, "jobs": jobs or os.cpu_count() or 1}
    if only is not None:
        asked = {"events": 1, "first": only}
    hunted = await _aside(lambda go_on: hunt(make, seed, **asked, told=_progress(face.out, events, go_on)))
    if face.out.json:
        face.out.document(_as_document(hunted, repeat))
    else:
        _tell(face.out, hunted)
    if (found := hunted.found) is not None:
        await _aside(lambda go_on: _tell_the_story(face.out, make(), found, repeat, go_on))
    return Exit.OK if hunted.found is None else Exit.FAILED


async def _aside(work: Callable[[Callable[[], None]], T]) -> T:
    """Do it in a thread, so that a signal is heard meanwhile.

    Args:
        work: told what it has to call now and then: that raises once nobody waits for it any more.
    """
    left = threading.Event()

    def go_on() -> None:
        if left.is_set():
            raise _Left

    try:
        return await asyncio.to_thread(work, go_on)
    finally:
        left.set()


class _Left(Exception):
    """Nobody waits any more."""


def _ground(name: str) -> Callable[[], Setting]:
    module, _, function = name.partition(":")
    try:
        made: Callable[[], Setting] = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise click.UsageError(
            f"--ground {name}: {error}; give MODULE:FUNCTION, where the function can be imported from here"
        ) from error
    return made


def _progress(out: Out, events: int, go_on: Callable[[], None]) -> Callable[[int, int], None]:
    def tell(runs: int, done: int) -> None:
        go_on()
        if out.terminal and runs % 64 == 0:
            note(f"{done:,} of {events:,} events")

    return tell


def _tell(out: Out, hunted: Hunted) -> None:
    rate = hunted.events / hunted.seconds
    out.line(f"{hunted.events:,} events in {hunted.runs:,} runs, {hunted.seconds:.1f} s: {rate:,.0f} events/s")
    _tell_coverage(out, hunted.coverage)
    out.line(f"journals    sha256 {hunted.digest}")
    if hunted.found is None:
        out.line("no promise was broken")


def _tell_coverage(out: Out, coverage: Coverage) -> None:
    from interlock.testing.fuzz.coverage import CRASHES, POSSIBLE

    cells = len(POSSIBLE)
    out.line(f"coverage    transition x fault {coverage.share:.1%} of {cells:,} cells")
    out.line(f"            with crash points  {coverage.share_with_crashes:.1%} of {cells * len(CRASHES):,} cells")
    missing = coverage.missing
    for (machine, source, event), wrong in missing[:LISTED]:
        out.line(f"never       {machine} {source} {event} x {wrong}")
    if len(missing) > LISTED:
        out.line(f"never       and {len(missing) - LISTED:,} more; --json lists all")


def _as_document(hunted: Hunted, repeat: str) -> dict[str, Any]:
    found = hunted.found
    return {
        "runs": hunted.runs,
        "events": hunted.events,
        "seconds": round(hunted.seconds, 3),
        "journals_sha256": hunted.digest,
        "coverage": round(hunted.coverage.share, 4),
        "coverage_with_crash_points": round(hunted.coverage.share_with_crashes, 4),
        "never": [[*row, wrong] for row, wrong in hunted.coverage.missing],
        "violation": None if found is None else {"run": found.number, "said": str(found.violation)},
        "repeat": None if found is None else f"{repeat} --run {found.number}",
    }


def _tell_the_story(out: Out, setting: Setting, found: Found, repeat: str, go_on: Callable[[], None]) -> None:
    from interlock.testing.fuzz.hunt import shrunk
    from interlock.testing.fuzz.timeline import timeline

    note(f"run {found.number} breaks a promise: {found.violation}; shrinking")
    short = shrunk(setting, found.outcome, go_on)
    if not out.json:
        out.line()
        for line in timeline(setting, short.events):
            out.line(line)
        out.line()
        out.line(f"{len(found.outcome.events)} events, shrunk to {len(short.events)}. To repeat it:")
        out.line(f"  {repeat} --run {found.number}")


def _every_boundary(out: Out, setting: Setting, go_on: Callable[[], None]) -> Exit:
    from interlock.testing.fuzz.boundaries import OF_COMMITS, OF_EFFECTS, enumerate_all
    from interlock.testing.fuzz.scenarios import SCENARIOS

    def told(name: str) -> None:
        go_on()
        if out.terminal:
            note(name)

    table = enumerate_all(setting, told)
    wrongs = list(dict.fromkeys((*OF_EFFECTS, *OF_COMMITS)))
    total = sum(table.cells.values())
    if out.json:
        cells = [{"operation": name, "wrong": wrong, "cells": count} for (name, wrong), count in table.cells.items()]
        broken = [{"cell": cell, "said": reason} for cell, reason in table.broken]
        out.document({"cells": cells, "in_all": total, "broken": broken})
    else:
        rows = [
            Row((plain(each.name), *(plain(str(table.cells[each.name, wrong] or "")) for wrong in wrongs)))
            for each in SCENARIOS
        ]
        out.table([Column("OPERATION"), *(Column(wrong.upper()) for wrong in wrongs)], rows)
        for cell, reason in table.broken:
            out.line(f"BROKEN  {cell.scenario}, {cell.wrong} at {cell.boundary}: {reason}")
        out.line(f"{total:,} cells, {len(table.broken):,} broken; in each, what was to go wrong did")
    return Exit.FAILED if table.broken else Exit.OK
