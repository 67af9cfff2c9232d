"""Settings: from `"name" = value` to rows of JSON text. Bounds and scopes are those of `schema/settings.py`."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.embed.description.words import Settings, Value
from interlock.schema.cloud import SettingValue
from interlock.schema.errors import InvalidRequest
from interlock.schema.rows import text_of
from interlock.schema.settings import AnySetting, SettingScope, identity, setting


def scoped(settings: Settings, scope: SettingScope, place_id: str | None = None) -> Iterator[SettingValue]:
    """The settings of a place.

    Raises:
        InvalidRequest: one does not exist, is not for such places, or may not have that value.
    """
    for name, value in settings.items():
        where = f"{scope} {place_id}" if place_id else "[settings]"
        try:
            yield value_of(name, value, scope, place_id)
        except InvalidRequest as error:
            raise InvalidRequest(f"{where}: {error}") from error


def value_of(name: str, value: Value, scope: SettingScope, place_id: str | None) -> SettingValue:
    """The row that sets a setting for a place; for everywhere, without one.

    Raises:
        InvalidRequest: it does not exist, is not for such places, or may not have that value.
    """
    row = row_of(name, scope)
    if isinstance(value, str) != isinstance(row.default, str):
        raise row.wrong(value)
    row.parse(value if isinstance(value, str) else text_of(value))
    return SettingValue(
        id=identity(name, scope, place_id), name=name, scope=scope.value, place_id=place_id, value=text_of(value)
    )


def row_of(name: str, scope: SettingScope) -> AnySetting:
    """The setting of that name.

    Raises:
        InvalidRequest: it does not exist, or is not set for such places.
    """
    row = setting(name)
    if scope not in row.scopes:
        raise InvalidRequest(f"setting {name} is set for {', '.join(row.scopes)}, not for a {scope}")
    return row
