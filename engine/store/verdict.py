"""What became of a commit, and how the database's refusals are told apart.

A refusal is either a race that was lost, which deciding again on fresh figures can mend, or something the caller
must hear of (the name is taken, the VM is busy), or a defect of ours. The table below is the one place that knows
by which words of either database to tell them.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Why(StrEnum):
    """What a lost commit lost."""

    STALE = "stale"  # an entity has moved on, or a related one stands elsewhere
    ROOM = "room"  # capacity, an address or the rest of a limit went to somebody else
    NAME = "name"  # another living VM has the name
    MAC = "mac"  # another NIC has the MAC address
    BUSY = "busy"  # another operation is active on the VM
    DEFECT = "defect"  # no race explains it: the core decided what the database does not allow


class Committed(msgspec.Struct, frozen=True, gc=False):
    """It is durable. `first_seq` is the number of its first journal row."""

    first_seq: int


class Lost(msgspec.Struct, frozen=True, gc=False):
    """Nothing of it was written."""

    why: Why
    message: str


Verdict = Committed | Lost

_WORDS: tuple[tuple[str, Why], ...] = (
    ("journal.entity_id", Why.STALE),
    ("journal_entity_version", Why.STALE),
    ("interlock: stale", Why.STALE),
    ("interlock: interlocked", Why.STALE),
    ("interlock: affinity", Why.STALE),
    ("within_capacity", Why.ROOM),
    ("within_limit", Why.ROOM),
    ("nic.network_id, nic.ip_address", Why.ROOM),
    ("nic_ip_once", Why.ROOM),
    ("nic.network_id, nic.ip6_address", Why.ROOM),
    ("nic_ip6_once", Why.ROOM),
    ("nic.mac_address", Why.MAC),
    ("nic_mac_once", Why.MAC),
    ("nic.network_id, nic.host_name", Why.NAME),
    ("nic_name_once", Why.NAME),
    ("vm.name_scope, vm.name", Why.NAME),
    ("vm_name_once", Why.NAME),
    ("operation.vm_id", Why.BUSY),
    ("operation_active_once", Why.BUSY),
    ("operation.volume_id", Why.BUSY),
    ("operation_volume_once", Why.BUSY),
)


def why(message: str) -> Why:
    """Which race a refusal's message tells of."""
    return next((reason for words, reason in _WORDS if words in message), Why.DEFECT)
