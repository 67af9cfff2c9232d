"""Tools to test with: the lifecycle fuzzer (`fuzz`), and what holds other people's drivers, planners and gurus to their
protocols: the conformance kits, as base classes of pytest classes.

    from interlock.testing import DriverConformance

    class TestMyDriver(DriverConformance): ...

docs/conformance.md has the three of them. They need the extra: `pip install interlock[testing]`. Names load when first
used, so that the engine itself never needs pytest or Hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.testing.kits.broken import Broken as Broken
    from interlock.testing.kits.driver import DriverConformance as DriverConformance
    from interlock.testing.kits.guru import GuruConformance as GuruConformance
    from interlock.testing.kits.planner import PlannerConformance as PlannerConformance
    from interlock.testing.kits.scene import Scene as Scene
    from interlock.testing.seen import Disk as Disk
    from interlock.testing.seen import Guest as Guest
    from interlock.testing.seen import ReadyNic as ReadyNic
    from interlock.testing.seen import Seen as Seen

_HOME_OF = {
    "Broken": "interlock.testing.kits.broken",
    "Disk": "interlock.testing.seen",
    "DriverConformance": "interlock.testing.kits.driver",
    "Guest": "interlock.testing.seen",
    "GuruConformance": "interlock.testing.kits.guru",
    "PlannerConformance": "interlock.testing.kits.planner",
    "ReadyNic": "interlock.testing.seen",
    "Scene": "interlock.testing.kits.scene",
    "Seen": "interlock.testing.seen",
}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'interlock.testing' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
