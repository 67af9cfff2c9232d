"""The settings that are in force: the values that were set, and the defaults of all others.

Promises: of several values that apply the narrowest counts, in the order of `NARROWEST_FIRST`. A value that this
release cannot read, or of a setting it does not know, is as if it were not set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from interlock.schema.cloud import SettingValue
from interlock.schema.errors import InvalidRequest
from interlock.schema.settings import NARROWEST_FIRST, SETTINGS, Setting, SettingScope, V


class Values:
    """Looks settings up."""

    def __init__(self, rows: Iterable[SettingValue]) -> None:
        self._set: dict[str, dict[tuple[str, str | None], Any]] = {}
        for row in rows:
            known = SETTINGS.get(row.name)
            if known is not None and (value := read(known, row.value)) is not None:
                self._set.setdefault(row.name, {})[row.scope, row.place_id] = value

    def value(self, setting: Setting[V], places: Sequence[tuple[SettingScope, str]]) -> V:
        """The value for some places."""
        found = self._set.get(setting.name)
        if not found:
            return setting.default
        where = {scope: place for scope, place in places if scope in setting.scopes}
        for scope in NARROWEST_FIRST:
            key = (scope, None if scope is SettingScope.GLOBAL else where.get(scope, ""))
            if key in found:
                return cast(V, found[key])
        return setting.default


def read(setting: Setting[Any], text: str) -> Any:
    """The value that a row's JSON text says; None: none that this release knows."""
    try:
        decoded = msgspec.json.decode(text)
        return setting.parse(decoded if isinstance(decoded, str) else text)
    except (InvalidRequest, msgspec.MsgspecError):
        return None
