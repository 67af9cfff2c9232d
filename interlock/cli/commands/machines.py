"""machines: the state machines as tables, or as pictures for other programs. Needs no database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from interlock.cli import layout
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM, HEAD, Column, Row, plain
from interlock.cli.output import Out
from interlock.replay.foreign import names as foreign

if TYPE_CHECKING:
    from interlock.schema.machine import Machine

NAMES = ("vm", "nic", "volume", "operation")
FORMATS = ("table", "mermaid", "svg", "dot", "json")
COLUMNS = (Column("MACHINE"), Column("STATE"), Column("EVENT"), Column("NEXT"), Column("CLASS"))
WIDTH = 20


@command("machines")
@click.argument("name", required=False, metavar="[NAME]", type=click.Choice((*NAMES, *foreign.NAMES)))
@click.option("--format", "form", type=click.Choice(FORMATS), help="table (default), or a picture.")
async def machines(face: Face, name: str | None, form: str | None) -> Exit:
    """Show the state machine NAME, or all of ours: each state's class and deadline, and every transition.

    `cloudstack-vm` and its like are Apache CloudStack's, from the tables of its source.

    The JSON form is a contract: a change of it is a change of the machines.
    """
    from interlock.pictures.machine import as_dot, as_json, as_mermaid, as_svg
    from interlock.schema.machines import MACHINES

    form = form or ("json" if face.out.json else "table")
    if face.out.json and form != "json":
        raise click.UsageError(f"--json and --format {form} exclude each other")
    if name in foreign.NAMES:
        from interlock.replay.foreign.machines import machines as loaded

        chosen = [loaded()[name]]
    else:
        chosen = [MACHINES[each] for each in ((name,) if name else NAMES)]
    if form == "table":
        for machine in chosen:
            _tell(face.out, machine)
    elif form == "json" and name is None:
        face.out.text("[\n" + ",\n".join(as_json(machine).rstrip() for machine in chosen) + "\n]\n")
    elif name is None:
        raise click.UsageError(f"--format {form} draws one machine; name it: {', '.join(NAMES)}")
    else:
        draw = {"mermaid": as_mermaid, "svg": as_svg, "dot": as_dot, "json": as_json}[form]
        face.out.text(draw(chosen[0]))
    return Exit.OK


def _tell(out: Out, machine: Machine) -> None:
    from interlock.pictures.machine import as_rows

    rows = as_rows(machine)
    if out.terminal:
        _tell_a_person(out, machine, rows)
        return
    cells = [(plain(machine.name), *map(plain, (state, event, after, about))) for state, about, event, after in rows]
    out.table(COLUMNS, [Row(each) for each in cells])


def _tell_a_person(out: Out, machine: Machine, rows: list[tuple[str, str, str, str]]) -> None:
    """Each state once, with what may happen in it beneath."""
    states = f"{len(machine.states)} states, {len(machine.moves)} transitions, begins {machine.initial}"
    out.line([(f"{machine.name:<{WIDTH}}", HEAD), (states, DIM)])
    named = ""
    for state, about, event, after in rows:
        if state != named:
            out.line([(f"{state:<{WIDTH}}", layout.state(state)[1]), (about, DIM)])
            named = state
        if event:
            out.line([(f"  {event:<26}  → ", ""), layout.state(after)])
    out.line()
