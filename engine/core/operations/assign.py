"""assign: give a VM that is Allocated or Stopped to another account. For administrators, and domain administrators
over both accounts.

Legal flow: no steps; all of it is one commit, that of the request, because only there can a name that is taken be told
to whoever asks. VM and volumes change owner and are charged to the new one (AssignRequested); the old NICs end, with
their addresses; new ones are made in the networks asked for, or in the zone's default one, with addresses of their
gurus. There is nothing to undo or to cancel: it is reversed by assigning the VM back, to new addresses.

Who owns what: `account_id`, `charged_to` and `name_scope` of the VM, `account_id` and `charged_to` of its volumes. It
is in the security groups asked for, which are the new owner's, or in its default one, and in no affinity group: groups
do not change owner with it. Its host and pools are not looked at: it holds no host, and its next start asks for what
the new owner may use. What the hypervisor calls it stays, with the first owner in it.

Limits: of the new account and of the domains above it; a domain above both accounts gains nothing by it.
Races: rows are inserted before others are changed, so new NICs get what the old ones give up (a name in the network,
a place in a limit) in a second change; the unique indexes and the guards have the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from interlock.engine.core import limits
from interlock.engine.core.access import must_act_for
from interlock.engine.core.admission.lookup import existing
from interlock.engine.core.admission.names import in_account, in_domain
from interlock.engine.core.admission.networks import default_network, usable
from interlock.engine.core.admission.owner import must_be_for_domain, owner_must_be_enabled
from interlock.engine.core.admission.security import Groups, Where, security_groups_of
from interlock.engine.core.admission.sources import template_must_be_for
from interlock.engine.core.admission.zones import zone_must_be_for
from interlock.engine.core.draft import Draft
from interlock.engine.core.operations.deploy import allocate_nic
from interlock.engine.core.program import Program
from interlock.engine.core.steps.expire import free_addresses
from interlock.schema.cloud import (
    Account,
    DiskOffering,
    Network,
    Offering,
    Template,
    Zone,
)
from interlock.schema.errors import InvalidRequest, NotAllowed, OverLimit
from interlock.schema.records import Vm
from interlock.schema.requests import AssignVM, NicRequest


def _admit(draft: Draft, request: AssignVM, caller_id: str | None, ids: Iterator[str]) -> None:
    """Everything.

    Raises:
        InvalidRequest: a rule refuses.
        NoRoom: a network has no address left, or the new owner is at a limit.
    """
    _by_an_admin_of_both(draft, request.account, caller_id)
    account = _new_owner(draft, request.account)
    _may_use_what_it_is_made_of(draft, account)
    _may_have_its_disks(draft, account)
    networks = _networks(draft, request.networks, account)
    groups = _groups(draft, request.security_groups, account, networks[0])
    _within_limits(draft, account, networks)
    draft.groups = groups.new
    _hand_over(draft, account, groups.ids)
    _on_networks(draft, networks, ids)


# The rules


def _by_an_admin_of_both(draft: Draft, account_id: str, caller_id: str | None) -> None:
    """Whoever asks administers the old owner (admission has seen to that) and the new one."""
    caller = draft.cloud.find(Account, caller_id or "")
    if caller is not None and caller.role == "user":
        raise NotAllowed(f"account {caller.id} may not give VM {draft.vm.name} away: ask an administrator")
    must_act_for(draft.cloud, caller_id, account_id)


def _new_owner(draft: Draft, account_id: str) -> Account:
    """The new owner is there, enabled, and another one."""
    account = existing(draft.cloud, Account, account_id)
    owner_must_be_enabled(account)
    if account.id == draft.vm.account_id:
        raise InvalidRequest(f"VM {draft.vm.name} belongs to account {account.id} already: name another")
    return account


def _may_use_what_it_is_made_of(draft: Draft, account: Account) -> None:
    """The VM's offering, template and zone are the new owner's to use."""
    vm, cloud = draft.vm, draft.cloud
    must_be_for_domain(cloud, existing(cloud, Offering, vm.offering_id), account)
    template_must_be_for(cloud, existing(cloud, Template, vm.template_id), account)
    zone_must_be_for(cloud, existing(cloud, Zone, vm.zone_id), account)


def _may_have_its_disks(draft: Draft, account: Account) -> None:
    """The VM's disks rest, and their offerings are the new owner's to use."""
    for volume in draft.volumes:
        if volume.state not in ("Allocated", "Ready"):
            raise InvalidRequest(f"disk {volume.id} of VM {draft.vm.name} is {volume.state}: it must rest first")
        if volume.offering_id is not None:
            must_be_for_domain(draft.cloud, existing(draft.cloud, DiskOffering, volume.offering_id), account)


def _networks(draft: Draft, named: Sequence[str], account: Account) -> Sequence[Network]:
    """The networks that are named, each once, or the zone's default one for the account; the first is the default."""
    cloud, zone = draft.cloud, existing(draft.cloud, Zone, draft.vm.zone_id)
    nics = tuple(map(NicRequest, named)) or (NicRequest(default_network(cloud, zone, account).id),)
    return [network for network, _ in usable(cloud, nics, account, zone)]


def _groups(draft: Draft, named: Sequence[str], account: Account, network: Network) -> Groups:
    """The security groups that are named, or the new owner's default one, where they can be."""
    zone = existing(draft.cloud, Zone, draft.vm.zone_id)
    return security_groups_of(draft, tuple(named), account, Where(zone, network, draft.vm.hypervisor))


def _within_limits(draft: Draft, account: Account, networks: Sequence[Network]) -> None:
    """The new owner, and every domain above it that is not above the old one, may have all of it."""
    vm, volumes = draft.vm, draft.volumes
    moved = {
        **limits.of_vm(vm),
        "volumes": len(volumes),
        "storage": sum(volume.size_mib for volume in volumes),
    }
    more = {**moved, "ips": sum(network.is_public for network in networks)}
    less = {**moved, "ips": sum(nic.charged_to is not None for nic in draft.nics)}
    if reason := limits.exceeded(draft.cloud, account.id, more, giver=vm.account_id, less=less):
        raise OverLimit(f"VM {vm.name} cannot be given to account {account.id}: {reason}")


# What is written


def _hand_over(draft: Draft, account: Account, groups: tuple[str, ...]) -> None:
    vm = draft.vm
    for volume in draft.volumes:
        draft.move(volume, "AssignRequested", account_id=account.id, charged_to=account.id)
    draft.move(
        vm,
        "AssignRequested",
        account_id=account.id,
        charged_to=account.id,
        name_scope=_name_scope(draft, vm, account),
        affinity_groups=(),
        security_groups=groups,
    )


def _name_scope(draft: Draft, vm: Vm, account: Account) -> str:
    """Where its name was its owner's alone, or its owner's domain's, it is the new one's."""
    old = draft.cloud.find(Account, vm.account_id)
    moved = {
        in_account(vm.account_id): in_account(account.id),
        in_domain(old.domain_id if old else ""): in_domain(account.domain_id),
    }
    return moved.get(vm.name_scope, vm.name_scope)


def _on_networks(draft: Draft, networks: Sequence[Network], ids: Iterator[str]) -> None:
    """New NICs in place of all it has."""
    vm = draft.vm
    host_name = vm.name if any(nic.host_name for nic in draft.nics) else None
    made = [
        (
            network,
            allocate_nic(draft, vm, network, NicRequest(network.id), next(ids), device, False, None, charged=False),
        )
        for device, network in enumerate(networks)
    ]
    new = {nic.id for _, nic in made}
    free_addresses(draft, but=new)
    for network, nic in made:
        charged_to = vm.account_id if network.is_public else None
        draft.move(nic, "DefaultChanged", is_default=nic.device == 0, host_name=host_name, charged_to=charged_to)


ASSIGN = Program("assign", accepts=("Allocated", "Stopped"), steps=(), admit=_admit)
