"""What the engine asks of drivers, and what they answer: the words of the driver protocol, as data.

A command carries all a driver needs; it never looks anything up. `token` names the effect for ever: performing one
token again must change nothing more and answer the same. `fence` is the journal number of the commit that announced
the effect, so it rises with every step and every change of worker; a driver refuses a command whose fence is lower
than one it has seen for that VM or that subject: it is late, and the world has been told otherwise since. `vm_id` is
empty for a disk that belongs to no VM.

An outcome is Done, or Refused with a kind that says what may have happened:
permanent (nothing happened, asking again is pointless), transient (nothing happened, asking again may help),
unknown (it may have happened, or may still). The scope says what to avoid when a new place is sought.
"""

from __future__ import annotations

from enum import StrEnum
from typing import get_args

import msgspec

from interlock.schema.cloud import FirewallRule
from interlock.schema.reports import Found


class NicSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A NIC as the hypervisor needs it."""

    id: str
    network_id: str
    device: int
    is_default: bool
    ip_address: str
    ip6_address: str | None
    mac_address: str
    gateway: str
    netmask: str


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A volume as the hypervisor needs it."""

    id: str
    pool_id: str
    device: int
    size_mib: int
    template_id: str | None
    clone: str | None
    """full or linked: how it is made from its template; None: blank."""


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """What every command has. `driver` is the one that performs it, `at` the host or pool it is sent to."""

    driver: str
    at: str
    vm_id: str
    subject: str
    """The entity it is about: its machine and id."""


class PrepareNic(Command, frozen=True, kw_only=True):
    """Make a NIC ready on the host."""

    nic: NicSpec


class ReleaseNic(Command, frozen=True, kw_only=True):
    """Undo PrepareNic, whether or not it happened."""

    nic_id: str


class CreateVolume(Command, frozen=True, kw_only=True):
    """Create a volume in the pool, from a template or blank."""

    volume: VolumeSpec


class DeleteVolume(Command, frozen=True, kw_only=True):
    """Delete a volume from the pool, whether or not it is there."""

    volume_id: str


class RuleSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rules of one security group. Those that name a group mean the addresses of its members, which the driver
    knows from the NICs it was told."""

    group: str
    ingress: tuple[FirewallRule, ...]
    egress: tuple[FirewallRule, ...]


class StartDomain(Command, frozen=True, kw_only=True):
    """Define the guest on the host and run it."""

    name: str
    instance_name: str
    cpu_cores: int
    cpu_mhz: int
    memory_mib: int
    cpu_held_mhz: int
    """What the host guarantees of it."""
    memory_held_mib: int
    nics: tuple[NicSpec, ...]
    volumes: tuple[VolumeSpec, ...]
    iso: str | None
    """The ISO to boot from."""
    rules: tuple[RuleSpec, ...] | None
    """Those of its security groups; None: it is in none, and nothing is filtered."""
    user_data: str | None
    ssh_keys: tuple[str, ...]
    details: dict[str, str]


class StopDomain(Command, frozen=True, kw_only=True):
    """Stop the guest and remove it from the host, whether or not it is there. Forced: without asking the guest."""

    forced: bool
    unless_up: bool = False
    """Only remove what is left: a guest that runs after all is left alone, and Refused permanent about the VM."""


class RebootDomain(Command, frozen=True, kw_only=True):
    """Restart the guest in place."""


class MigrateDomain(Command, frozen=True, kw_only=True):
    """Move the running guest from the host `at` to another, whose NICs are ready. Done if it runs there already."""

    to_host: str
    cpu_held_mhz: int
    memory_held_mib: int


class ScaleDomain(Command, frozen=True, kw_only=True):
    """Give the running guest another size."""

    cpu_cores: int
    cpu_mhz: int
    memory_mib: int
    cpu_held_mhz: int
    memory_held_mib: int


class PlugNic(Command, frozen=True, kw_only=True):
    """Give the running guest a NIC that is ready on its host."""

    nic: NicSpec


class UnplugNic(Command, frozen=True, kw_only=True):
    """Take a NIC from the running guest, whether or not it has it."""

    nic_id: str


class PlugVolume(Command, frozen=True, kw_only=True):
    """Give the running guest a volume that exists."""

    volume: VolumeSpec


class UnplugVolume(Command, frozen=True, kw_only=True):
    """Take a volume from the running guest, whether or not it has it."""

    volume_id: str


class ResizeVolume(Command, frozen=True, kw_only=True):
    """Give a volume another size, in its pool; a running guest on `host_id` is told."""

    volume_id: str
    size_mib: int
    host_id: str | None


class ApplyRules(Command, frozen=True, kw_only=True):
    """Filter the running guest's traffic by these rules from now on."""

    rules: tuple[RuleSpec, ...]


class LookForDomain(Command, frozen=True, kw_only=True):
    """Say what the host has of the guest now: Done with what was found. Changes nothing but the fence that is known
    from now on, so that nothing sent earlier can change what was found. Under a token that was Done it looks again."""


class QuarantineDomain(Command, frozen=True, kw_only=True):
    """Halt the guest on the host where it stands, whether or not it is there: it writes and sends nothing, and keeps
    what it has. One that is off stays so."""


AnyCommand = (
    PrepareNic
    | ReleaseNic
    | CreateVolume
    | DeleteVolume
    | StartDomain
    | StopDomain
    | RebootDomain
    | MigrateDomain
    | ScaleDomain
    | PlugNic
    | UnplugNic
    | PlugVolume
    | UnplugVolume
    | ResizeVolume
    | ApplyRules
    | LookForDomain
    | QuarantineDomain
)
COMMANDS: tuple[type[Command], ...] = get_args(AnyCommand)
AtPool = CreateVolume | DeleteVolume | ResizeVolume
"""Those that are sent to a pool; all others go to a host."""


class Capability(StrEnum):
    """What not every hypervisor can; a driver says which of them its own can."""

    SECURITY_GROUPS = "security-groups"
    LIVE_MIGRATION = "live-migration"
    LIVE_SCALE = "live-scale"
    HOT_PLUG = "hot-plug"
    LINKED_CLONE = "linked-clone"
    QUARANTINE = "quarantine"


class Refusal(StrEnum):
    """What a refusal says about the world."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


class Scope(StrEnum):
    """What a refusal is about: what to keep away from when planning again."""

    HOST = "host"
    POOL = "pool"
    VM = "vm"


class Done(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """It is so: now, or since an earlier performance of the same token."""

    found: Found | None = None
    """Of LookForDomain: what was found."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """It is not, or nobody knows."""

    kind: Refusal
    scope: Scope
    reason: str


Outcome = Done | Refused
