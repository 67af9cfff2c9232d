"""diff: what two moments of a journal differ in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click
import msgspec

from interlock.cli import layout
from interlock.cli.changes import attributes, name_of
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM, HEAD, Cell, Column, Row, plain
from interlock.cli.moments import MOMENT, told
from interlock.cli.output import Out
from interlock.cli.past import journal_file, playing
from interlock.replay.diff import Changed, Difference, Filled, difference
from interlock.replay.fleet import Fleet
from interlock.replay.rewind import Moment
from interlock.replay.usage import MEASURES, share, total, used
from interlock.schema.cloud import Place
from interlock.schema.holdings import COUNTERS, Metered

INDENT = 10
ENTITIES = (Column("MACHINE"), Column("NAME"), Column("WAS"), Column("IS"), Column("TRANSITIONS", right=True))
FILL = (
    Column("PLACE"),
    Column("THING"),
    Column("WAS", right=True),
    Column("IS", right=True),
    Column("OF", right=True),
    Column("SHARE", right=True),
)
FEW = 3
"""Places of a kind that are named. Too few: one has to look into the JSON; too many: the line is long."""
WORDS = {"storage_pool": "pool"}


@command("diff")
@click.argument("first", metavar="A", type=MOMENT)
@click.argument("second", metavar="B", type=MOMENT)
@click.argument("name", required=False, metavar="[VM]")
@journal_file
async def diff(face: Face, first: Moment, second: Moment, name: str | None, file: str | None) -> Exit:
    """Show what was made, moved and changed from moment A to moment B, and how full places were at each.

    A moment is a number of the journal, a time like 2026-07-26T14:05:09, 14:05 or 2h30m (ago), or `now`. With VM only
    that VM, what belonged to it, and the places it held something of.
    """
    async with playing(face, file) as play:
        before = (await play.to(first)).copy()
        after = await play.to(second)
    found = difference(before, after, after.vm(name).id if name else None)
    if face.out.json:
        face.out.document({"from": _moment(before), "to": _moment(after), **msgspec.structs.asdict(found)})
    else:
        _tell(face.out, before, after, found)
    return Exit.OK


def _moment(fleet: Fleet) -> dict[str, int]:
    return {"seq": fleet.seq, "at": fleet.time}


def _tell(out: Out, before: Fleet, after: Fleet, found: Difference) -> None:
    out.line([(f"from {told(before.seq, before.time)}", DIM)])
    out.line([(f"to   {told(after.seq, after.time)}", DIM)])
    entities = [*found.made, *found.moved, *found.changed]
    if entities:
        out.line()
        out.table(ENTITIES, [_entity(each, after) for each in entities], indent=INDENT)
    if fill := [row for each in found.places for row in _fill(each)]:
        out.line()
        out.table(FILL, fill)
    if others := list(_others(found.places)):
        out.line()
        for line in others:
            out.line(line)
    if not (entities or found.places):
        out.line([("nothing differs", HEAD)])


def _entity(each: Changed, fleet: Fleet) -> Row:
    was = layout.state(each.before.state) if each.before else plain(None)
    cells = (plain(each.machine), plain(name_of(each.after, fleet)), was, layout.state(each.after.state))
    return Row((*cells, plain(str(each.transitions))), tuple(attributes(each.attributes)))


def _fill(each: Filled) -> Iterator[Row]:
    """What is held of it, for each thing of which that, or how much there is, differs."""
    for rule in MEASURES.get(each.kind, {}).values():
        was, now = (_figures(rule, place) for place in (each.before, each.after))
        if was != now and (was[0] or now[0]):
            name = plain(f"{_called(each.kind)} {each.id}")
            figures = (_figure(was[0]), _figure(now[0]), _figure(now[1]))
            yield Row((name, plain(rule.thing), *figures, plain(_percent(rule, each))))


def _others(places: Iterable[Filled]) -> Iterator[str]:
    """What else differs of places: those that were made or taken away, and what they are described by."""
    found = list(places)
    for word, gone in (("made", "before"), ("taken away", "after")):
        for kind in dict.fromkeys(each.kind for each in found):
            if ids := [each.id for each in found if each.kind == kind and getattr(each, gone) is None]:
                yield f"{_called(kind)} {', '.join(ids) if len(ids) <= FEW else f'×{len(ids)}'}: {word}"
    for each in found:
        differing = {key: pair for key, pair in each.attributes.items() if key not in COUNTERS.get(each.kind, ())}
        for line, _ in attributes(differing):
            yield f"{_called(each.kind)} {each.id}: {line}"


def _called(kind: str) -> str:
    return WORDS.get(kind, kind)


def _figures(rule: Metered, place: Place | None) -> tuple[int | None, int | None]:
    """What is held, of how much; None: there is no such place, or no limit."""
    return (None, None) if place is None else (used(rule, place), total(rule, place))


def _figure(value: int | None) -> Cell:
    return plain(None if value is None else str(value))


def _percent(rule: Metered, each: Filled) -> str | None:
    """`12% → 25%`"""
    shares = [share(rule, place) if place else None for place in (each.before, each.after)]
    return None if shares[1] is None else " → ".join("-" if one is None else f"{one:.0%}" for one in shares)
