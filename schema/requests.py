"""What may be asked of the engine: one type a request, checked by declaration before anything is decided.

Promises: `checked` returns a request whose every field has its declared type and bounds, or raises `InvalidRequest`
naming the field. Never looks at the cloud: whether the names exist is decided by admission, over a snapshot.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from interlock.schema.errors import InvalidRequest

LONGEST_NAME = 63
NAME_RULE = f"1 to {LONGEST_NAME} letters, digits and hyphens, beginning with a letter and not ending with a hyphen"
Name = Annotated[
    str,
    Meta(pattern=rf"^[A-Za-z]([A-Za-z0-9-]{{0,{LONGEST_NAME - 2}}}[A-Za-z0-9])?\Z", description=NAME_RULE),
]
Mebibytes = Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)]
"""1 MiB to 64 TiB."""
Id = Annotated[str, Meta(min_length=1, max_length=200)]


NICS_MOST = 32
"""NICs of one VM. Too high: no hypervisor has the slots."""
Text = Annotated[str, Meta(max_length=255)]
Labels = Annotated[dict[Annotated[str, Meta(min_length=1, max_length=255)], Text], Meta(max_length=128)]
"""Up to 128 keys, each with up to 255 characters."""
Ids = Annotated[tuple[Id, ...], Meta(max_length=256)]
Ratio = Annotated[float, Meta(ge=1.0, le=100.0)]


class NicRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One NIC; without addresses the network's guru picks them."""

    network: Id
    ip_address: str | None = None
    ip6_address: str | None = None
    mac_address: str | None = None


class DiskRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One data disk; with a size only where the offering leaves it open."""

    offering: Id
    size_mib: Mebibytes | None = None


class DeployVM(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Create a VM with its NICs and volumes and, unless `start` is false, run it.

    Without `name` one is made; without `zone` it is that of the first network named, or any enabled one; without
    `nics` the VM is on the zone's default network. From an ISO, `root_offering` says what the blank root disk is.
    """

    name: Name | None = None
    display_name: Text | None = None
    offering: Id
    template: Id
    zone: Id | None = None
    account: Id | None = None
    """Whose it is; None: the caller's, or where the operator asks, `system`'s."""
    hypervisor: Id | None = None
    nics: Annotated[tuple[NicRequest, ...], Meta(max_length=NICS_MOST)] = ()
    default_nic: Annotated[int, Meta(ge=0, lt=NICS_MOST)] = 0
    """Which of `nics` has the guest's default route."""
    root_mib: Mebibytes | None = None
    root_offering: Id | None = None
    data_disks_mib: Annotated[tuple[Mebibytes, ...], Meta(max_length=64)] = ()
    """Blank disks on the same storage as the root disk."""
    data_disks: Annotated[tuple[DiskRequest, ...], Meta(max_length=64)] = ()
    cpu_cores: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """With an offering that leaves it open; also the next two."""
    cpu_mhz: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    memory_mib: Mebibytes | None = None
    security_groups: Ids = ()
    affinity_groups: Ids = ()
    planner: Id | None = None
    pod: Id | None = None
    """Where to place it: administrators only; also the next four."""
    cluster: Id | None = None
    host: Id | None = None
    cpu_overcommit: Ratio | None = None
    memory_overcommit: Ratio | None = None
    user_data: str | None = None
    """Base64."""
    ssh_keys: Ids = ()
    details: Labels = {}
    tags: Labels = {}
    start: bool = True


class StartVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Run a VM that is Allocated or Stopped; where, only administrators may say."""

    vm: Id
    pod: Id | None = None
    cluster: Id | None = None
    host: Id | None = None


class StopVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Stop a Running VM; forced: pull the plug instead of asking the guest."""

    vm: Id
    forced: bool = False


class RebootVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Restart the guest of a Running VM."""

    vm: Id


class DestroyVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Stop a VM if it runs and mark it Destroyed; its disks and addresses stay until it is expunged."""

    vm: Id
    forced: bool = False


class RecoverVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Bring a Destroyed VM back to Stopped."""

    vm: Id


class ExpungeVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """End a VM for good: delete its disks, give back its addresses."""

    vm: Id


class MigrateVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Move a Running VM to another host, one that is named or any other."""

    vm: Id
    host: Id | None = None


class ScaleVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Give a VM another offering; a running one grows or shrinks where its hypervisor can."""

    vm: Id
    offering: Id
    cpu_cores: Annotated[int, Meta(ge=1, le=1024)] | None = None
    cpu_mhz: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    memory_mib: Mebibytes | None = None


class RestoreVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Make a Stopped VM's root disk anew from its template, or another one."""

    vm: Id
    template: Id | None = None


class AssignVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Give a Stopped VM to another account; its NICs go to networks that one may use."""

    vm: Id
    account: Id
    networks: Annotated[tuple[Id, ...], Meta(max_length=NICS_MOST)] = ()
    security_groups: Ids = ()


class AddNic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Put a VM on one more network."""

    vm: Id
    nic: NicRequest


class RemoveNic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Take a VM off a network. The default NIC cannot be removed."""

    vm: Id
    network: Id


class SetDefaultNic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Have the guest's default route go through another network."""

    vm: Id
    network: Id


class CreateDisk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Make a data disk that belongs to no VM yet; it takes space when it is first attached to one that runs."""

    name: Name
    offering: Id
    size_mib: Mebibytes | None = None
    zone: Id
    account: Id = "system"


class AttachDisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Give a disk that belongs to no VM to one that is Allocated, Stopped or Running."""

    vm: Id
    volume: Id


class DetachDisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Take a data disk from its VM; it keeps its data and its space."""

    volume: Id


class ResizeDisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Change the size of a disk. Shrinking loses data, and must be said."""

    volume: Id
    size_mib: Mebibytes
    shrink: bool = False


class DeleteDisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """End a disk that belongs to no VM, for good."""

    volume: Id


class SecureVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Tell the host of a VM the present rules of its security groups."""

    vm: Id


class FollowVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """See where a VM really is, and have its record say so."""

    vm: Id
    host: Id | None = None
    """A host it was seen on, which is looked at as well."""


class EvictGuest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Do with a guest that is no VM of ours what setting `vm.unknown.domain` says."""

    guest: Id
    """What its driver calls it."""
    host: Id


VmRequest = (
    StartVM
    | StopVM
    | RebootVM
    | DestroyVM
    | RecoverVM
    | ExpungeVM
    | MigrateVM
    | ScaleVM
    | RestoreVM
    | AssignVM
    | AddNic
    | RemoveNic
    | SetDefaultNic
    | AttachDisk
    | SecureVM
    | FollowVM
)
"""Those that name the VM they are about."""
DiskRequests = DetachDisk | ResizeDisk | DeleteDisk
"""Those that name a volume, and are about its VM if it has one."""
Request = DeployVM | CreateDisk | EvictGuest | VmRequest | DiskRequests
KINDS: dict[str, type[Request]] = {
    "deploy": DeployVM,
    "start": StartVM,
    "stop": StopVM,
    "reboot": RebootVM,
    "destroy": DestroyVM,
    "recover": RecoverVM,
    "expunge": ExpungeVM,
    "migrate": MigrateVM,
    "scale": ScaleVM,
    "restore": RestoreVM,
    "assign": AssignVM,
    "add-nic": AddNic,
    "remove-nic": RemoveNic,
    "set-default-nic": SetDefaultNic,
    "create-disk": CreateDisk,
    "attach-disk": AttachDisk,
    "detach-disk": DetachDisk,
    "resize-disk": ResizeDisk,
    "delete-disk": DeleteDisk,
    "secure": SecureVM,
    "follow": FollowVM,
    "evict": EvictGuest,
}
KIND_OF: dict[type[Request], str] = {request: kind for kind, request in KINDS.items()}

R = TypeVar("R", bound=Request)


def checked(request: R) -> R:
    """`request` again, with every field checked.

    Raises:
        InvalidRequest: a field is missing, of the wrong type or out of bounds.
    """
    kind = KIND_OF.get(cast("type[Request]", type(request)))
    if kind is None:
        raise InvalidRequest(f"{type(request).__name__} is not a request; the requests are {', '.join(KINDS)}")
    try:
        return msgspec.convert(msgspec.to_builtins(request), type(request))
    except (TypeError, ValueError) as wrong:
        raise InvalidRequest(f"{kind}: {_in_words(str(wrong), request)}") from wrong


def subject_of(request: Request) -> tuple[str | None, str | None]:
    """The VM and the volume that a request names; a request that makes them names none."""
    return getattr(request, "vm", None), getattr(request, "volume", None)


def as_fields(request: Request) -> dict[str, Any]:
    """The request as an operation keeps it, and as it is read back: JSON's own types, lists for tuples."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(request))
    return fields


def fault_of_name(name: str) -> str | None:
    """Which rule of RFC 1123 a name breaks, in words that follow it; None if it may be a host name."""
    strange = next((letter for letter in name if not _is_of_names(letter)), None)
    faults = {
        "is empty": not name,
        f"has {len(name)} characters, more than {LONGEST_NAME}": len(name) > LONGEST_NAME,
        f"has {strange!r}, which is no letter (a to z), digit or hyphen": strange is not None,
        "is made of digits only": name.isdigit(),
        "begins with a digit": name[:1].isdigit(),
        "begins with a hyphen": name[:1] == "-",
        "ends with a hyphen": name[-1:] == "-",
    }
    return next((fault for fault, found in faults.items() if found), None)


def _is_of_names(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter == "-")


def _in_words(message: str, request: Request) -> str:
    if "matching regex" in message:
        # `Name` is the one type with a pattern.
        name = str(getattr(request, "name", ""))
        return f"name {name!r} {fault_of_name(name)}; choose one of {NAME_RULE}"
    return message
