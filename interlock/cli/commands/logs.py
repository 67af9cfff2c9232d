"""logs: reads CloudStack's management-server logs as if they were a journal. Needs no database.

Lines not understood are counted and shown by shape, those that speak of a transition first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import BAD, DIM, HEAD, Column, Row, plain, state
from interlock.cli.output import Out

if TYPE_CHECKING:
    from interlock.replay.foreign.checking import Checked, Finding
    from interlock.replay.foreign.overview import Overview
    from interlock.replay.foreign.reading import Shape, Tally

LABEL = 11
FEW = 10
"""What the summary shows of each list. The lists themselves are shown by options of their own."""
SEEN = (
    Column("SORT"),
    Column("NAME"),
    Column("STATES"),
    Column("TRANSITIONS", right=True),
    Column("WRONG", right=True),
)
MACHINES = (
    Column("MACHINE"),
    *(Column(title, right=True) for title in ("TRANSITIONS", "REFUSED", "LOST", "WRONG", "GAPS")),
)
HISTORY = tuple(Column(title) for title in ("TIME", "LINE", "FROM", "EVENT", "TO", "WHERE", "PLACE"))
SHAPES = (Column("LINES", right=True), Column("BEGINS WITH"), Column("FIRST"))


@command("logs")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--vm", metavar="NAME", help="The history of a VM: name, number or uuid.")
@click.option("--host", metavar="NAME", help="The history of a host.")
@click.option("--illegal", is_flag=True, help="Everything that is wrong, with its line.")
@click.option("--unknown", is_flag=True, help="Everything that was not understood, by shape.")
@click.option("--entities", is_flag=True, help="Every VM, host and volume, with its last state.")
@click.option("--timeline", is_flag=True, help="A picture of the fleet, or of the VM or host that is named.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write the picture there.")
async def logs(
    face: Face,
    files: tuple[str, ...],
    vm: str | None,
    host: str | None,
    illegal: bool,
    unknown: bool,
    entities: bool,
    timeline: bool,
    output: str | None,
) -> Exit:
    """Read CloudStack logs: what moved, whether CloudStack's tables and ours allow it, and what was not understood.

    FILE may be compressed; `-` is standard input. Several files are merged by time. Exits with 1 if a recorded
    transition is wrong, or transitions are missing between two, or a file is damaged. A picture's FILE that ends in
    .svg is one for a browser.
    """
    from interlock.replay.foreign.checking import Checker
    from interlock.replay.foreign.overview import Overview
    from interlock.replay.foreign.reading import Tally, merged

    if (vm is not None) + (host is not None) + illegal + unknown + entities > 1:
        raise click.UsageError("--vm, --host, --illegal, --unknown and --entities exclude each other")
    if timeline and (illegal or unknown or entities or face.out.json):
        raise click.UsageError("--timeline goes with --vm, with --host, or alone")
    if output and not timeline:
        raise click.UsageError("--output is for --timeline")
    tally, checker, overview = Tally(), Checker(), Overview()
    checked = checker.check_all(merged(files, tally))
    if vm is not None or host is not None:
        sort, name = ("vm", vm) if vm is not None else ("host", host or "")
        history = list(_of(checked, overview, checker.identities.find, sort, name))
        if timeline and history:
            _draw_one(face.out, f"{sort} {name}", history, checker.last, output)
        else:
            _tell_history(face.out, sort, name, history)
    elif timeline:
        _draw_fleet(face.out, " ".join(files), _added(checked, overview), output)
    else:
        overview.add_all(checked)
        _tell(face.out, tally, overview, illegal, unknown, entities)
    return Exit.FAILED if overview.troubles or tally.damaged else Exit.OK


def _of(checked: Iterable[Checked], overview: Overview, find: Any, sort: str, name: str) -> Iterator[Checked]:
    for each in checked:
        if each.whose is not None and (each.whose.name == name or each.whose.key == find(sort, name)):
            overview.add(each)
            yield each


def _added(checked: Iterable[Checked], overview: Overview) -> Iterator[Checked]:
    for each in checked:
        overview.add(each)
        yield each


def _draw_one(out: Out, title: str, history: list[Checked], until: int | None, output: str | None) -> None:
    from interlock.cli.commands.timeline import draw
    from interlock.replay.foreign.rows import rows
    from interlock.replay.lanes import timeline
    from interlock.schema.errors import NotFound

    made = list(rows(history))
    if not made:
        raise NotFound(f"no line tells of a transition of {title}; without --timeline all that is said of it is listed")
    draw(out, timeline(made, title, until), UTC, None, output)


def _draw_fleet(out: Out, title: str, checked: Iterable[Checked], output: str | None) -> None:
    from interlock.cli.commands.timeline import draw
    from interlock.replay.census import Census
    from interlock.replay.foreign.rows import rows
    from interlock.schema.errors import NotFound

    counted, row = Census(), None
    for row in rows(checked):
        counted.add(row)
    if row is None:
        raise NotFound(f"no line of {title} tells of a transition")
    draw(out, counted.picture(title, {}), UTC, None, output)


# --- text


def _tell(out: Out, tally: Tally, overview: Overview, illegal: bool, unknown: bool, entities: bool) -> None:
    if out.json:
        from interlock.replay.foreign.document import document

        out.document(document(tally, overview))
    elif illegal:
        _tell_findings(out, overview.findings)
    elif unknown:
        _tell_shapes(out, tally.listed())
    elif entities:
        _tell_entities(out, overview)
    else:
        _tell_all(out, tally, overview)


# --- the summary


def _tell_all(out: Out, tally: Tally, overview: Overview) -> None:
    _tell_counts(out, tally, overview)
    names = dict.fromkeys(machine for machine, _ in overview.kinds if machine)
    out.table(MACHINES, [_machine_row(overview, name) for name in names])
    if overview.findings:
        out.line()
        _tell_findings(out, overview.findings[:FEW])
        _tell_more(out, sum(overview.troubles.values()) - FEW, "--illegal")
    _tell_differences(out, overview)
    shapes = tally.listed()
    if shapes:
        out.line()
        _tell_shapes(out, shapes[:FEW])
        _tell_more(out, len(shapes) - FEW, "--unknown")


def _tell_counts(out: Out, tally: Tally, overview: Overview) -> None:
    from interlock.replay.foreign.layout import as_written

    counts = f"{tally.lines} in {len(tally.files)} file{'s'[: len(tally.files) != 1]}: {tally.understood} understood, "
    out.line([(f"{'lines':<{LABEL}}", HEAD), (counts, ""), _not_understood(tally)])
    if overview.first is not None:
        between = f"{as_written(overview.first)} to {as_written(overview.last)}, as the servers' clocks said"
        out.line([(f"{'times':<{LABEL}}", HEAD), (between, "")])
    sorts = Counter("VM" if each.sort == "vm" else each.sort for each in overview.entities.values())
    seen = [f"{count} {sort}{'s'[: count != 1]}" for sort, count in sorts.items()]
    if overview.unnamed:
        seen.append(f"{overview.unnamed} transitions of VMs that their lines do not name")
    out.line([(f"{'seen':<{LABEL}}", HEAD), (", ".join(seen) or "nothing", "")])
    for words in tally.damaged:
        out.line([(f"{'damaged':<{LABEL}}", BAD), (words, "")])
    out.line()


def _not_understood(tally: Tally) -> tuple[str, str]:
    return f"{tally.unknown} not understood, {tally.continuation} continue the one before", ""


def _machine_row(overview: Overview, name: str) -> Row:
    from interlock.replay.foreign.checking import Trouble
    from interlock.replay.foreign.format import Kind

    kinds = [overview.kinds[name, kind] for kind in (Kind.TRANSITION, Kind.REFUSED, Kind.LOST)]
    wrong = sum(overview.troubles[name, each] for each in (Trouble.ILLEGAL, Trouble.IMPOSSIBLE, Trouble.ERA))
    return Row((plain(name), *(plain(str(each)) for each in (*kinds, wrong, overview.troubles[name, Trouble.GAP]))))


def _tell_findings(out: Out, findings: Iterable[Finding]) -> None:
    rows = [Row(((each.fact.place, ""), (each.trouble, BAD), (each.words, ""))) for each in findings]
    out.table((Column("WHERE"), Column("WRONG"), Column("WHAT")), rows)


def _tell_differences(out: Out, overview: Overview) -> None:
    if not overview.as_ours and not overview.differences:
        return
    out.line()
    out.line([(f"{'ours':<{LABEL}}", HEAD), (f"{overview.as_ours} transitions are as in our machines", "")])
    for each in overview.differences.values():
        does = f"leads to {each.ours}" if each.ours else "refuses it"
        words = f"{each.source} → {each.destination} by {each.event} ×{each.count}: ours {does} ({each.first})"
        out.line([(" " * LABEL, ""), (words, DIM)])


def _tell_more(out: Out, count: int, option: str) -> None:
    if count > 0:
        out.line([(f"… and {count} more: `interlock logs {option} FILE...`", DIM)])


# --- the lists


def _tell_shapes(out: Out, shapes: list[tuple[str, Shape]]) -> None:
    rows = []
    for name, shape in shapes:
        notes = ((f"speaks of a transition: {shape.example}", BAD),) if shape.near else ()
        rows.append(Row((plain(str(shape.count)), plain(name), plain(f"{shape.file}:{shape.line}")), notes))
    out.table(SHAPES, rows, indent=2)


def _tell_entities(out: Out, overview: Overview) -> None:
    rows = []
    for entity in overview.entities.values():
        states = ", ".join(entity.states.values())
        counts = (plain(str(entity.transitions)), plain(str(entity.troubles)))
        rows.append(Row((plain(entity.sort), plain(entity.name), plain(states), *counts)))
    out.table(SEEN, rows)


def _tell_history(out: Out, sort: str, name: str, history: list[Checked]) -> None:
    from interlock.schema.errors import NotFound

    if not history:
        raise NotFound(
            f"no line tells of a {sort} {name!r}; `interlock logs --entities FILE...` lists all that are named"
        )
    if out.json:
        from interlock.replay.foreign.document import fact_fields

        out.document({sort: name, "facts": [fact_fields(each) for each in history]})
        return
    out.table(HISTORY, [_history_row(each) for each in history], indent=2)


def _history_row(checked: Checked) -> Row:
    from interlock.replay.foreign.layout import as_written
    from interlock.replay.foreign.renderings import read

    fact = checked.fact
    source, event, destination = fact.step
    states = (state(source) if source else plain(""), plain(event), state(destination) if destination else plain(""))
    hosts = fact.said.get("new_host") or fact.said.get("at_host") or ""
    cells = (plain(as_written(fact.at)), plain(fact.format.name), *states, plain(read(hosts).known))
    said = " ".join(fact.said[each] for each in ("power", "state", "found") if each in fact.said)
    notes = [(said, DIM)] if said else []
    return Row((*cells, plain(fact.place)), (*notes, *((each.words, BAD) for each in checked.findings)))
