"""docs/settings.md, made from the table in schema/settings.py.

    python -m tests.settings_document > docs/settings.md

`tests/test_settings.py` holds the two equal.
"""

from __future__ import annotations

import sys

from interlock.cli.commands.settings import EVERYWHERE, PLACES, text_of
from interlock.schema.settings import SETTINGS, AnySetting

INTRODUCTION = """\
# Settings

<!-- Made from schema/settings.py by `python -m tests.settings_document > docs/settings.md`; do not edit. -->

What an operator can turn. Each has a default, and may be set for everywhere (global) and, where the table says so, for
one zone, cluster, storage pool or account. Of several values that apply the narrowest counts: the account's before the
pool's, the cluster's, the zone's, and that for everywhere.

They are set by `interlock settings set NAME VALUE [--zone Z | --cluster C | --pool P | --account A]`
([cli.md](cli.md)), by `engine.set_setting(name, value, scope=…, place=…)`, and in a
[cloud description](cloud.md). A value counts at once in the engine that sets it; other engines that are open on the
database read it when they open or load a description. The knobs of one engine's own doing, such as how often it tries,
are no settings but its `Policy`.

| setting | for | may be | default |
| --- | --- | --- | --- |
"""


def document() -> str:
    """The whole text."""
    rows = "".join(map(_row, SETTINGS.values()))
    meanings = "".join(f"\n## {row.name}\n\n{row.meaning}\n" for row in SETTINGS.values())
    return f"{INTRODUCTION}{rows}{meanings}"


def _row(row: AnySetting) -> str:
    scopes = ", ".join(PLACES.get(scope, EVERYWHERE) for scope in row.scopes)
    anchor = row.name.replace(".", "")
    return f"| [{row.name}](#{anchor}) | {scopes} | {row.allowed} | `{text_of(row.default)}` |\n"


if __name__ == "__main__":
    sys.stdout.write(document())
