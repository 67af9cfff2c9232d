"""diff: what two moments of a journal differ in."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec

from interlock.cli import layout
from interlock.cli.changes import attributes, name_of
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM, HEAD, Column, Row, plain
from interlock.cli.moments import MOMENT, told
from interlock.cli.output import Out
from interlock.cli.played import playing
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
WORDS = {"storage_pool": "pool"}


@command("diff")
@click.argument("first", metavar="A", type=MOMENT)
@click.argument("second", metavar="B", type=MOMENT)
@click.argument("name", required=False, metavar="[VM]")
async def diff(face: Face, first: Moment, second: Moment, name: str | None) -> Exit:
    """Show what was made, moved and changed from moment A to moment B, and how full places were at each.

    A moment is a number of the journal, a time like 2026-07-26T14:05:09, 14:05 or 2h30m (ago), or `now`. With VM only
    that VM, what belonged to it, and the places it held something of.
    """
    async with playing(face) as play:
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
    for place in found.places:
        _place(out, place)
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
        if was != now:
            known = each.after or each.before
            assert known is not None
            name = plain(f"{WORDS.get(each.kind, each.kind)} {known.id}")
            yield Row(
                (name, plain(rule.thing), plain(was[0]), plain(now[0]), plain(now[1]), plain(_percent(rule, each)))
            )


def _place(out: Out, each: Filled) -> None:
    """What else of it differs."""
    name = f"{WORDS.get(each.kind, each.kind)} {(each.after or each.before).id}"  # type: ignore[union-attr]
    differing = {key: pair for key, pair in each.attributes.items() if key not in COUNTERS.get(each.kind, ())}
    if each.before is None or each.after is None:
        out.line([(f"{name} {'made' if each.before is None else 'taken away'}", "")])
    for line, style in attributes(differing):
        out.line([(f"{name} {line}", style)])


def _figures(rule: Metered, place: Place | None) -> tuple[str | None, str | None]:
    if place is None:
        return None, None
    most = total(rule, place)
    return str(used(rule, place)), None if most is None else str(most)


def _percent(rule: Metered, each: Filled) -> str | None:
    """`12% → 25%`"""
    shares = [share(rule, place) if place else None for place in (each.before, each.after)]
    return None if shares[1] is None else " → ".join("-" if one is None else f"{one:.0%}" for one in shares)
