"""Why a VM may not go to a host, storage aside: one function a rule, and the table of them all in order.

Promises: a host that no rule refuses meets all that the demand says of hosts; each refusal says what is wrong with
which place, with the figures. Rules that last come before those that pass: who reads "lacks tag ssd" need not wait
for room. Rules only look: they know nothing of orders and preferences.

Implicit dedication: a host belongs to an account for as long as all its VMs are that account's and one of them at
least was placed by the planner `implicit-dedication`. Nobody keeps a list: it follows from what runs there.
"""

from __future__ import annotations

from collections.abc import Callable

from interlock.planners.protocol import CloudView, Demand
from interlock.schema.cloud import Host, guaranteed

IMPLICIT = "implicit-dedication"
"""The name under which the planner of `implicit.py` is registered, and which VMs keep as who placed them."""

NAMED = 5
"""Hosts named in one refusal. Too low: an administrator must look further; too high: unreadable, for every host."""

Rule = Callable[[Host, Demand, CloudView], str | None]
"""None if the rule has nothing against it; else the reason, which follows the name of the host."""


def first_reason(rules: tuple[Rule, ...], host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """What the first of the rules that has something against it says."""
    for rule in rules:
        if reason := rule(host, demand, cloud):
            return reason
    return None


def why_not(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """The first reason, storage aside, why the VM cannot go there; None if there is none."""
    return first_reason(rules_for(demand), host, demand, cloud)


def held_cpu_mhz(host: Host, demand: Demand) -> int:
    """What the VM would hold of the host's CPU, in MHz."""
    own = demand.own_cpu_overcommit
    return guaranteed(demand.cpu_mhz, host.cpu_overcommit if own is None else own)


def held_memory_mib(host: Host, demand: Demand) -> int:
    """What the VM would hold of the host's memory, in MiB."""
    own = demand.own_memory_overcommit
    return guaranteed(demand.memory_mib, host.memory_overcommit if own is None else own)


def how_many(host: Host, demand: Demand) -> int:
    """For how many VMs of this size the host has room now."""
    cpu = host.cpu_free_mhz // max(1, held_cpu_mhz(host, demand))
    return min(cpu, host.memory_free_mib // max(1, held_memory_mib(host, demand)))


def always(_: Demand) -> bool:
    """For rules that matter whatever is asked."""
    return True


# The rules


def in_another_zone(host: Host, demand: Demand, _: CloudView) -> str | None:
    """Hosts that a demand names may be anywhere."""
    return f"is in zone {host.zone_id}, not {demand.zone_id}" if host.zone_id != demand.zone_id else None


def not_the_chosen_host(host: Host, demand: Demand, _: CloudView) -> str | None:
    """An administrator named the host."""
    chosen = demand.only_host
    return f"is not host {chosen}, which was chosen" if chosen not in (None, host.id) else None


def not_in_the_chosen_cluster(host: Host, demand: Demand, _: CloudView) -> str | None:
    """An administrator named the cluster."""
    chosen = demand.only_cluster
    return (
        f"is in cluster {host.cluster_id}, not {chosen}, which was chosen" if _other(chosen, host.cluster_id) else None
    )


def not_in_the_chosen_pod(host: Host, demand: Demand, _: CloudView) -> str | None:
    """An administrator named the pod."""
    chosen = demand.only_pod
    return f"is in pod {host.pod_id}, not {chosen}, which was chosen" if _other(chosen, host.pod_id) else None


def apart_from_its_group(host: Host, demand: Demand, _: CloudView) -> str | None:
    """Strict affinity: only where the others are."""
    only = demand.only_hosts
    if only is None or host.id in only:
        return None
    named = ", ".join(f"host {id} ({only[id]})" for id in sorted(only)[:NAMED])
    more = f" and {len(only) - NAMED} more" if len(only) > NAMED else ""
    return f"is not where it must run: {named}{more}" if only else "is not where it must run: no host is"


def disabled(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """The host, or what it stands in; administrators may."""
    return None if demand.ignore_disabled else cloud.enabled(host)


def other_hypervisor(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """The template, or the VM, runs on one only."""
    if demand.hypervisor is None or (has := cloud.cluster(host.cluster_id).hypervisor) == demand.hypervisor:
        return None
    return f"is in cluster {host.cluster_id} of hypervisor {has}, needs {demand.hypervisor}"


def driver_that_cannot(host: Host, demand: Demand, _: CloudView) -> str | None:
    """Its driver lacks what the VM asks for."""
    cause = demand.avoid_drivers.get(host.driver)
    return f"has driver {host.driver}, which cannot run it: {cause}" if cause is not None else None


def without_its_tags(host: Host, demand: Demand, _: CloudView) -> str | None:
    """The offering's and the template's tags, all of them."""
    lacking = [tag for tag in demand.host_tags if tag not in host.tags]
    return f"lacks {_tags(lacking)}" if lacking else None


def dedicated_to_others(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """Explicit dedication, of the host or what it stands in."""
    return cloud.dedicated_to_others(host, demand.account_id)


def dedicated_to_nobody(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """The VM goes to dedicated places only."""
    if not demand.dedicated_only or cloud.dedicated_to(host, demand.account_id):
        return None
    return f"is not dedicated to account {demand.account_id} or a domain above it"


def used_by_another_alone(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """Implicit dedication: see the header."""
    placed = cloud.planners_on(host.id).get(IMPLICIT, 0)
    if placed <= 0:
        return None
    owners = [account for account, vms in cloud.tenants(host.id).items() if vms > 0]
    if len(owners) != 1 or owners[0] == demand.account_id:
        return None
    return f"is used by account {owners[0]} alone, which has {placed} VMs there by {IMPLICIT}"


def in_an_avoided_pod(host: Host, demand: Demand, _: CloudView) -> str | None:
    """It refused, or has no address left."""
    cause = demand.avoid_pods.get(host.pod_id)
    return f"is in pod {host.pod_id}, which is avoided: {cause}" if cause is not None else None


def avoided(host: Host, demand: Demand, _: CloudView) -> str | None:
    """It refused, or a VM is there that must be apart."""
    cause = demand.avoid_hosts.get(host.id)
    return f"is avoided: {cause}" if cause is not None else None


def short_of_cpu(host: Host, demand: Demand, _: CloudView) -> str | None:
    """What the VM would hold must be free."""
    if (holds := held_cpu_mhz(host, demand)) <= (free := host.cpu_free_mhz):
        return None
    return f"needs {holds} MHz CPU{_overcommitted(holds, demand.cpu_mhz)}, has {free} free"


def short_of_memory(host: Host, demand: Demand, _: CloudView) -> str | None:
    """What the VM would hold must be free."""
    if (holds := held_memory_mib(host, demand)) <= (free := host.memory_free_mib):
        return None
    return f"needs {holds} MiB memory{_overcommitted(holds, demand.memory_mib)}, has {free} free"


def in_a_cluster_over_its_threshold(host: Host, demand: Demand, cloud: CloudView) -> str | None:
    """The cluster's allocated share would pass what its settings allow."""
    return cloud.over_threshold(host.cluster_id, held_cpu_mhz(host, demand), held_memory_mib(host, demand))


Matters = Callable[[Demand], object]
"""Whether a rule may have anything against a host, for that demand."""

CHOICES: tuple[tuple[Rule, Matters], ...] = (
    (not_the_chosen_host, lambda demand: demand.only_host),
    (not_in_the_chosen_cluster, lambda demand: demand.only_cluster),
    (not_in_the_chosen_pod, lambda demand: demand.only_pod),
)
"""What an administrator decided."""
RULES: tuple[tuple[Rule, Matters], ...] = (
    (in_another_zone, always),
    *CHOICES,
    (apart_from_its_group, lambda demand: demand.only_hosts is not None),
    (disabled, lambda demand: not demand.ignore_disabled),
    (other_hypervisor, lambda demand: demand.hypervisor),
    (driver_that_cannot, lambda demand: demand.avoid_drivers),
    (without_its_tags, lambda demand: demand.host_tags),
    (dedicated_to_others, always),
    (dedicated_to_nobody, lambda demand: demand.dedicated_only),
    (used_by_another_alone, always),
    (in_an_avoided_pod, lambda demand: demand.avoid_pods),
    (avoided, lambda demand: demand.avoid_hosts),
    (short_of_cpu, always),
    (short_of_memory, always),
    (in_a_cluster_over_its_threshold, always),
)
"""All, in the order in which a host is asked, each with when it matters."""


def rules_for(demand: Demand) -> tuple[Rule, ...]:
    """The rules that matter to a demand: most demands leave most of them nothing to say."""
    return tuple(rule for rule, matters in RULES if matters(demand))


def _other(chosen: str | None, place_id: str) -> bool:
    return chosen is not None and chosen != place_id


def _tags(names: list[str]) -> str:
    return f"tag {names[0]}" if len(names) == 1 else f"tags {', '.join(names)}"


def _overcommitted(holds: int, size: int) -> str:
    return "" if holds == size else f" (for {size}, overcommitted)"
