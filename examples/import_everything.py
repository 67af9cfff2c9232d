"""Imports every module of the installed package, so that a wheel that lacks one is found before its users find it."""

from __future__ import annotations

import importlib
import pkgutil

import interlock

SCRIPTS = ("interlock.schema.migrations.env", "interlock.testing.plugin")
"""Run by Alembic inside a migration, and by pytest: not imported."""
EXTRAS = {
    "interlock.testing.kits": "testing",
    "interlock.telemetry.metrics": "prometheus",
    "interlock.telemetry.serving": "prometheus",
    "interlock.telemetry.traces": "otel",
}
"""What needs an extra; without it, it must say so."""


def extra_of(name: str) -> str | None:
    """The extra that a module needs."""
    return next((extra for module, extra in EXTRAS.items() if name.startswith(module)), None)


def without_the_extra(name: str) -> None:
    """What cannot be imported while the packages are listed."""
    if extra_of(name) is None:
        raise ImportError(f"{name} does not import")


names = [
    module.name
    for module in pkgutil.walk_packages(interlock.__path__, "interlock.", onerror=without_the_extra)
    if module.name not in SCRIPTS
]
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if extra_of(name) is None or f"interlock[{extra_of(name)}]" not in str(error):
            raise
rooms = {name.split(".")[1] for name in names}
missing = {
    "schema",
    "planners",
    "drivers",
    "engine",
    "embed",
    "cli",
    "pictures",
    "replay",
    "telemetry",
    "testing",
} - rooms
if missing:
    raise SystemExit(f"the installed package lacks {', '.join(sorted(missing))}")
print(f"{len(names)} modules import, from {interlock.__path__[0]}")
