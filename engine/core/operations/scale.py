"""scale: give a VM another offering; with one that leaves them open, other sizes.

Legal flow: one step. A VM that is Allocated or Stopped holds nothing of a host: its sizes change in one commit, and
its next start asks for the new ones. One that is Running stays where it is, if its hypervisor can change a running
guest: the announcement (ScaleRequested) takes the greater of old and new, of its host as of its account's limits; the
guest is changed; ScaleSucceeded gives back what is less. So neither the host nor the limits are ever short of what
the guest may have at that moment, whichever way the effect ends.

Who owns what: `kept` has the old sizes and the new ones from the announcement on, so that what is asked of the driver
follows from the operation alone, and an offering that is changed meanwhile changes nothing. What a running VM holds
of its host follows from the overcommit ratio that it holds now: the ratio is kept until it starts again.
What unwinding does: the guest is given its old size, whether or not it has it, and the VM its old offering and sizes
(ScaleFailed); what was taken is given back. A guest that does not run any more (it was shut down from inside) can be
given no size: the operation is Stuck until a person vouches for it.
Races: room and limits are looked at when the request is made, again in the step, and by the guards at commit. The
threshold of its cluster is about where VMs are placed: one that grows where it is, is not placed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from interlock.engine.core import limits
from interlock.engine.core.admission.lookup import existing
from interlock.engine.core.admission.sizes import offering_of, size_of
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Refusal, Step
from interlock.engine.core.steps.specs import host_of, is_able, to_guest
from interlock.schema.cloud import Account, Host, Offering, StoragePool, guaranteed
from interlock.schema.commands import AnyCommand, Capability, ScaleDomain
from interlock.schema.errors import InvalidRequest, NoRoom, OverLimit
from interlock.schema.records import Vm, Volume
from interlock.schema.requests import ScaleVM


class Size(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a VM is, and holds of its host; its fields are those of the VM's record."""

    offering_id: str
    cpu_cores: int
    cpu_mhz: int
    """Of all cores together."""
    memory_mib: int
    cpu_held_mhz: int
    memory_held_mib: int


AMOUNTS = ("cpu_cores", "cpu_mhz", "memory_mib", "cpu_held_mhz", "memory_held_mib")
"""The fields of a size that can be more or less."""


def _admit(draft: Draft, request: ScaleVM, caller_id: str | None, ids: Iterator[str]) -> None:
    """Whether the VM may have the offering, and room for what is more.

    Raises:
        InvalidRequest: a rule refuses.
        NoRoom: the host, or a limit.
    """
    vm, account = draft.vm, existing(draft.cloud, Account, draft.vm.account_id)
    offering = offering_of(draft.cloud, request.offering, account, caller_id)
    _same_storage(draft, offering)
    old, new = _of(vm), _wanted(draft, offering, request)
    if new == old:
        raise InvalidRequest(f"VM {vm.name} has offering {offering.id} and these sizes already: name others")
    if vm.state == "Running":
        _can_scale(draft)
        _has_tags(host_of(draft), vm, offering)
        if reason := _no_room(host_of(draft), old, new):
            raise NoRoom(f"VM {vm.name} cannot grow: {reason}")
    if reason := _over_limit(draft, old, new):
        raise OverLimit(f"VM {vm.name} cannot be scaled: {reason}")


# The offering


def _same_storage(draft: Draft, offering: Offering) -> None:
    """The root disk stays where it is: it must be on the kind of storage, with the tags, that the offering wants."""
    for root in draft.volumes:
        if root.kind == "ROOT" and root.storage != offering.storage:
            raise InvalidRequest(
                f"offering {offering.id} wants {offering.storage} storage, root disk {root.id} is on {root.storage}; "
                "name an offering of that kind"
            )
        if root.kind == "ROOT" and (lacking := set(offering.storage_tags) - _storage_tags(draft, root)):
            raise InvalidRequest(
                f"offering {offering.id} wants storage tags {', '.join(sorted(lacking))}, which root disk {root.id} "
                "does not have; name another offering"
            )


def _storage_tags(draft: Draft, root: Volume) -> set[str]:
    pool = draft.cloud.find(StoragePool, root.pool_id or "")
    return {*root.storage_tags, *(pool.tags if pool else ())}


# Old and new


def _of(vm: Vm) -> Size:
    return Size(**{name: getattr(vm, name) for name in Size.__struct_fields__})


def _wanted(draft: Draft, offering: Offering, request: ScaleVM) -> Size:
    """The size that is asked for, with what it holds of its host."""
    vm = draft.vm
    cores, core_mhz, memory = size_of(offering, request)
    cpu = cores * core_mhz
    host = host_of(draft) if vm.state == "Running" else None
    if host is None:
        cpu_held, memory_held = cpu, memory
    else:
        cpu_held = held(cpu, vm.cpu_mhz, vm.cpu_held_mhz, vm.own_cpu_overcommit or host.cpu_overcommit)
        ratio = vm.own_memory_overcommit or host.memory_overcommit
        memory_held = held(memory, vm.memory_mib, vm.memory_held_mib, ratio)
    return Size(
        offering_id=offering.id,
        cpu_cores=cores,
        cpu_mhz=cpu,
        memory_mib=memory,
        cpu_held_mhz=cpu_held,
        memory_held_mib=memory_held,
    )


def held(new: int, old: int, held_now: int, ratio: float) -> int:
    """What is held of a host for `new`, where `held_now` is held for `old`: by the same ratio.

    Args:
        ratio: that in force now; another may have been when the VM started, and then only its proportion is known.
    """
    return guaranteed(new, ratio) if guaranteed(old, ratio) == held_now else max(1, new * held_now // old)


def _more(old: Size, new: Size) -> dict[str, int]:
    return {name: getattr(new, name) - getattr(old, name) for name in AMOUNTS}


# What a running guest needs


def _can_scale(draft: Draft) -> None:
    """The hypervisor it runs on can change a running guest."""
    host = host_of(draft)
    if not is_able(draft, host.driver, Capability.LIVE_SCALE):
        raise InvalidRequest(
            f"VM {draft.vm.name} runs, and driver {host.driver} of host {host.id} cannot change running guests: "
            "stop it first"
        )


def _has_tags(host: Host, vm: Vm, offering: Offering) -> None:
    """The host it runs on has the offering's tags."""
    if lacking := [tag for tag in offering.host_tags if tag not in host.tags]:
        raise InvalidRequest(
            f"offering {offering.id} wants hosts with tags {', '.join(lacking)}, which host {host.id} lacks; "
            f"stop VM {vm.name} first, or migrate it"
        )


def _no_room(host: Host, old: Size, new: Size) -> str | None:
    """The host has room for what is more."""
    more = _more(old, new)
    for what, name, free in (
        ("MHz CPU", "cpu_held_mhz", host.cpu_free_mhz),
        ("MiB memory", "memory_held_mib", host.memory_free_mib),
    ):
        if more[name] > max(0, free):
            return f"needs {more[name]} {what} more, host {host.id} has {free} free; migrate it, or stop it first"
    return None


def _over_limit(draft: Draft, old: Size, new: Size) -> str | None:
    """The owner may have what is more."""
    more = _more(old, new)
    return limits.exceeded(draft.cloud, draft.vm.account_id, {"cores": more["cpu_cores"], "ram": more["memory_mib"]})


# The step


def _announce(draft: Draft) -> None:
    vm, old = draft.vm, _of(draft.vm)
    new = _still_wanted(draft)
    reason = _over_limit(draft, old, new)
    if reason is None and vm.state == "Running":
        reason = _no_room(host_of(draft), old, new)
    if reason:
        raise Refusal(f"VM {vm.name} cannot be scaled: {reason}")
    draft.noted["kept"] = {"old": msgspec.to_builtins(old), "new": msgspec.to_builtins(new)}
    if vm.state == "Running":
        greater = {name: max(getattr(old, name), getattr(new, name)) for name in AMOUNTS}
        draft.move(vm, "ScaleRequested", **greater)
    else:
        draft.move(vm, "ScaleRequested", **msgspec.structs.asdict(new))


def _still_wanted(draft: Draft) -> Size:
    """The size that was asked for, by the offering as it is now.

    Raises:
        Refusal: it is not the same any more, and does not go with the request.
    """
    request = msgspec.convert(draft.operation.request, ScaleVM)
    offering = draft.cloud.find(Offering, request.offering)
    if offering is None:
        raise Refusal(f"there is no offering {request.offering} any more")
    try:
        return _wanted(draft, offering, request)
    except InvalidRequest as changed:
        raise Refusal(str(changed)) from changed


def _kept(draft: Draft, which: str) -> Size:
    kept: dict[str, Any] = draft.noted.get("kept") or draft.operation.kept
    return msgspec.convert(kept[which], Size)


def _tell(draft: Draft) -> tuple[AnyCommand, ...]:
    return _command(draft, _kept(draft, "new")) if draft.vm.state == "Running" else ()


def _tell_back(draft: Draft) -> tuple[AnyCommand, ...]:
    return _command(draft, _kept(draft, "old")) if draft.operation.kept else ()


def _command(draft: Draft, size: Size) -> tuple[AnyCommand, ...]:
    host = host_of(draft)
    return (
        ScaleDomain(
            **to_guest(draft, host),
            cpu_cores=size.cpu_cores,
            cpu_mhz=size.cpu_mhz,
            memory_mib=size.memory_mib,
            cpu_held_mhz=size.cpu_held_mhz,
            memory_held_mib=size.memory_held_mib,
        ),
    )


def _scaled(draft: Draft) -> None:
    if draft.vm.state == "Running":
        draft.move(draft.vm, "ScaleSucceeded", **msgspec.structs.asdict(_kept(draft, "new")))


def _as_before(draft: Draft) -> None:
    if draft.operation.kept:
        draft.move(draft.vm, "ScaleFailed", **msgspec.structs.asdict(_kept(draft, "old")))
        draft.noted["kept"] = {}


SCALE = Program(
    "scale",
    accepts=("Allocated", "Stopped", "Running"),
    steps=(
        Step(
            "size",
            Act(announce=_announce, effects=_tell, settle=_scaled),
            undo=Act(effects=_tell_back, settle=_as_before),
        ),
    ),
    admit=_admit,
)
