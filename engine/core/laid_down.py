"""The records of an operation that nobody here can undo, laid down: each comes to rest, as a person vouches for.

For operations of a kind, or in a step, that this release does not have (`begun.py`): their own undo is not there, but
the machines are, so every transitional state has a row below that leads to a stable one and gives back what may not be
held there. The person vouches that the world is so:

    the VM       on its way anywhere: it runs nowhere and is Stopped; Expunging: Error. Running stays Running.
    its NICs     of a VM that runs: those announced or taken away are plugged in, others are gone; else: unprepared.
    its volumes  being made or taken away: not there; plugged in or out: free; others: as they were, where they were.

Promises: what is left is stable, holds what its interlocks allow and nothing else, and can be asked for anything again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.engine.core.draft import Draft
from interlock.engine.core.steps.expire import GONE
from interlock.schema.records import Nic, Volume

Rest = tuple[str, Mapping[str, Any]]
"""An event, and what is given back with it."""

_FREE: Mapping[str, Any] = {"vm_id": None, "device": None}
_NOWHERE: Mapping[str, Any] = {"host_id": None, "target_host_id": None}
_NO_SPACE: Mapping[str, Any] = {"pool_id": None, "clone": None}

VOLUME: Mapping[str, Rest] = {
    "Creating": ("OperationFailed", _NO_SPACE),
    "Attaching": ("OperationFailed", _FREE),
    "Detaching": ("OperationSucceeded", _FREE),
    "Resizing": ("OperationFailed", {}),
    "Migrating": ("OperationFailed", {}),
    "Snapshotting": ("OperationFailed", {}),
    "RevertSnapshotting": ("OperationFailed", {}),
    "Restoring": ("RestoreFailed", {}),
    "Reclaiming": ("OperationSucceeded", _NO_SPACE),
    "Expunging": ("OperationFailed", {}),
    "UploadInProgress": ("OperationFailed", {}),
    "Copying": ("OperationFailed", {}),
}
VM: Mapping[str, Rest] = {
    "Starting": ("OperationFailed", _NOWHERE),
    "Stopping": ("OperationSucceeded", _NOWHERE),
    "Migrating": ("AgentReportStopped", _NOWHERE),
    "Restoring": ("RestoringFailed", _NOWHERE),
    "Expunging": ("OperationFailed", {**_NOWHERE, "charged_to": None}),
}
NIC_UP: Mapping[str, tuple[Rest, ...]] = {
    "Reserving": (("OperationCompleted", {}),),
    "Releasing": (("OperationFailed", {}),),
    "Deallocating": (("OperationCompleted", GONE),),
    "Allocated": (("DeallocateRequested", {}), ("OperationCompleted", GONE)),
}
"""Of a VM that runs."""
NIC_DOWN: Mapping[str, tuple[Rest, ...]] = {
    "Reserving": (("OperationFailed", {}),),
    "Reserved": (("ReleaseRequested", {}), ("OperationCompleted", {})),
    "Releasing": (("OperationCompleted", {}),),
    "Deallocating": (("OperationCompleted", GONE),),
}
UP = ("Running", "Unknown")


def lay_down(draft: Draft) -> None:
    """Bring everything the operation may have moved to rest."""
    if draft.has_vm:
        for nic in draft.nics:
            _nic(draft, nic, NIC_UP if draft.vm.state in UP else NIC_DOWN)
    for volume in draft.volumes:
        _volume(draft, volume)
    if draft.has_vm and draft.vm.state in VM:
        event, given_back = VM[draft.vm.state]
        last = {"last_host_id": draft.vm.host_id or draft.vm.last_host_id}
        charged = {"charged_to": draft.vm.charged_to or draft.vm.account_id}
        draft.move(draft.vm, event, **{**last, **charged, **given_back})


def _nic(draft: Draft, nic: Nic, table: Mapping[str, tuple[Rest, ...]]) -> None:
    for event, given_back in table.get(nic.state, ()):
        nic = draft.move(nic, event, **given_back)


def _volume(draft: Draft, volume: Volume) -> None:
    if volume.state in VOLUME:
        event, given_back = VOLUME[volume.state]
        draft.move(volume, event, **given_back)
