"""Settings as people turn them: listed with what is in force where, set, and taken back.

Promises: what is set is a setting of the table, for a scope it has, within its bounds, and for a place that is there;
else it is refused and nothing is written. A value that was set, or taken back, counts in this engine from the moment
the method returns; another engine on the same database learns of it when it opens or loads a cloud.

Races: that the place is there and the row are one transaction under the write lock. What is in memory afterwards is
what was read after the last write, because writes of one engine follow one another.
"""

from __future__ import annotations

from typing import Any

import msgspec

from interlock.embed.description.knobs import row_of, value_of
from interlock.embed.description.words import Value
from interlock.engine.orchestrator.values import read
from interlock.engine.store.cloud import Rows
from interlock.engine.store.store import Store
from interlock.schema.cloud import Place, SettingValue
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.rows import columns_of
from interlock.schema.settings import NARROWEST_FIRST, SETTINGS, AnySetting, SettingScope, identity

SHOWN = 10
"""Places that a refusal lists. Too few: no help; too many: the reason is lost among them."""


class SetValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value that was set; `place` is None for scope global."""

    scope: SettingScope
    place: str | None
    value: Value


class SettingState(msgspec.Struct, frozen=True, kw_only=True):
    """A setting, and what it is set to: the widest scope first. With no value its default is in force everywhere."""

    name: str
    default: Value
    allowed: str
    """What it may be, in words."""
    meaning: str
    scopes: tuple[SettingScope, ...]
    values: tuple[SetValue, ...]


def states(rows: list[SettingValue]) -> list[SettingState]:
    """All settings, in the order of their table."""
    return [_state(setting, [row for row in rows if row.name == setting.name]) for setting in SETTINGS.values()]


def _state(setting: AnySetting, rows: list[SettingValue]) -> SettingState:
    widest_first = sorted(rows, key=lambda row: (-NARROWEST_FIRST.index(SettingScope(row.scope)), row.place_id or ""))
    return SettingState(
        name=setting.name,
        default=setting.default,
        allowed=setting.allowed,
        meaning=setting.meaning,
        scopes=setting.scopes,
        values=tuple(
            SetValue(scope=SettingScope(row.scope), place=row.place_id, value=value)
            for row in widest_first
            if (value := read(setting, row.value)) is not None
        ),
    )


async def put_setting(store: Store, name: str, value: Value, scope: str, place: str | None, actor: str) -> None:
    """Write a value, on behalf of an actor.

    Raises:
        InvalidRequest: there is no such setting or place, or it may not be set so.
    """
    where = _scope(scope, place)
    row = value_of(name, value, where, place)

    def made(places: dict[str, list[Place]]) -> Rows:
        _must_be_there(places, where, place)
        names = row.__struct_fields__
        return {"setting": [dict(zip(names, columns_of(row, names), strict=True))]}

    await store.put_after(made, actor=actor)


async def remove_setting(store: Store, name: str, scope: str, place: str | None, actor: str) -> None:
    """Take a value back, on behalf of an actor.

    Raises:
        InvalidRequest: there is no such setting, or it is not set there.
    """
    where = _scope(scope, place)
    row_of(name, where)
    if not await store.remove("setting", identity(name, where, place), actor):
        raise NotFound(f"setting {name} is not set{_for(where, place)}: there is nothing to take back")


def _scope(scope: str, place: str | None) -> SettingScope:
    """Scope global has no place, every other has one."""
    if scope not in tuple(SettingScope):
        raise InvalidRequest(f"there is no scope {scope!r}; the scopes are {', '.join(SettingScope)}")
    if scope == SettingScope.GLOBAL and place is not None:
        raise InvalidRequest(f"scope global is for everywhere, not for {place}; name the scope of that place")
    if scope != SettingScope.GLOBAL and not place:
        raise InvalidRequest(f"scope {scope} wants a place: which {_word(SettingScope(scope))}?")
    return SettingScope(scope)


def _must_be_there(places: dict[str, list[Any]], scope: SettingScope, place: str | None) -> None:
    """The place that a value is set for exists. Scopes are named as the tables of their places."""
    if scope is SettingScope.GLOBAL:
        return
    known = [each.id for each in places[scope]]
    if place not in known:
        listed = ", ".join(known[:SHOWN]) + (", …" if len(known) > SHOWN else "")
        raise NotFound(f"there is no {_word(scope)} {place!r}; there are: {listed or 'none'}")


def _for(scope: SettingScope, place: str | None) -> str:
    return f" for {_word(scope)} {place}" if place else ""


def _word(scope: SettingScope) -> str:
    return scope.replace("_", " ")
