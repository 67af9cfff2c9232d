"""deploy: create a VM with its NICs and volumes and, unless told otherwise, run it.

Legal flow: allocate → place → prepare → domain; VM Allocated → Starting → Running. `allocate` is done by the request
itself, in its transaction: the rows are there, and the NICs own their addresses, before the caller has an answer.
With `start` false the program ends after `allocate` and the VM stays Allocated.
Unwinding leaves a clean slate: NICs Deallocated, volumes Expunged, the VM in Error for its owner to read why; it
holds nothing and its name is free again.
Races: two requests for one address or name are told apart by the unique indexes; see the steps for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from interlock.engine.core import limits
from interlock.engine.core.admission.disks import Disk
from interlock.engine.core.admission.wanted import Wanted, wanted
from interlock.engine.core.draft import Draft
from interlock.engine.core.given import given
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.domain import DOMAIN
from interlock.engine.core.steps.expire import bury_volumes, doom_volumes, free_addresses
from interlock.engine.core.steps.place import PLACE
from interlock.engine.core.steps.prepare import PREPARE
from interlock.planners.protocol import NoAddress
from interlock.schema.cloud import Network
from interlock.schema.errors import InvalidRequest, NoRoom, OverLimit
from interlock.schema.records import Nic, Vm, Volume
from interlock.schema.requests import DeployVM, NicRequest


def allocate(draft: Draft, request: DeployVM, caller_id: str | None, ids: Iterator[str]) -> None:
    """Write the VM, its NICs and its volumes, all Allocated.

    Raises:
        InvalidRequest: an admission rule refuses.
        NoRoom: a network has no address left, or a limit is reached.
    """
    vm_id = next(ids)
    wish = wanted(request, caller_id, draft, vm_id)
    _within_limits(draft, wish)
    draft.groups = wish.new_groups
    vm = _allocate_vm(draft, wish, vm_id)
    for device, (network, nic) in enumerate(wish.nics):
        host_name = vm.name if wish.name_in_networks else None
        allocate_nic(draft, vm, network, nic, next(ids), device, device == wish.default_nic, host_name)
    for device, disk in enumerate(wish.disks):
        _allocate_volume(draft, vm, device, disk, next(ids))


def _within_limits(draft: Draft, wish: Wanted) -> None:
    """The account, and every domain above it, may have all that together."""
    more = {
        "vms": 1,
        "cores": wish.cpu_cores,
        "ram": wish.memory_mib,
        "volumes": len(wish.disks),
        "storage": sum(disk.size_mib for disk in wish.disks),
        "ips": sum(network.is_public for network, _ in wish.nics),
    }
    if reason := limits.exceeded(draft.cloud, wish.account.id, more):
        raise OverLimit(reason)


def _allocate_vm(draft: Draft, wish: Wanted, vm_id: str) -> Vm:
    return draft.create(
        Vm,
        id=vm_id,
        name=wish.name,
        name_scope=wish.name_scope,
        display_name=wish.display_name,
        instance_name=wish.instance_name,
        account_id=wish.account.id,
        charged_to=wish.account.id,
        zone_id=wish.zone.id,
        offering_id=wish.offering.id,
        template_id=wish.template.id,
        hypervisor=wish.hypervisor,
        cpu_cores=wish.cpu_cores,
        cpu_mhz=wish.cpu_cores * wish.core_mhz,
        memory_mib=wish.memory_mib,
        own_cpu_overcommit=wish.cpu_overcommit,
        own_memory_overcommit=wish.memory_overcommit,
        cpu_held_mhz=wish.cpu_cores * wish.core_mhz,
        memory_held_mib=wish.memory_mib,
        planner=wish.planner,
        host_id=None,
        target_host_id=None,
        last_host_id=None,
        affinity_groups=wish.affinity_groups,
        security_groups=wish.security_groups,
        rules_told=0,
        user_data=wish.user_data,
        ssh_keys=wish.ssh_keys,
        details=wish.details,
        tags=wish.tags,
    )


def allocate_nic(
    draft: Draft,
    vm: Vm,
    network: Network,
    wish: NicRequest,
    nic_id: str,
    device: int,
    is_default: bool,
    host_name: str | None,
    *,
    charged: bool = True,
) -> Nic:
    """Write a NIC with the addresses its guru gives; not `charged`: whose limit it counts against comes later.

    Raises:
        NoRoom: the guru has none.
        InvalidRequest: the network's guru is not installed.
    """
    guru = draft.rules.gurus.get(network.guru)
    if guru is None:
        raise InvalidRequest(f"network {network.id} wants guru {network.guru}, which is not installed here")
    address = given(guru, network, wish, draft.cloud.addresses(network.id), vm, nic_id)
    if isinstance(address, NoAddress):
        raise NoRoom(f"no address for VM {vm.name} in network {network.id}: {address.reason}")
    return draft.create(
        Nic,
        id=nic_id,
        vm_id=vm.id,
        network_id=network.id,
        device=device,
        is_default=is_default,
        wished_ip=wish.ip_address,
        ip_address=address.ip_address,
        ip6_address=address.ip6_address,
        mac_address=address.mac_address,
        gateway=address.gateway,
        netmask=address.netmask,
        host_name=host_name,
        charged_to=vm.account_id if charged and network.is_public else None,
    )


def _allocate_volume(draft: Draft, vm: Vm, device: int, disk: Disk, volume_id: str) -> None:
    draft.create(
        Volume,
        id=volume_id,
        vm_id=vm.id,
        account_id=vm.account_id,
        charged_to=vm.account_id,
        zone_id=vm.zone_id,
        name=f"ROOT-{vm.name}" if device == 0 else f"DATA-{vm.name}-{device}",
        kind="ROOT" if device == 0 else "DATA",
        device=device,
        size_mib=disk.size_mib,
        offering_id=disk.offering_id,
        template_id=disk.template_id,
        storage=disk.storage,
        storage_tags=disk.storage_tags,
        clone=None,
        pool_id=None,
    )


def _forget(draft: Draft) -> None:
    doom_volumes(draft)
    bury_volumes(draft)
    free_addresses(draft)
    draft.move(draft.vm, "OperationFailedToError", charged_to=None)


ALLOCATE = Step("allocate", Act(), undo=Act(settle=_forget))
"""Its forward is `allocate`, called by admission in the request's own transaction."""


def _started(request: Mapping[str, Any]) -> bool:
    return bool(request.get("start", True))


DEPLOY = Program(
    "deploy",
    accepts=(),
    steps=(ALLOCATE, *(replace(step, wanted=_started) for step in (PLACE, PREPARE, DOMAIN))),
    allocates=True,
    admit=allocate,
)
