"""The records of what lives: VM, NIC, volume, operation. Frozen values; the columns of the tables of the same name.

Promises: the fields of a record are the columns of its table, in order, so that one mapping serves all four.
Times are microseconds since 1970 UTC, sizes MiB, CPU MHz. `version` rises by one with each transition and is what a
compare-and-set compares; `since` is when the present state was entered; `hash` is that of the journal row that made
this version. Never a default that hides a missing value.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

UNWRITTEN = ""
"""The hash of an entity before its first journal row."""


class Vm(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual machine. `host_id` is set while it holds capacity there (Starting, Running, Stopping, …)."""

    id: str
    name: str
    name_scope: str
    """Names are unique within it while the VM lives: the account."""
    account_id: str
    zone_id: str
    offering_id: str
    template_id: str
    cpu_cores: int
    cpu_mhz: int
    """Cores times speed: what the host gives."""
    memory_mib: int
    planner: str
    host_id: str | None
    last_host_id: str | None
    created_at: int
    state: str
    since: int
    version: int
    hash: str


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface; its addresses are its own from Allocated until Deallocated."""

    id: str
    vm_id: str
    network_id: str
    device: int
    is_default: bool
    ip_address: str | None
    mac_address: str | None
    gateway: str | None
    netmask: str | None
    created_at: int
    state: str
    since: int
    version: int
    hash: str


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A disk; `pool_id` is set while it takes space there."""

    id: str
    vm_id: str
    name: str
    kind: str
    """ROOT or DATA."""
    device: int
    size_mib: int
    template_id: str | None
    storage: str
    """Which pools may hold it: shared or local."""
    pool_id: str | None
    created_at: int
    state: str
    since: int
    version: int
    hash: str


class Avoided(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of an operation's avoid set."""

    scope: str
    """host or pool."""
    id: str
    cause: str
    until: int


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """The durable job. The core alone writes it; `engine/core/program.py` says who owns which field."""

    id: str
    kind: str
    vm_id: str
    actor: str
    request: dict[str, Any]
    """What was asked, as the request type's fields."""
    step: int
    """The last step entered; -1 before the first. Undoing counts it down."""
    attempt: int
    """Which placement this is, from 1."""
    tries: int
    """Failed tries of the present step's effects."""
    wake_at: int | None
    """When a waiting operation goes on."""
    made: tuple[str, ...]
    """Volumes this operation created: its undo deletes these and no others."""
    avoid: tuple[Avoided, ...]
    then: str | None
    """What follows the undo: replan, failed or cancelled."""
    error: str | None
    reasons: tuple[tuple[str, str], ...]
    """With an error about placement: each candidate and why not."""
    worker_id: str | None
    created_at: int
    state: str
    since: int
    version: int
    hash: str


MOVED = ("state", "since", "version", "hash")
"""What every transition writes."""
CHANGEABLE: dict[str, tuple[str, ...]] = {
    "vm": ("host_id", "last_host_id"),
    "nic": ("ip_address", "mac_address"),
    "volume": ("pool_id",),
    "operation": (
        "step",
        "attempt",
        "tries",
        "wake_at",
        "made",
        "avoid",
        "then",
        "error",
        "reasons",
        "worker_id",
    ),
}
"""What else a transition may change. All other columns are written once: updating them too would have the database
check keys and indexes that cannot have changed."""

Entity: TypeAlias = Vm | Nic | Volume | Operation
RECORDS: dict[str, type[Entity]] = {"vm": Vm, "nic": Nic, "volume": Volume, "operation": Operation}
MACHINE_OF: dict[type[Entity], str] = {record: name for name, record in RECORDS.items()}
