"""What the engine asks of drivers, and what they answer: the words of the driver protocol, as data.

A command carries all a driver needs; it never looks anything up. `token` names the effect for ever: performing one
token again must change nothing more and answer the same. `fence` is the journal number of the commit that announced
the effect, so it rises with every step and every change of worker; a driver refuses a command whose fence is lower
than one it has seen for that VM: it is late, and the world has been told otherwise since.

An outcome is Done, or Refused with a kind that says what may have happened:
permanent (nothing happened, asking again is pointless), transient (nothing happened, asking again may help),
unknown (it may have happened, or may still). The scope says what to avoid when a new place is sought.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class NicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC as the hypervisor needs it."""

    id: str
    network_id: str
    device: int
    ip_address: str
    mac_address: str
    gateway: str
    netmask: str


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as the hypervisor needs it."""

    id: str
    pool_id: str
    device: int
    size_mib: int
    template_id: str | None


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
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


class StartDomain(Command, frozen=True, kw_only=True):
    """Define the guest on the host and run it."""

    name: str
    cpu_cores: int
    cpu_mhz: int
    memory_mib: int
    nics: tuple[NicSpec, ...]
    volumes: tuple[VolumeSpec, ...]


class StopDomain(Command, frozen=True, kw_only=True):
    """Stop the guest and remove it from the host, whether or not it is there. Forced: without asking the guest."""

    forced: bool


class RebootDomain(Command, frozen=True, kw_only=True):
    """Restart the guest in place."""


AnyCommand = PrepareNic | ReleaseNic | CreateVolume | DeleteVolume | StartDomain | StopDomain | RebootDomain
COMMANDS: tuple[type[Command], ...] = (
    PrepareNic,
    ReleaseNic,
    CreateVolume,
    DeleteVolume,
    StartDomain,
    StopDomain,
    RebootDomain,
)


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


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is so: now, or since an earlier performance of the same token."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """It is not, or nobody knows."""

    kind: Refusal
    scope: Scope
    reason: str


Outcome = Done | Refused
