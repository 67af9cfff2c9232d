"""What may be asked of the engine: one type a request, checked by declaration before anything is decided.

Promises: `checked` returns a request whose every field has its declared type and bounds, or raises `InvalidRequest`
naming the field. Never looks at the cloud: whether the names exist is decided by admission, over a snapshot.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from interlock.schema.errors import InvalidRequest

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z",
        description="1 to 63 letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
    ),
]
Mebibytes = Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)]
"""1 MiB to 64 TiB."""
Id = Annotated[str, Meta(min_length=1, max_length=200)]


class NicRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One NIC; without an address the network's guru picks one."""

    network: Id
    ip_address: str | None = None


class DeployVM(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Create a VM with its NICs and volumes and, unless `start` is false, run it.

    Without `zone` it is that of the first network named, or any enabled one; without `nics` the VM is on the zone's
    default network.
    """

    name: Name
    offering: Id
    template: Id
    zone: Id | None = None
    account: Id = "system"
    nics: Annotated[tuple[NicRequest, ...], Meta(max_length=32)] = ()
    data_disks_mib: Annotated[tuple[Mebibytes, ...], Meta(max_length=64)] = ()
    planner: Id | None = None
    start: bool = True


class StartVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Run a VM that is Allocated or Stopped."""

    vm: Id


class StopVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop a Running VM; forced: pull the plug instead of asking the guest."""

    vm: Id
    forced: bool = False


class RebootVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Restart the guest of a Running VM."""

    vm: Id


class DestroyVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop a VM if it runs and mark it Destroyed; its disks and addresses stay until it is expunged."""

    vm: Id
    forced: bool = False


class RecoverVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bring a Destroyed VM back to Stopped."""

    vm: Id


class ExpungeVM(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End a VM for good: delete its disks, give back its addresses."""

    vm: Id


Request = DeployVM | StartVM | StopVM | RebootVM | DestroyVM | RecoverVM | ExpungeVM
KINDS: dict[str, type[Request]] = {
    "deploy": DeployVM,
    "start": StartVM,
    "stop": StopVM,
    "reboot": RebootVM,
    "destroy": DestroyVM,
    "recover": RecoverVM,
    "expunge": ExpungeVM,
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
        raise InvalidRequest(f"{kind}: {_in_words(str(wrong))}") from wrong


def as_fields(request: Request) -> dict[str, Any]:
    """The request as an operation keeps it, and as it is read back: JSON's own types, lists for tuples."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(request))
    return fields


def _in_words(message: str) -> str:
    if "matching regex" in message:
        where = message.partition(" - ")[2] or "a name"
        return f"{where} must be 1 to 63 letters, digits and hyphens, begin with a letter, not end with a hyphen"
    return message
