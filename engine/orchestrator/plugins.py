"""Finds planners, gurus and drivers: those handed in as objects first, then those registered as entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from interlock.drivers.protocol import Driver, Home
from interlock.planners.protocol import HostPlanner, NetworkGuru
from interlock.schema.errors import InterlockError, PluginError

T = TypeVar("T")


def planners(own: Mapping[str, HostPlanner]) -> dict[str, HostPlanner]:
    """All host planners by name; `own` ones hide installed ones of the same name."""
    return {**_installed("interlock.planners", HostPlanner), **_checked(own, HostPlanner, "planner")}


def gurus(own: Mapping[str, NetworkGuru]) -> dict[str, NetworkGuru]:
    """All network gurus by name; `own` ones hide installed ones of the same name."""
    return {**_installed("interlock.gurus", NetworkGuru), **_checked(own, NetworkGuru, "guru")}


def drivers(own: Mapping[str, Driver]) -> dict[str, Driver]:
    """Drivers that were handed in, by name."""
    return _checked(own, Driver, "driver")


async def driver(name: str, options: Mapping[str, Any], home: Home) -> Driver:
    """Open an installed driver.

    Raises:
        PluginError: there is none of that name, or it does not open.
    """
    factories = {point.name: point for point in entry_points(group="interlock.drivers")}
    if name not in factories:
        raise PluginError(f"the cloud names driver {name!r}; installed are: {', '.join(sorted(factories)) or 'none'}")
    try:
        opened = await factories[name].load().open(options, home)
    except InterlockError:
        raise
    except Exception as error:
        raise PluginError(f"driver {name} cannot be opened: {error}") from error
    checked: Driver = _checked({name: opened}, Driver, "driver")[name]
    return checked


def _installed(group: str, protocol: type[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for point in entry_points(group=group):
        try:
            made[point.name] = point.load()()
        except Exception as error:
            raise PluginError(f"{group} entry point {point.name} ({point.value}) cannot be made: {error}") from error
    return _checked(made, protocol, group)


def _checked(found: Mapping[str, T], protocol: type[Any], what: str) -> dict[str, T]:
    for name, plugin in found.items():
        missing = [each for each in vars(protocol) if not each.startswith("_") and getattr(plugin, each, None) is None]
        if missing:
            raise PluginError(f"{what} {name} ({type(plugin).__name__}) lacks {missing[0]} of {protocol.__name__}")
    return dict(found)
