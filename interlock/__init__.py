"""Interlock: an embeddable orchestration engine for virtual machines.

    from interlock import DeployVM, Engine

    async with Engine.open("interlock.db") as engine:
        operation = await engine.deploy(DeployVM(name="web", offering="small", template="debian"))
        await operation.wait()

What embedders need is here; authors of plug-ins find their protocols in `interlock.planners.protocol` and
`interlock.drivers.protocol`. Names load when first used, so that importing costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.embed.cloud import CloudDescription as CloudDescription
    from interlock.embed.engine import Engine as Engine
    from interlock.embed.handle import Handle as Handle
    from interlock.embed.lists import DiskPage as DiskPage
    from interlock.embed.lists import OperationPage as OperationPage
    from interlock.embed.lists import Page as Page
    from interlock.embed.lists import PlacePage as PlacePage
    from interlock.embed.strays import Stray as Stray
    from interlock.engine.core.events import Way as Way
    from interlock.engine.core.snapshot import Policy as Policy
    from interlock.schema.cloud import FirewallRule as FirewallRule
    from interlock.schema.errors import InterlockError as InterlockError
    from interlock.schema.errors import InvalidRequest as InvalidRequest
    from interlock.schema.errors import OperationFailed as OperationFailed
    from interlock.schema.requests import AddNic as AddNic
    from interlock.schema.requests import AssignVM as AssignVM
    from interlock.schema.requests import AttachDisk as AttachDisk
    from interlock.schema.requests import CreateDisk as CreateDisk
    from interlock.schema.requests import DeleteDisk as DeleteDisk
    from interlock.schema.requests import DeployVM as DeployVM
    from interlock.schema.requests import DestroyVM as DestroyVM
    from interlock.schema.requests import DetachDisk as DetachDisk
    from interlock.schema.requests import DiskRequest as DiskRequest
    from interlock.schema.requests import EvictGuest as EvictGuest
    from interlock.schema.requests import ExpungeVM as ExpungeVM
    from interlock.schema.requests import FollowVM as FollowVM
    from interlock.schema.requests import MigrateVM as MigrateVM
    from interlock.schema.requests import NicRequest as NicRequest
    from interlock.schema.requests import RebootVM as RebootVM
    from interlock.schema.requests import RecoverVM as RecoverVM
    from interlock.schema.requests import RemoveNic as RemoveNic
    from interlock.schema.requests import ResizeDisk as ResizeDisk
    from interlock.schema.requests import RestoreVM as RestoreVM
    from interlock.schema.requests import ScaleVM as ScaleVM
    from interlock.schema.requests import SecureVM as SecureVM
    from interlock.schema.requests import SetDefaultNic as SetDefaultNic
    from interlock.schema.requests import StartVM as StartVM
    from interlock.schema.requests import StopVM as StopVM
    from interlock.schema.transition import Transition as Transition

_HOMES = {
    "interlock.embed.cloud": ("CloudDescription",),
    "interlock.embed.engine": ("Engine",),
    "interlock.embed.handle": ("Handle",),
    "interlock.embed.lists": ("DiskPage", "OperationPage", "Page", "PlacePage"),
    "interlock.embed.strays": ("Stray",),
    "interlock.engine.core.events": ("Way",),
    "interlock.engine.core.snapshot": ("Policy",),
    "interlock.schema.cloud": ("FirewallRule",),
    "interlock.schema.errors": ("InterlockError", "InvalidRequest", "OperationFailed"),
    "interlock.schema.requests": (
        "AttachDisk",
        "CreateDisk",
        "DeleteDisk",
        "AssignVM",
        "AddNic",
        "DeployVM",
        "DestroyVM",
        "DetachDisk",
        "DiskRequest",
        "EvictGuest",
        "ExpungeVM",
        "FollowVM",
        "MigrateVM",
        "NicRequest",
        "RebootVM",
        "RecoverVM",
        "ResizeDisk",
        "RestoreVM",
        "ScaleVM",
        "RemoveNic",
        "SecureVM",
        "SetDefaultNic",
        "StartVM",
        "StopVM",
    ),
    "interlock.schema.transition": ("Transition",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME_OF)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'interlock' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
