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


class Vm(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A virtual machine. `host_id` is set while it holds capacity there (Starting, Running, Stopping, …)."""

    id: str
    name: str
    """Host name of the guest."""
    name_scope: str
    """Names are unique within it while the VM lives; which it is follows from a setting."""
    display_name: str | None
    instance_name: str
    """What the hypervisor calls it: i-<account>-<vm>-<suffix>."""
    account_id: str
    charged_to: str | None
    """The account whose VM, core and memory limits it counts against; None once Destroyed."""
    zone_id: str
    offering_id: str
    template_id: str
    hypervisor: str | None
    """The only one it runs on; None: any."""
    cpu_cores: int
    cpu_mhz: int
    """Cores times speed: what the guest sees."""
    memory_mib: int
    own_cpu_overcommit: float | None
    """Ratio asked for; None: its cluster's."""
    own_memory_overcommit: float | None
    cpu_held_mhz: int
    """What it holds of its host: its CPU divided by the ratio in force when it started, kept until it starts again."""
    memory_held_mib: int
    planner: str
    host_id: str | None
    target_host_id: str | None
    """Where it is migrating to, and holds capacity as well."""
    last_host_id: str | None
    affinity_groups: tuple[str, ...]
    security_groups: tuple[str, ...]
    rules_told: int
    """The highest version of its security groups that its host has been told."""
    user_data: str | None
    """Base64."""
    ssh_keys: tuple[str, ...]
    """Public keys."""
    details: dict[str, str]
    tags: dict[str, str]
    created_at: int
    state: str
    since: int
    version: int
    hash: str


class Nic(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network interface; its addresses are its own from Allocated until Deallocated, or, where they come with the
    pod, from Reserving on."""

    id: str
    vm_id: str
    network_id: str
    device: int
    is_default: bool
    wished_ip: str | None
    """The address that was asked for; kept for those that are given later."""
    ip_address: str | None
    ip6_address: str | None
    mac_address: str | None
    gateway: str | None
    netmask: str | None
    host_name: str | None
    """The VM's name, where it must be unique in the network."""
    charged_to: str | None
    """The account whose limit of public addresses it counts against."""
    created_at: int
    state: str
    since: int
    version: int
    hash: str


class Volume(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A disk; `pool_id` is set while it takes space there, `vm_id` while it is attached."""

    id: str
    vm_id: str | None
    account_id: str
    charged_to: str | None
    """The account whose limits of volumes and storage it counts against; None once another root disk is made in its
    place, or it is Expunged."""
    zone_id: str
    name: str
    kind: str
    """ROOT or DATA."""
    device: int | None
    size_mib: int
    offering_id: str | None
    template_id: str | None
    storage: str
    """Which pools may hold it: shared or local."""
    storage_tags: tuple[str, ...]
    """Tags that its pool must have."""
    clone: str | None
    """How it was made from its template: full or linked; None: blank, or not made yet."""
    pool_id: str | None
    created_at: int
    state: str
    since: int
    version: int
    hash: str


class Avoided(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entry of an operation's avoid set."""

    scope: str
    """pod, host or pool."""
    id: str
    cause: str
    until: int


class Operation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The durable job. The core alone writes it; `engine/core/program.py` says who owns which field."""

    id: str
    kind: str
    vm_id: str | None
    volume_id: str | None
    """The volume it is about; with `vm_id` None, it is about nothing else."""
    actor: str
    caller_id: str | None
    """The account on whose rights it was asked for; None: the operator's."""
    request: dict[str, Any]
    """What was asked, as the request type's fields."""
    steps: tuple[str, ...]
    """The names of its steps, which `step` counts: as they were when it was begun, or last taken over by a release that
    has others. Empty if it has none, or if a release began it that did not name them (`engine/core/begun.py`)."""
    step: int
    """The last step entered; -1 before the first. Undoing counts it down."""
    attempt: int
    """Which placement this is, from 1."""
    tries: int
    """Failed tries of the present step's effects."""
    wake_at: int | None
    """When a waiting operation goes on."""
    made: tuple[str, ...]
    """What this operation takes or makes, by id: volumes, which its undo deletes, these and no others; NICs that took
    an address with their pod; of `secure`, the version of the rules that it announced."""
    kept: dict[str, Any]
    """What a step replaced, by name: its undo puts it back. Also what it was told of the world, for steps after it."""
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
USUAL: dict[str, tuple[str, ...]] = {
    "vm": ("host_id", "last_host_id", "cpu_held_mhz", "memory_held_mib", "rules_told"),
    "nic": ("ip_address", "mac_address", "ip6_address", "gateway", "netmask"),
    "volume": ("pool_id", "clone"),
    "operation": (
        "step",
        "attempt",
        "tries",
        "wake_at",
        "made",
        "kept",
        "avoid",
        "then",
        "error",
        "reasons",
        "worker_id",
    ),
}
"""What else the transitions of a deploy change."""
RARE: dict[str, tuple[str, ...]] = {
    "vm": (
        "name_scope",
        "account_id",
        "charged_to",
        "offering_id",
        "template_id",
        "cpu_cores",
        "cpu_mhz",
        "memory_mib",
        "target_host_id",
        "affinity_groups",
        "security_groups",
    ),
    "nic": ("is_default", "host_name", "charged_to"),
    "volume": ("vm_id", "device", "account_id", "charged_to", "size_mib", "offering_id"),
    "operation": ("steps",),
}
"""What only some transitions change. Kept apart, because updating them makes the database check keys and indexes that
the usual transition cannot have changed. All other columns are written once."""
CHANGEABLE: dict[str, tuple[str, ...]] = {name: (*USUAL[name], *RARE[name]) for name in USUAL}
"""What a transition may change."""

Entity: TypeAlias = Vm | Nic | Volume | Operation
RECORDS: dict[str, type[Entity]] = {"vm": Vm, "nic": Nic, "volume": Volume, "operation": Operation}
MACHINE_OF: dict[type[Entity], str] = {record: name for name, record in RECORDS.items()}
