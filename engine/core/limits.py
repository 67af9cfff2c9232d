"""Limits: whether an account, and every domain above it, may have so much more.

Proposed here, in words; held by the database, which refuses one too many whoever asks. Figures may be older than the
database's: a refusal is only final on fresh ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Budget, Domain
from interlock.schema.holdings import LIMITS
from interlock.schema.records import Vm

WORDS = {
    "vms": "VMs",
    "cores": "cores",
    "ram": "MiB of memory",
    "volumes": "disks",
    "storage": "MiB of storage",
    "ips": "public addresses",
}
"""What is limited, as people say it."""
_NOTHING: Mapping[str, int] = MappingProxyType({})


def exceeded(
    cloud: Cloud, account_id: str, more: Mapping[str, int], giver: str | None = None, less: Mapping[str, int] = _NOTHING
) -> str | None:
    """Why the account may not have so much more; None if it may.

    Args:
        cloud: with what is used.
        account_id: whose.
        more: how much of each thing in `LIMITS`.
        giver: an account that gives up so much `less` at the same time, as do the domains above it.
    """
    giving = {(what, budget.id) for what, budget in _budgets(cloud, giver or "")}
    for what, budget in _budgets(cloud, account_id):
        for rule in LIMITS:
            most = getattr(budget, rule.total)
            if most is None:
                continue
            used = getattr(budget, rule.used)
            wanted = more.get(rule.thing, 0) - (less.get(rule.thing, 0) if (what, budget.id) in giving else 0)
            if wanted > 0 and used + wanted > most:
                return (
                    f"{what} {budget.id} may have {most} {WORDS[rule.thing]} and has {used}, {wanted} more wanted; "
                    "free some, or have the limit raised"
                )
    return None


def _budgets(cloud: Cloud, account_id: str) -> Iterable[tuple[str, Budget]]:
    if (account := cloud.find(Account, account_id)) is not None:
        yield "account", account
    for domain_id in cloud.domains_above(account_id):
        if (domain := cloud.find(Domain, domain_id)) is not None:
            yield "domain", domain


def of_vm(vm: Vm) -> dict[str, int]:
    """What a VM counts for, without its disks and addresses."""
    return {"vms": 1, "cores": vm.cpu_cores, "ram": vm.memory_mib}
