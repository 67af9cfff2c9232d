"""Imports every module of the installed package, so that a wheel that lacks one is found before its users find it."""

from __future__ import annotations

import importlib
import pkgutil

import interlock

SCRIPTS = ("interlock.schema.migrations.env",)
"""Run by Alembic inside a migration, not imported."""

names = [
    module.name for module in pkgutil.walk_packages(interlock.__path__, "interlock.") if module.name not in SCRIPTS
]
for name in names:
    importlib.import_module(name)
rooms = {name.split(".")[1] for name in names}
missing = {"schema", "planners", "drivers", "engine", "embed", "cli", "pictures"} - rooms
if missing:
    raise SystemExit(f"the installed package lacks {', '.join(sorted(missing))}")
print(f"{len(names)} modules import, from {interlock.__path__[0]}")
