"""history: what a VM went through. A lane each for the VM, its NICs, its volumes and its operations, so that one reads
across what had to be before what, and down what followed.

A line is one commit, or part of one where an entity moved twice in it. Beneath stand the events, what was decided,
and what was asked of drivers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import click
import msgspec

from interlock.cli import layout
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import BAD, DIM, HEAD, Cell, Column, Line, Row, plain
from interlock.cli.output import Out
from interlock.cli.past import found, rows, searched_file
from interlock.cli.telling import asked_for, chose
from interlock.cli.times import clock, day, duration, iso
from interlock.schema.cloud import PLACES
from interlock.schema.errors import NotFound
from interlock.schema.transition import CLOUD, Transition

LANES = ("vm", "nic", "volume", "operation")
NOTES = 14
"""Where remarks begin: beneath the lanes, clear of the times."""

FEW = 3
"""Places of a kind that are named. Too few: one has to look into the JSON; too many: the line is long."""


@dataclass
class Moment:
    """What stands on one line: transitions of one commit, none of an entity that moved in it before."""

    at: int
    moves: list[Transition] = field(default_factory=list)


@command("history")
@click.argument("name", required=False)
@click.option("--cloud", is_flag=True, help="Of the cloud: who wrote which places and settings, and when.")
@searched_file
async def history(face: Face, name: str | None, cloud: bool, file: str | None) -> Exit:
    """Show every transition of a VM, its NICs, volumes and operations, side by side. NAME may be an id."""
    if (name is None) is not cloud:
        raise click.UsageError("name a VM, or say --cloud")
    return await (_of_vm(face, file, name) if name is not None else _of_cloud(face, file))


async def _of_cloud(face: Face, file: str | None) -> Exit:
    if file is not None:
        told_of = [row async for row in rows(face, file) if row.machine == CLOUD]
    else:
        async with face.looking() as engine:
            told_of = [row async for row in engine.history_of_cloud()]
    if face.out.json:
        face.out.document({"transitions": [as_fields(row) for row in told_of]})
    else:
        columns = (Column("TIME"), Column("ACTOR"), Column("EVENT"), Column("WHAT"))
        face.out.table(
            columns,
            [Row((plain(iso(row.at)), plain(row.actor), plain(row.event), plain(told(row)))) for row in told_of],
        )
    return Exit.OK


def told(row: Transition) -> str:
    """Which places a row of the cloud tells of: a few by name, many by their number."""
    changes = row.changed
    return "; ".join(f"{kind} {_named(changes[kind])}" for kind in PLACES if kind in changes)


def _named(places: list[dict[str, str] | str]) -> str:
    ids = [each if isinstance(each, str) else each["id"] for each in places]
    return ", ".join(ids) if len(ids) <= FEW else f"×{len(ids)}"


async def _of_vm(face: Face, file: str | None, name: str) -> Exit:
    machine, vm_id, transitions = await found(face, file, name)
    if machine != "vm":
        raise NotFound(f"{name} is no VM, but of machine {machine}; `interlock why {name}` tells its history")
    own = [each for each in transitions if each.machine == "vm"]
    shown = next(each.changed["name"] for each in reversed(own) if "name" in each.changed)
    if face.out.json:
        moves = [as_fields(each) for each in transitions]
        face.out.document({"vm_id": vm_id, "name": shown, "state": own[-1].destination, "transitions": moves})
    else:
        _tell(face.out, [(f"{shown} ", HEAD), layout.state(own[-1].destination), (f"  {vm_id}", DIM)], transitions)
    return Exit.OK


def as_fields(transition: Transition) -> dict[str, object]:
    """A transition for programs: its JSON columns opened."""
    opened = {"changes": transition.changed, "ledger": transition.movements, "detail": transition.details}
    return {**msgspec.to_builtins(transition), **opened}


def _names(transitions: list[Transition]) -> dict[str, str]:
    """What stands before an entity's state: an operation's kind, and the device of each NIC and disk where the lane has
    several."""
    lanes: dict[str, dict[str, str]] = {lane: {} for lane in LANES}
    for each in transitions:
        changed = each.changed
        told = changed.get("kind") if each.machine == "operation" else changed.get("device")
        known = lanes[each.machine].get(each.entity_id, "")
        lanes[each.machine][each.entity_id] = known if told is None else f"{told} "
    single = {lane: dict.fromkeys(names, "") for lane, names in lanes.items() if len(names) == 1}
    lanes |= {lane: names for lane, names in single.items() if lane != "operation"}
    return {entity_id: shown for names in lanes.values() for entity_id, shown in names.items()}


def _tell(out: Out, head: Line, transitions: list[Transition]) -> None:
    out.line(head)
    names = _names(transitions)
    short = out.terminal
    if short and transitions:
        out.line([(day(transitions[0].at), DIM)])
    columns = (Column("TIME"), Column("AFTER", right=True), *(Column(lane.upper()) for lane in LANES))
    out.table(columns, list(_rows(transitions, names, short)), indent=NOTES)


def _rows(transitions: list[Transition], names: Mapping[str, str], short: bool) -> Iterator[Row]:
    before: Moment | None = None
    for moment in _moments(transitions):
        after = duration(moment.at - before.at) if before and moment.at != before.at else None
        time = _time(moment, before, short)
        lanes = (_lane(moment, lane, names) for lane in LANES)
        yield Row((time, plain(after), *lanes), tuple(_notes(moment, names)))
        before = moment


def _time(moment: Moment, before: Moment | None, short: bool) -> Cell:
    if before is not None and moment.at == before.at:
        return "·", DIM
    return (clock(moment.at) if short else iso(moment.at)), ""


def _moments(transitions: Iterable[Transition]) -> Iterator[Moment]:
    moment: Moment | None = None
    for each in transitions:
        if moment is None or each.at != moment.at or each.entity_id in {move.entity_id for move in moment.moves}:
            if moment is not None:
                yield moment
            moment = Moment(each.at)
        moment.moves.append(each)
    if moment is not None:
        yield moment


def _lane(moment: Moment, lane: str, names: Mapping[str, str]) -> Cell:
    moves = [move for move in moment.moves if move.machine == lane]
    if not moves:
        return plain(None)
    states = dict.fromkeys(move.destination for move in moves)
    if len(states) == 1 and lane != "operation":
        (state,) = states
        return f"{state} ×{len(moves)}" if len(moves) > 1 else f"{names[moves[0].entity_id]}{state}", _style(state)
    words = ", ".join(f"{names[move.entity_id]}{move.destination}" for move in moves)
    return words, _style(moves[-1].destination)


def _style(state: str) -> str:
    return layout.state(state)[1]


def _notes(moment: Moment, names: Mapping[str, str]) -> Iterator[Cell]:
    in_lanes = sorted(moment.moves, key=lambda move: LANES.index(move.machine))
    yield ", ".join(dict.fromkeys(move.event for move in in_lanes)), DIM
    for move in moment.moves:
        if move.cause:
            yield f"because: {move.cause}", BAD
        yield from _decided(move)


def _decided(move: Transition) -> Iterator[Cell]:
    details = move.details
    if place := details.get("place"):
        yield chose(place["planner"], place["host"], place["pools"].values()), ""
    for candidate, reason in details.get("rejected", ()):
        yield f"not {candidate}: {reason}", DIM
    if outcomes := [outcome for outcome in details.get("outcomes", ()) if outcome != "Done"]:
        yield f"answered: {'; '.join(outcomes)}", BAD
    if effects := details.get("effects"):
        yield f"asks for {asked_for(effects)}", "cyan"
