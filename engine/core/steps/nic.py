"""The acts on one NIC of a VM, for operations that change its NICs: announced, done and settled, forward and back.

Of a VM that does not run they ask nothing of drivers: its NICs are Allocated, and are prepared when it starts. Which
NIC it is follows from the network that the request names, since a VM has one at most on each.
"""

from __future__ import annotations

from interlock.engine.core.admission.nic_changes import nic_on
from interlock.engine.core.draft import Draft
from interlock.engine.core.steps.expire import GONE
from interlock.engine.core.steps.prepare import address_in_pod
from interlock.engine.core.steps.specs import host_of, nic_spec, prepare_nics, release_nics, to_host
from interlock.schema.commands import AnyCommand, PlugNic, UnplugNic
from interlock.schema.records import Nic


def the_nic(draft: Draft) -> Nic | None:
    """The NIC that the operation is about; None once it has ended."""
    request = draft.operation.request
    return nic_on(draft, request["network"] if "network" in request else request["nic"]["network"])


def runs(draft: Draft) -> bool:
    """Whether there is a guest."""
    return draft.vm.state == "Running"


def reserve(draft: Draft) -> None:
    """Allocated → Reserving under a running guest; an address that comes with the pod is taken now."""
    nic = the_nic(draft)
    if runs(draft) and nic is not None:
        draft.move(nic, "ReservationRequested", **address_in_pod(draft, nic, host_of(draft).pod_id))


def prepare(draft: Draft) -> tuple[AnyCommand, ...]:
    """Make it ready on the host."""
    return prepare_nics(draft, "Reserving") if runs(draft) else ()


def reserved(draft: Draft) -> None:
    """Reserving → Reserved."""
    _move(draft, "Reserving", "OperationCompleted")


def give_up(draft: Draft) -> None:
    """Reserving or Reserved → Releasing."""
    _move(draft, "Reserving", "ReleaseRequested")
    _move(draft, "Reserved", "ReleaseRequested")


def release(draft: Draft) -> tuple[AnyCommand, ...]:
    """Forget it on the host."""
    return release_nics(draft) if runs(draft) else ()


def prepare_again(draft: Draft) -> tuple[AnyCommand, ...]:
    """Take a release back."""
    return prepare_nics(draft, "Releasing") if runs(draft) else ()


def prepared_again(draft: Draft) -> None:
    """Releasing → Reserved."""
    _move(draft, "Releasing", "OperationFailed")


def deallocate(draft: Draft) -> None:
    """Releasing → Allocated → Deallocating → Deallocated; what it owned is free."""
    _move(draft, "Releasing", "OperationCompleted")
    _move(draft, "Allocated", "DeallocateRequested")
    nic = the_nic(draft)
    if nic is not None and nic.state == "Deallocating":
        draft.move(nic, "OperationCompleted", **GONE)


def _move(draft: Draft, state: str, event: str) -> None:
    nic = the_nic(draft)
    if nic is not None and nic.state == state:
        draft.move(nic, event)


def plug(draft: Draft) -> tuple[AnyCommand, ...]:
    """Give it to the guest."""
    nic = the_nic(draft)
    if nic is None or not runs(draft):
        return ()
    return (PlugNic(**to_host(draft, host_of(draft), nic), nic=nic_spec(nic)),)


def unplug(draft: Draft) -> tuple[AnyCommand, ...]:
    """Take it from the guest."""
    nic = the_nic(draft)
    if nic is None or not runs(draft):
        return ()
    return (UnplugNic(**to_host(draft, host_of(draft), nic), nic_id=nic.id),)
