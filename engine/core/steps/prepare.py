"""prepare: make NICs and volumes ready where `place` said. Both at once: they do not need each other.

Forward: NICs Allocated → Reserving → Reserved, those whose address comes with the pod taking it now; volumes that do
not exist yet Allocated → Creating → Ready. What this took or made is noted in the operation's `made`. Undo: NICs back
to Allocated, keeping their addresses but for those in `made`; the volumes in `made` are deleted and give their space
back, others are left alone. An effect that may have happened is undone like one that did.
"""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.given import is_pod_guru, reserved
from interlock.engine.core.program import Act, Refusal, Step
from interlock.engine.core.steps.demand import is_within, ranges_of
from interlock.engine.core.steps.specs import (
    create_volumes,
    delete_volumes,
    host_of,
    is_able,
    pool_driver,
    prepare_nics,
    release_nics,
)
from interlock.planners.protocol import NoAddress
from interlock.schema.cloud import Network
from interlock.schema.commands import AnyCommand, Capability
from interlock.schema.errors import InterlockViolated
from interlock.schema.records import Nic, Volume
from interlock.schema.settings import FULL_CLONE, SettingScope


def _announce(draft: Draft) -> None:
    if draft.plan is None:
        raise InterlockViolated(f"vm {draft.vm.id} is prepared without having been placed")
    made = [nic.id for nic in draft.nics if nic.state == "Allocated" and _reserve(draft, nic)]
    for volume in draft.volumes:
        if volume.state == "Allocated":
            create(draft, volume, draft.plan.pools[volume.id])
            made.append(volume.id)
    draft.noted["made"] = tuple(made)


def _reserve(draft: Draft, nic: Nic) -> bool:
    """Returns whether it took an address."""
    taken = address_in_pod(draft, nic, host_of(draft).pod_id)
    draft.move(nic, "ReservationRequested", **taken)
    return bool(taken)


def address_in_pod(draft: Draft, nic: Nic, pod_id: str) -> dict[str, str]:
    """What a NIC whose address comes with the pod takes there; nothing if it has one there already.

    Raises:
        Refusal: the pod has none for it.
    """
    network = draft.cloud.find(Network, nic.network_id)
    guru = draft.rules.gurus.get(network.guru) if network else None
    if network is None or not is_pod_guru(guru):
        return {}
    ranges = ranges_of(draft, network.id, pod_id)
    if nic.ip_address is not None and any(is_within(nic.ip_address, each) for each in ranges):
        return {}
    address = reserved(guru, network, ranges, nic, draft.cloud.addresses(network.id))
    if isinstance(address, NoAddress):
        raise Refusal(f"no address for VM {draft.vm.name} in network {network.id}: {address.reason}")
    return {"ip_address": address.ip_address, "gateway": address.gateway, "netmask": address.netmask}


def create(draft: Draft, volume: Volume, pool_id: str) -> None:
    """Announce that a volume is made in a pool."""
    draft.move(volume, "CreateRequested", pool_id=pool_id, clone=_clone(draft, volume, pool_id))


def _clone(draft: Draft, volume: Volume, pool_id: str) -> str | None:
    """Linked where the setting says so and the driver can."""
    if volume.template_id is None:
        return None
    where = ((SettingScope.POOL, pool_id), (SettingScope.ZONE, volume.zone_id))
    able = is_able(draft, pool_driver(draft, pool_id), Capability.LINKED_CLONE)
    linked = able and not draft.cloud.setting(FULL_CLONE, *where)
    return "linked" if linked else "full"


def _effects(draft: Draft) -> tuple[AnyCommand, ...]:
    return (*prepare_nics(draft, "Reserving"), *create_volumes(draft))


def _settle(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state == "Reserving":
            draft.move(nic, "OperationCompleted")
    created(draft)


def created(draft: Draft) -> None:
    """The volumes that were Creating are there."""
    for volume in draft.volumes:
        if volume.state == "Creating":
            draft.move(volume, "OperationSucceeded")


def _announce_undo(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state in ("Reserving", "Reserved"):
            draft.move(nic, "ReleaseRequested")
    reclaim(draft)


def reclaim(draft: Draft) -> None:
    """Announce that the volumes this operation made, or may have made, are deleted again."""
    for volume in draft.volumes:
        if volume.state == "Creating" or (volume.state == "Ready" and volume.id in draft.operation.made):
            draft.move(volume, "ReclaimRequested")


def _undo_effects(draft: Draft) -> tuple[AnyCommand, ...]:
    return (*release_nics(draft), *delete_volumes(draft, "Reclaiming"))


def _undone(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state == "Releasing":
            taken = nic.id in draft.operation.made
            given_back = {"ip_address": None, "gateway": None, "netmask": None} if taken else {}
            draft.move(nic, "OperationCompleted", **given_back)
    reclaimed(draft)


def reclaimed(draft: Draft) -> None:
    """They are gone, and give their space back."""
    for volume in draft.volumes:
        if volume.state == "Reclaiming":
            draft.move(volume, "OperationSucceeded", pool_id=None, clone=None)
    draft.noted["made"] = ()


PREPARE = Step(
    "prepare",
    Act(announce=_announce, effects=_effects, settle=_settle),
    undo=Act(announce=_announce_undo, effects=_undo_effects, settle=_undone),
)
