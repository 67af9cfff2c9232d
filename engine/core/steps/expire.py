"""Ends for good: what an expunge and the undo of an allocation do to NICs and volumes that are not in the world."""

from __future__ import annotations

from collections.abc import Collection

from interlock.engine.core.draft import Draft

GONE = dict.fromkeys(("ip_address", "ip6_address", "mac_address", "host_name", "charged_to"))
"""What a NIC that has ended owns: nothing."""


def doom_volumes(draft: Draft) -> None:
    """Every volume that is not gone becomes Expunging."""
    for volume in draft.volumes:
        doomed = volume
        if doomed.state in ("Allocated", "Ready"):
            doomed = draft.move(doomed, "DestroyRequested")
        if doomed.state == "Destroy":
            draft.move(doomed, "ExpungingRequested")


def bury_volumes(draft: Draft) -> None:
    """Every Expunging volume becomes Expunged and gives its space back."""
    for volume in draft.volumes:
        if volume.state == "Expunging":
            draft.move(volume, "OperationSucceeded", pool_id=None, charged_to=None)


def free_addresses(draft: Draft, but: Collection[str] = ()) -> None:
    """Every NIC, `but` some, becomes Deallocated and gives its addresses back."""
    for nic in draft.nics:
        if nic.state == "Allocated" and nic.id not in but:
            leaving = draft.move(nic, "DeallocateRequested")
            draft.move(leaving, "OperationCompleted", **GONE)
