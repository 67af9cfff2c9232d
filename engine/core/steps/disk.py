"""What the operations on one disk share: which disk it is, the rules all of them keep, and the effects on its guest.

A rule raises `InvalidRequest`, in words. It is asked twice: by admission, where it refuses the request, and by the
first step, where it fails the operation: between the reading of a request and its writing another operation on the
disk may have ended. From its writing on, the operation owns the disk, and the VM that it was read to belong to; a disk
that belongs to another VM by then is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Refusal
from interlock.engine.core.steps.specs import host_of, is_able, to_host, volume_spec
from interlock.schema.commands import Capability, PlugVolume, UnplugVolume
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import Volume

DiskRule = Callable[[Draft, Volume], None]
"""Raises `InvalidRequest`."""


def found(draft: Draft, volume_id: str) -> Volume:
    """The disk of that id, as it will be."""
    return next(each for each in draft.volumes if each.id == volume_id)


def disk_of(draft: Draft) -> Volume:
    """The disk that the operation is about."""
    return found(draft, draft.operation.volume_id or "")


def is_plugged_in(draft: Draft) -> bool:
    """Whether there is a guest that must be told."""
    return draft.has_vm and draft.vm.state == "Running"


@contextmanager
def looked_at_again() -> Iterator[None]:
    """Rules that are asked by a step: what they refuse, fails the operation."""
    try:
        yield
    except InvalidRequest as error:
        raise Refusal(str(error)) from error


def must_be_still(draft: Draft, volume: Volume) -> None:
    """The disk belongs to the VM that the operation owns, or to none if it owns none.

    Raises:
        Refusal: it was attached or detached before the operation owned it.
    """
    if volume.vm_id != draft.operation.vm_id:
        now = f"belongs to VM {volume.vm_id}" if volume.vm_id else "belongs to no VM"
        raise Refusal(f"disk {volume.name} {now} by now; ask again")


def must_be_at_rest(draft: Draft, volume: Volume) -> None:
    """Nothing is being done to the disk, and it is not being deleted."""
    if volume.state not in ("Allocated", "Ready"):
        hint = "; it is to be deleted: ask for that again" if volume.state == "Destroy" else ""
        raise InvalidRequest(f"disk {volume.name} is {volume.state}, not Allocated or Ready{hint}")


def must_be_attached(draft: Draft, volume: Volume) -> None:
    """The disk belongs to the VM that was read with it."""
    if not draft.has_vm or volume.vm_id != draft.vm.id:
        raise InvalidRequest(f"disk {volume.name} belongs to no VM: there is nothing to detach")


def must_be_free(draft: Draft, volume: Volume) -> None:
    """The disk belongs to no VM."""
    if volume.vm_id is not None:
        name = draft.vm.name if draft.has_vm and draft.vm.id == volume.vm_id else volume.vm_id
        raise InvalidRequest(f"disk {volume.name} belongs to VM {name}; detach it first")


def must_be_data(draft: Draft, volume: Volume) -> None:
    """It is a data disk: a root disk comes and goes with its VM."""
    if volume.kind != "DATA":
        raise InvalidRequest(f"disk {volume.name} is a root disk, which stays with its VM; name a data disk")


def must_plug(draft: Draft, volume: Volume) -> None:
    """The guest, if it runs, can be given disks and rid of them."""
    if not is_plugged_in(draft):
        return
    host = host_of(draft)
    if not is_able(draft, host.driver, Capability.HOT_PLUG):
        raise InvalidRequest(
            f"VM {draft.vm.name} runs on host {host.id}, whose hypervisor cannot change the disks of a guest that "
            "runs; stop it first"
        )


def plug(draft: Draft) -> tuple[PlugVolume, ...]:
    """Give the disk to its guest."""
    host, volume = host_of(draft), disk_of(draft)
    return (
        PlugVolume(
            **to_host(draft, host, volume),
            volume=volume_spec(volume),
        ),
    )


def unplug(draft: Draft) -> tuple[UnplugVolume, ...]:
    """Take the disk from its guest."""
    host, volume = host_of(draft), disk_of(draft)
    return (
        UnplugVolume(
            **to_host(draft, host, volume),
            volume_id=volume.id,
        ),
    )
