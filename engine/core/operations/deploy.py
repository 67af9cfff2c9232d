"""deploy: create a VM with its NICs and volumes and, unless told otherwise, run it.

Legal flow: allocate → place → prepare → domain; VM Allocated → Starting → Running. `allocate` is done by the request
itself, in its transaction: the rows are there, and the NICs own their addresses, before the caller has an answer.
With `start` false the program ends after `allocate` and the VM stays Allocated.
Unwinding leaves a clean slate: NICs Deallocated, volumes Expunged, the VM in Error for its owner to read why; it
holds nothing and its name is free again.
Races: two requests for one address or name are told apart by the unique indexes; see the steps for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from interlock.engine.core.draft import Draft
from interlock.engine.core.given import given
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.domain import DOMAIN
from interlock.engine.core.steps.expire import bury_volumes, doom_volumes, free_addresses
from interlock.engine.core.steps.place import PLACE
from interlock.engine.core.steps.prepare import PREPARE
from interlock.engine.core.wanted import Wanted, wanted
from interlock.planners.protocol import NoAddress
from interlock.schema.cloud import Network
from interlock.schema.errors import InvalidRequest, NoRoom
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.schema.requests import DeployVM, NicRequest


def allocate(draft: Draft, request: DeployVM, ids: Iterator[str]) -> None:
    """Write the VM, its NICs and its volumes, all Allocated.

    Raises:
        InvalidRequest: an admission rule refuses.
        NoRoom: a network has no address left.
    """
    wish = wanted(request, draft)
    vm = _allocate_vm(draft, request, wish, next(ids))
    for device, (network, nic) in enumerate(wish.nics):
        _allocate_nic(draft, vm, device, network, nic, next(ids))
    sizes = (wish.template.size_mib, *request.data_disks_mib)
    for device, size_mib in enumerate(sizes):
        _allocate_volume(draft, vm, device, size_mib, wish, next(ids))


def _allocate_vm(draft: Draft, request: DeployVM, wish: Wanted, vm_id: str) -> Vm:
    offering = wish.offering
    return draft.create(
        Vm,
        id=vm_id,
        name=request.name,
        name_scope=wish.account.id,
        account_id=wish.account.id,
        zone_id=wish.zone.id,
        offering_id=offering.id,
        template_id=wish.template.id,
        cpu_cores=offering.cpu_cores,
        cpu_mhz=offering.cpu_cores * offering.cpu_mhz,
        memory_mib=offering.memory_mib,
        planner=wish.planner,
        host_id=None,
        last_host_id=None,
    )


def _allocate_nic(draft: Draft, vm: Vm, device: int, network: Network, wish: NicRequest, nic_id: str) -> None:
    guru = draft.rules.gurus.get(network.guru)
    if guru is None:
        raise InvalidRequest(f"network {network.id} wants guru {network.guru}, which is not installed here")
    address = given(guru, network, wish, draft.cloud.addresses(network.id), vm, nic_id)
    if isinstance(address, NoAddress):
        raise NoRoom(f"no address for VM {vm.name} in network {network.id}: {address.reason}")
    draft.create(
        Nic,
        id=nic_id,
        vm_id=vm.id,
        network_id=network.id,
        device=device,
        is_default=device == 0,
        ip_address=address.ip_address,
        mac_address=address.mac_address,
        gateway=address.gateway,
        netmask=address.netmask,
    )


def _allocate_volume(draft: Draft, vm: Vm, device: int, size_mib: int, wish: Wanted, volume_id: str) -> None:
    root = device == 0
    draft.create(
        Volume,
        id=volume_id,
        vm_id=vm.id,
        name=f"ROOT-{vm.name}" if root else f"DATA-{vm.name}-{device}",
        kind="ROOT" if root else "DATA",
        device=device,
        size_mib=size_mib,
        template_id=wish.template.id if root else None,
        storage=wish.offering.storage,
        pool_id=None,
    )


def _forget(draft: Draft) -> None:
    doom_volumes(draft)
    bury_volumes(draft)
    free_addresses(draft)
    draft.move(draft.vm, "OperationFailedToError")


ALLOCATE = Step("allocate", Act(), undo=Act(settle=_forget))
"""Its forward is `allocate`, called by admission in the request's own transaction."""


def _started(operation: Operation) -> bool:
    return bool(operation.request.get("start", True))


DEPLOY = Program(
    "deploy",
    accepts=(),
    steps=(ALLOCATE, *(replace(step, wanted=_started) for step in (PLACE, PREPARE, DOMAIN))),
    allocates=True,
)
