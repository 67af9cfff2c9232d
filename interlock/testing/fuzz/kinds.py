"""Which kinds of operations a VM is asked, by its state: tables for the draws of requests (`asks.py`)."""

from __future__ import annotations

IN_STATE: dict[str, tuple[str, ...]] = {
    "Allocated": (
        *("start", "start", "scale", "assign", "add-nic", "attach-disk", "attach-disk", "attach-disk"),
        *("destroy", "expunge", "expunge"),
    ),
    "Running": (
        *("stop", "stop", "stop", "reboot", "migrate", "migrate", "migrate", "destroy", "scale", "scale", "secure"),
        *("add-nic", "remove-nic", "set-default-nic", "attach-disk", "attach-disk", "detach-disk"),
        *("resize-disk", "resize-disk", "follow", "follow"),
    ),
    "Stopped": (
        *("start", "start", "start", "start", "destroy", "scale", "restore", "restore", "assign", "expunge", "expunge"),
        *("add-nic", "remove-nic", "set-default-nic", "attach-disk", "detach-disk", "resize-disk", "resize-disk"),
    ),
    "Destroyed": ("recover", "recover", "expunge", "expunge", "detach-disk"),
    "Error": ("expunge",),
    "Unknown": ("follow", "follow", "follow", "stop", "destroy"),
}
"""What a VM may be asked, the commoner the more often."""
KINDS_ASKED = tuple(dict.fromkeys(kind for kinds in IN_STATE.values() for kind in kinds))
LEADS_TO = {"restore": "stop", "recover": "destroy", "assign": "stop", "start": "stop", "attach-disk": "detach-disk"}
"""What brings a VM to where it can be asked that."""
