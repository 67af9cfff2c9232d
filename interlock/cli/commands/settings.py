"""settings: what an operator can turn: listed with what is in force where, looked at, set, and taken back.

A setting is set for everywhere, or for one place: the option that names the place says the scope.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from interlock.cli.exits import Exit
from interlock.cli.face import Face, Work, command, group
from interlock.cli.layout import DIM, HEAD, Cell, Column, Row, plain
from interlock.cli.output import Out
from interlock.schema.settings import SettingScope, setting

if TYPE_CHECKING:
    from interlock.embed.settings import SettingState

PLACES = {
    SettingScope.ZONE: "zone",
    SettingScope.CLUSTER: "cluster",
    SettingScope.POOL: "pool",
    SettingScope.ACCOUNT: "account",
}
"""By scope: the option that names a place of it."""
EVERYWHERE, UNSET = "global", "default"
COLUMNS = (Column("SETTING"), Column("VALUE"), Column("SCOPE"), Column("DEFAULT", extra=True))
MEANING = Column("MEANING")
LABEL = 9
INDENT = 2


@group("settings")
async def settings(face: Face) -> Exit:
    """List the settings: what is in force, for what, and what each means."""
    async with face.looking() as engine:
        found = await engine.settings()
    if face.out.json:
        face.out.document(found)
    else:
        _list(face.out, found)
    return Exit.OK


def _for_a_place(work: Work) -> Work:
    for option in reversed(PLACES.values()):
        work = click.option(f"--{option}", metavar=option[0].upper(), help=f"For this {option} only.")(work)
    return work


def _scope(where: dict[str, str | None]) -> dict[str, Any]:
    """The scope and place that options say.

    Raises:
        UsageError: two places are named.
    """
    named = [(scope, where[option]) for scope, option in PLACES.items() if where[option] is not None]
    if len(named) > 1:
        raise click.UsageError(f"name one place, not {len(named)}")
    scope, place = named[0] if named else (SettingScope.GLOBAL, None)
    return {"scope": scope.value, "place": place}


@command("get")
@click.argument("name")
async def get(face: Face, name: str) -> Exit:
    """Show one setting. What NAME means, what it may be, and every value that was set."""
    setting(name)
    async with face.looking() as engine:
        (found,) = [each for each in await engine.settings() if each.name == name]
    if face.out.json:
        face.out.document(found)
    else:
        _tell(face.out, found)
    return Exit.OK


@command("set")
@click.argument("name")
@click.argument("value")
@_for_a_place
async def set_(face: Face, name: str, value: str, **where: str | None) -> Exit:
    """Set one. NAME is VALUE then, everywhere or for the one place that an option names."""
    chosen = _scope(where)
    parsed = setting(name).parse(value)
    async with face.looking() as engine:
        await engine.set_setting(name, parsed, **chosen)
    return _said(face, name, chosen, parsed)


@command("unset")
@click.argument("name")
@_for_a_place
async def unset(face: Face, name: str, **where: str | None) -> Exit:
    """Take a value back. A wider one of NAME, or the default, is in force again."""
    chosen = _scope(where)
    async with face.looking() as engine:
        await engine.unset_setting(name, **chosen)
    return _said(face, name, chosen, None)


set_.context_settings["ignore_unknown_options"] = True  # -1 is a value
for _each in (get, set_, unset):
    settings.add_command(_each)


def _said(face: Face, name: str, chosen: dict[str, Any], value: object) -> Exit:
    if face.out.json:
        face.out.document({"name": name, **chosen, "value": value})
    else:
        where = f" for {_where(**chosen)}" if chosen["place"] else ""
        face.out.line(f"{name} is {'not set any more' if value is None else text_of(value)}{where}")
    return Exit.OK


def text_of(value: object) -> str:
    """A value as it is said to `set`."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _where(scope: str, place: str | None) -> str:
    """`global`, `zone/north`: one word, so that `awk` can count columns."""
    return f"{PLACES[SettingScope(scope)]}/{place}" if place else EVERYWHERE


def _list(out: Out, found: list[SettingState]) -> None:
    """In a pipe a line a value; on a terminal the meaning stands beneath."""
    columns = COLUMNS if out.terminal else (*COLUMNS, MEANING)
    out.table(columns, [row for each in found for row in _rows(each, out.terminal)], indent=INDENT)


def _rows(found: SettingState, terminal: bool) -> Iterator[Row]:
    lines = list(_lines(found))
    for number, (value, scope) in enumerate(lines):
        cells: tuple[Cell, ...] = (plain(found.name), value, scope, plain(text_of(found.default)))
        if terminal:
            yield Row(cells, ((found.meaning, DIM),) if number == len(lines) - 1 else ())
        else:
            yield Row((*cells, plain(found.meaning)))


def _lines(found: SettingState) -> Iterator[tuple[Cell, Cell]]:
    """What is in force everywhere, then what is for places of their own."""
    if not any(each.place is None for each in found.values):
        yield (text_of(found.default), ""), (UNSET, DIM)
    for each in found.values:
        yield (text_of(each.value), HEAD), (_where(each.scope, each.place), "")


def _tell(out: Out, found: SettingState) -> None:
    out.line([(found.name, HEAD)])
    out.line(found.meaning)
    facts: list[tuple[str, str]] = [
        ("may be", found.allowed),
        ("for", ", ".join(PLACES.get(scope, EVERYWHERE) for scope in found.scopes)),
        ("default", text_of(found.default)),
    ]
    for label, value in facts:
        out.line([(f"{label:<{LABEL}}", DIM), (value, "")])
    out.line()
    out.table((Column("VALUE"), Column("SCOPE")), [Row(line) for line in _lines(found)])
