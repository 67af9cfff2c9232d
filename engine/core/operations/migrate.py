"""migrate: move a Running VM to another host while it runs. For administrators; without a host, one is planned.

Legal flow: place → prepare → move → leave; VM Running → Migrating → Running. `place` takes capacity on the target, a
host that all rules of placement allow and that reaches the VM's disks; `prepare` makes its NICs ready there as well;
`move` has the guest moved; `leave` releases the NICs on the source, and its commit makes the target the host.
A target that refuses joins the avoid set and another is planned; one that was named is not replaced.

Who owns what: `host_id` is the source until the last commit, so its capacity is there for the guest to come back to;
`target_host_id` is the target from `place` to the last commit. NICs stay Reserved throughout, with their addresses;
volumes stay Ready where they lie.

What unwinding does: the NICs are made ready on the source again, the guest is moved back, the NICs are released on
the target, its capacity is given back; the VM is Running where it was. A move that may have happened is undone like
one that did: the guest that is on the source already is left alone. A guest that runs on neither side (it was shut
down from inside meanwhile) can be moved neither way: the operation is Stuck, and a person says whether it is as if
undone.
Races: between `move` and `leave` the guest is on the target and the records say source; both hold its capacity, and
no other operation may touch the VM, so nobody can act on the difference.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.access import is_admin
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.specs import host_of, is_able, prepare_nics, release_nics, target_of, to_guest
from interlock.engine.core.steps.target import TARGET
from interlock.schema.cloud import Host
from interlock.schema.commands import AnyCommand, Capability, MigrateDomain
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.requests import MigrateVM


def _admit(draft: Draft, request: MigrateVM, caller_id: str | None, ids: Iterator[str]) -> None:
    """Whether the VM may be asked to move, and where to.

    Raises:
        InvalidRequest: a rule refuses.
    """
    _by_an_admin(draft, caller_id)
    _can_move(draft)
    if request.host is not None:
        _another_host(draft, request.host)


def _by_an_admin(draft: Draft, caller_id: str | None) -> None:
    """Where VMs run is the administrators' business."""
    if not is_admin(draft.cloud, caller_id):
        raise NotAllowed(f"account {caller_id} may not migrate VM {draft.vm.name}: ask an administrator")


def _can_move(draft: Draft) -> None:
    """The hypervisor it runs on can move a running guest."""
    host = host_of(draft)
    if not is_able(draft, host.driver, Capability.LIVE_MIGRATION):
        raise InvalidRequest(
            f"VM {draft.vm.name} cannot be migrated: driver {host.driver} of host {host.id} cannot move running "
            "guests; stop it, and start it elsewhere"
        )


def _another_host(draft: Draft, host_id: str) -> None:
    """The host that is named is one of the VM's zone, and not where it is."""
    vm, host = draft.vm, draft.cloud.find(Host, host_id)
    if host is None:
        raise NotFound(f"there is no host {host_id!r}; `interlock hosts` lists them")
    if host.zone_id != vm.zone_id:
        raise InvalidRequest(f"host {host.id} is in zone {host.zone_id}, VM {vm.name} in {vm.zone_id}: choose another")
    if host.id == vm.host_id:
        raise InvalidRequest(f"VM {vm.name} runs on host {host.id} already: choose another, or none")


def _prepare(draft: Draft) -> tuple[AnyCommand, ...]:
    return prepare_nics(draft, "Reserved", target_of(draft))


def _release(draft: Draft) -> tuple[AnyCommand, ...]:
    return release_nics(draft, "Reserved", target_of(draft))


def _move(draft: Draft) -> tuple[AnyCommand, ...]:
    return _moved(draft, host_of(draft), target_of(draft))


def _move_back(draft: Draft) -> tuple[AnyCommand, ...]:
    return _moved(draft, target_of(draft), host_of(draft))


def _moved(draft: Draft, source: Host, target: Host) -> tuple[AnyCommand, ...]:
    vm = draft.vm
    return (
        MigrateDomain(
            **to_guest(draft, source),
            to_host=target.id,
            cpu_held_mhz=vm.cpu_held_mhz,
            memory_held_mib=vm.memory_held_mib,
        ),
    )


def _leave(draft: Draft) -> tuple[AnyCommand, ...]:
    return release_nics(draft, "Reserved")


def _return(draft: Draft) -> tuple[AnyCommand, ...]:
    return prepare_nics(draft, "Reserved")


def _arrived(draft: Draft) -> None:
    vm = draft.vm
    draft.move(vm, "OperationSucceeded", host_id=vm.target_host_id, target_host_id=None, last_host_id=vm.host_id)


MIGRATE = Program(
    "migrate",
    accepts=("Running",),
    steps=(
        TARGET,
        Step("prepare", Act(effects=_prepare), undo=Act(effects=_release)),
        Step("move", Act(effects=_move), undo=Act(effects=_move_back)),
        Step("leave", Act(effects=_leave, settle=_arrived), undo=Act(effects=_return)),
    ),
    admit=_admit,
)
