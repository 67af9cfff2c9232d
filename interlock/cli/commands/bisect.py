"""bisect: the first transition after which a predicate fails; who and what made it, and what it changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from interlock.cli.changes import attributes, name_of
from interlock.cli.commands.history import as_fields
from interlock.cli.commands.history import told as places_told
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import BAD, DIM, HEAD
from interlock.cli.moments import MOMENT
from interlock.cli.output import Out
from interlock.cli.past import journal_file, playing
from interlock.cli.times import iso
from interlock.replay.bisect import Bisected, Break, bisected
from interlock.replay.diff import attributes_of
from interlock.replay.fleet import Fleet
from interlock.replay.predicates import Predicate, called, parsed
from interlock.replay.rewind import Moment
from interlock.schema.errors import InvalidRequest
from interlock.schema.holdings import FREE
from interlock.schema.records import Operation

LABEL = 12


@command("bisect")
@click.argument("predicate", required=False, metavar="[PREDICATE]")
@click.option("--run", "function", metavar="MODULE:FUNCTION", help="Instead: a function that is given the fleet.")
@click.option("--from", "start", type=MOMENT, default="0", metavar="MOMENT", help="Begin there, not at the beginning.")
@journal_file
async def bisect(face: Face, predicate: str | None, function: str | None, start: Moment, file: str | None) -> Exit:
    """Find the first transition after which PREDICATE fails, having held before.

    \b
    vm NAME is Running               vm NAME host_id is not h1
    host NAME cpu <= 80%             every pool space <= 100000
    sum host memory < 500000         account NAME vms <= 8
    count operation Stuck = 0        count vm in 3,4,5

    Conditions are joined by `and`; put all in quotes. --run takes a function of your own, from the working directory
    or installed: it is given an `interlock.replay.fleet.Fleet`, and what it returns must be true.

    The whole journal is played from the beginning, one transition after the other: a predicate may fail and hold
    again, and the first break is found. Exits with 1 if there is one.
    """
    ask = _predicate(predicate, function)
    async with playing(face, file) as play:
        await play.to(start)
        found = await bisected(play, ask)
        if face.out.json:
            face.out.document(_as_document(found))
        elif found.broken is None:
            face.out.line([(_held(found, play.fleet), "green" if found.held_from is not None else HEAD)])
        else:
            _tell(face.out, found, found.broken, play.fleet)
    if found.broken is not None:
        return Exit.FAILED
    return Exit.OK if found.held_from is not None else Exit.REFUSED


def _predicate(text: str | None, function: str | None) -> Predicate:
    if (text is None) is (function is None):
        raise click.UsageError("say what should hold: a PREDICATE, or --run MODULE:FUNCTION")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # a console script does not look where one works
    try:
        return parsed(text) if text is not None else called(function or "")
    except InvalidRequest as error:
        raise click.UsageError(str(error)) from error


def _held(found: Bisected, fleet: Fleet) -> str:
    if found.held_from is None:
        return f"it never held, up to transition {fleet.seq}: {found.seen.said}"
    return f"it held from {_since(found.held_from)} to {fleet.seq}, the last: {found.seen.said}"


def _since(seq: int) -> str:
    return f"transition {seq}" if seq else "the beginning"


def _tell(out: Out, found: Bisected, broken: Break, fleet: Fleet) -> None:
    row = broken.transition
    out.line([(f"broken by transition {row.seq}", BAD), (f", {iso(row.at)}", DIM)])
    _fact(out, "held", f"from {_since(found.held_from or 0)} on; {found.seen.said}")
    _fact(out, "now", broken.found.said)
    if broken.after is None:
        _fact(out, row.machine, f"{row.event}: {places_told(row)}")
    else:
        moved = f"{row.source or '(new)'} → {row.destination} by {row.event}"
        _fact(out, row.machine, f"{name_of(broken.after, fleet)}: {moved}")
        _fact(out, "id", row.entity_id)
    operation = fleet.record("operation", row.operation_id or "")
    if isinstance(operation, Operation):
        _fact(out, "operation", f"{name_of(operation, fleet)} ({operation.id})")
    _fact(out, "asked by", row.actor)
    _fact(out, "cause", row.cause)
    for line, _ in attributes(attributes_of(broken.before, broken.after)):
        _fact(out, "changed", line)
    for each in row.movements:
        _fact(out, "takes" if each.giver == FREE else "gives back", f"{each.amount} {each.thing} of {each.where}")
    first, last = broken.decided
    _fact(out, "more", f"`interlock diff {first - 1} {last}`, all that was decided with it")


def _fact(out: Out, label: str, value: str | None) -> None:
    if value:
        out.line([(f"{label:<{LABEL}}", DIM), (value, "")])


def _as_document(found: Bisected) -> dict[str, Any]:
    broken = found.broken
    return {
        "held_from": found.held_from,
        "seen": found.seen.said,
        "broken": None if broken is None else {**msgspec.structs.asdict(broken), **_opened(broken)},
    }


def _opened(broken: Break) -> dict[str, Any]:
    return {"transition": as_fields(broken.transition), "found": broken.found.said}
