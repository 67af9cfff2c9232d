"""What a VM asks of its place: the demand that planners answer, made from the records, the cloud and the request.

One function a rule. A rule that is a condition narrows the demand, with its reason in words; one that is a preference
only says what is liked. Never chooses: planners do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from interlock.engine.core.access import is_admin
from interlock.engine.core.draft import Draft
from interlock.engine.core.given import is_pod_guru
from interlock.planners.protocol import Demand, VolumeDemand
from interlock.schema.cloud import (
    APART,
    APART_IF_POSSIBLE,
    DEDICATED,
    TOGETHER,
    TOGETHER_IF_POSSIBLE,
    AffinityGroup,
    Network,
    Offering,
    Pod,
    PodRange,
    Template,
)
from interlock.schema.commands import Capability
from interlock.schema.records import Nic
from interlock.schema.settings import LAST_HOST

ON_SAME, ON_OTHERS = 1, -1
"""How much a preference weighs; they add up over groups and members."""


def demand_of(draft: Draft) -> Demand:
    """The demand of the VM for this placement."""
    vm, operation = draft.vm, draft.operation
    offering, template = draft.cloud.find(Offering, vm.offering_id), draft.cloud.find(Template, vm.template_id)
    avoided = [entry for entry in operation.avoid if entry.until > draft.at]
    apart = _members(draft, APART)
    return Demand(
        vm_id=vm.id,
        account_id=vm.account_id,
        zone_id=vm.zone_id,
        cpu_mhz=vm.cpu_mhz,
        memory_mib=vm.memory_mib,
        own_cpu_overcommit=vm.own_cpu_overcommit,
        own_memory_overcommit=vm.own_memory_overcommit,
        volumes=_volumes(draft),
        host_tags=(*(offering.host_tags if offering else ()), *(template.host_tags if template else ())),
        hypervisor=vm.hypervisor or (template.hypervisor if template else None),
        only_pod=operation.request.get("pod"),
        only_cluster=operation.request.get("cluster"),
        only_host=operation.request.get("host"),
        only_hosts=_together(draft),
        dedicated_only=any(group.kind == DEDICATED for group in _groups(draft)),
        ignore_disabled=is_admin(draft.cloud, operation.caller_id),
        avoid_drivers=_unable(draft),
        avoid_pods=_without_addresses(draft),
        avoid_hosts={**apart, **{entry.id: entry.cause for entry in avoided if entry.scope == "host"}},
        avoid_pools={entry.id: entry.cause for entry in avoided if entry.scope == "pool"},
        liked_hosts=_liked(draft),
        last_host=vm.last_host_id if draft.cloud.setting(LAST_HOST) else None,
        planner_mode=offering.planner_mode if offering else None,
        seed=f"{operation.id}/{operation.attempt}",
    )


def _volumes(draft: Draft) -> tuple[VolumeDemand, ...]:
    return tuple(
        VolumeDemand(
            id=each.id, size_mib=each.size_mib, storage=each.storage, tags=each.storage_tags, pool_id=each.pool_id
        )
        for each in draft.volumes
        if each.state in ("Allocated", "Ready")
    )


# Affinity


def _groups(draft: Draft) -> Iterable[AffinityGroup]:
    for group_id in draft.vm.affinity_groups:
        group = draft.cloud.find(AffinityGroup, group_id)
        if group is not None:
            yield group


def _others(draft: Draft, group: AffinityGroup) -> dict[str, int]:
    """The hosts with other members of a group: where the VM itself still holds capacity, it does not count."""
    own = [host for host in (draft.vm.host_id, draft.vm.target_host_id) if host is not None]
    members = draft.cloud.hosts_of_group(group.id)
    return {host: left for host, count in members.items() if (left := count - own.count(host)) > 0}


def _members(draft: Draft, kind: str) -> dict[str, str]:
    """Hosts with other members of the VM's groups of a kind, and which group."""
    return {
        host: f"a VM of {kind} group {group.id} is there"
        for group in _groups(draft)
        if group.kind == kind
        for host in _others(draft, group)
    }


def _together(draft: Draft) -> Mapping[str, str] | None:
    """The only hosts for a VM whose group runs already; the groups of a VM must all agree.

    While one of them migrates there is none: on either of its hosts this one may be left alone.
    """
    wanted: dict[str, str] | None = None
    for group in _groups(draft):
        if group.kind == TOGETHER and (others := _others(draft, group)):
            words = f"the VMs of {TOGETHER} group {group.id} are there"
            here = dict.fromkeys(others, words) if len(others) == 1 else {}
            wanted = here if wanted is None else {host: why for host, why in here.items() if host in wanted}
    return wanted


def kept_apart(draft: Draft, host_id: str) -> str | None:
    """Why the VM's strict groups forbid a host; None if they do not."""
    here = _together(draft)
    if here is not None and host_id not in here:
        return f"the other VMs of one of its {TOGETHER} groups are elsewhere"
    return _members(draft, APART).get(host_id)


def _liked(draft: Draft) -> dict[str, int]:
    """What the groups would like, without insisting."""
    liked: dict[str, int] = {}
    weights = {TOGETHER_IF_POSSIBLE: ON_SAME, APART_IF_POSSIBLE: ON_OTHERS}
    for group in _groups(draft):
        if weight := weights.get(group.kind):
            for host, count in _others(draft, group).items():
                liked[host] = liked.get(host, 0) + weight * count
    return liked


# What the place must be able to


def _unable(draft: Draft) -> dict[str, str]:
    """Drivers whose hypervisors cannot do what the VM needs."""
    if not draft.vm.security_groups:
        return {}
    return {
        driver: "its hypervisor has no security groups"
        for driver, able in draft.rules.capabilities.items()
        if Capability.SECURITY_GROUPS not in able
    }


def addressed_by_pod(draft: Draft) -> list[tuple[Nic, Network]]:
    """The NICs whose address comes with the pod."""
    found = []
    for nic in draft.nics:
        network = draft.cloud.find(Network, nic.network_id)
        if network is not None and is_pod_guru(draft.rules.gurus.get(network.guru)):
            found.append((nic, network))
    return found


def _without_addresses(draft: Draft) -> dict[str, str]:
    """Pods that have no address left for one of the VM's NICs."""
    waiting = addressed_by_pod(draft)
    if not waiting:
        return {}
    return {
        pod.id: f"network {network.id} has no address left for it in pod {pod.id}"
        for pod in draft.cloud.all(Pod)
        if pod.zone_id == draft.vm.zone_id
        for nic, network in waiting
        if not any(_has_room(draft, each, nic) for each in ranges_of(draft, network.id, pod.id))
    }


def ranges_of(draft: Draft, network_id: str, pod_id: str) -> tuple[PodRange, ...]:
    """A pod's ranges in a network."""
    found = draft.cloud.all(PodRange)
    return tuple(each for each in found if (each.network_id, each.pod_id) == (network_id, pod_id))


def _has_room(draft: Draft, each: PodRange, nic: Nic) -> bool:
    book = draft.cloud.addresses(each.network_id)
    if nic.ip_address is not None and is_within(nic.ip_address, each):
        return True
    if nic.wished_ip is not None:
        return is_within(nic.wished_ip, each) and not book.is_taken(nic.wished_ip)
    return book.first_free(each.first_ip, each.last_ip) is not None


def is_within(ip_address: str, each: PodRange) -> bool:
    """Whether a range gives this address."""
    return IPv4Address(each.first_ip) <= IPv4Address(ip_address) <= IPv4Address(each.last_ip)
