"""What adding, removing and preferring a NIC must meet: one function a rule.

Each rule raises `InvalidRequest` that names what is wrong and what to do. Addresses are the guru's and the ledger's
business; whose VM it is, and its state, the door of admission has looked at.
"""

from __future__ import annotations

from interlock.engine.core import limits
from interlock.engine.core.access import is_for
from interlock.engine.core.draft import Draft
from interlock.engine.core.steps.specs import unable_host
from interlock.schema.cloud import Network, Zone
from interlock.schema.commands import Capability
from interlock.schema.errors import InvalidRequest, NotFound, OverLimit
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import Nic
from interlock.schema.requests import NICS_MOST


def nic_on(draft: Draft, network_id: str) -> Nic | None:
    """The VM's NIC on a network; it has one at most on each."""
    over = MACHINES["nic"].names(Stability.TERMINAL)
    return next((nic for nic in draft.nics if nic.network_id == network_id and nic.state not in over), None)


def named_nic(draft: Draft, network_id: str) -> Nic:
    """The VM is on the network."""
    nic = nic_on(draft, network_id)
    if nic is None:
        on = ", ".join(each.network_id for each in draft.nics)
        raise NotFound(f"VM {draft.vm.name} is not on network {network_id}; it is on: {on}")
    return nic


def network_for(draft: Draft, network_id: str) -> Network:
    """The network exists, in the VM's zone, is enabled, and for the VM's account."""
    network, vm = draft.cloud.find(Network, network_id), draft.vm
    if network is None:
        raise NotFound(f"there is no network {network_id!r}; `interlock init` loads a description of one")
    if network.zone_id != vm.zone_id:
        raise InvalidRequest(
            f"network {network.id} is in zone {network.zone_id}, VM {vm.name} in {vm.zone_id}; choose one there"
        )
    if not network.enabled:
        raise InvalidRequest(f"network {network.id} is disabled; choose another, or have it enabled")
    if not is_for(draft.cloud, network, vm.account_id):
        raise InvalidRequest(f"network {network.id} is not for account {vm.account_id}; choose another")
    return network


def zone_allows_another(draft: Draft) -> None:
    """A basic zone has one network, and its VMs one NIC."""
    zone = draft.cloud.find(Zone, draft.vm.zone_id)
    if zone is not None and zone.kind == "basic":
        raise InvalidRequest(f"zone {zone.id} is basic: VM {draft.vm.name} has the one NIC that VMs have there")


def not_on_it(draft: Draft, network: Network) -> None:
    """The VM has no NIC there yet."""
    if nic_on(draft, network.id) is not None:
        raise InvalidRequest(f"VM {draft.vm.name} is on network {network.id} already; choose another")


def has_a_slot(draft: Draft) -> int:
    """The VM has less NICs than it may have; returns the lowest free device number."""
    taken = {nic.device for nic in draft.nics}
    if len(taken) >= NICS_MOST:
        raise InvalidRequest(f"VM {draft.vm.name} has {NICS_MOST} NICs, the most a VM may have; remove one first")
    return next(number for number in range(NICS_MOST) if number not in taken)


def within_limits(draft: Draft, network: Network) -> None:
    """The account, and every domain above it, may have one more address, if it is a public one."""
    more = {"ips": int(network.is_public)}
    if reason := limits.exceeded(draft.cloud, draft.vm.account_id, more):
        raise OverLimit(f"VM {draft.vm.name} cannot be put on network {network.id}: {reason}")


def can_be_plugged(draft: Draft) -> None:
    """A guest that runs can be given NICs, and have them taken."""
    if host := unable_host(draft, Capability.HOT_PLUG):
        raise InvalidRequest(
            f"VM {draft.vm.name} runs on host {host.id}, whose hypervisor cannot change the NICs of a running guest; "
            "stop it first"
        )


def not_the_default(draft: Draft, nic: Nic) -> None:
    """The guest's default route does not go through the NIC; so it is not the last one either."""
    if nic.is_default:
        others = ", ".join(each.network_id for each in draft.nics if each.id != nic.id)
        hint = f"make another the default first: {others}" if others else "it is its only one"
        raise InvalidRequest(f"network {nic.network_id} is the default one of VM {draft.vm.name}; {hint}")


def not_the_last(draft: Draft, nic: Nic) -> None:
    """The VM keeps a NIC."""
    if all(each.id == nic.id for each in draft.nics):
        raise InvalidRequest(f"network {nic.network_id} is the only one of VM {draft.vm.name}; add another NIC first")


def not_yet_the_default(draft: Draft, nic: Nic) -> None:
    """There is something to change."""
    if nic.is_default:
        raise InvalidRequest(f"network {nic.network_id} is the default one of VM {draft.vm.name} already")
