"""Who is on which host: the VMs that hold capacity, counted by account, planner and affinity group.

Promises: equals a count over the VMs that hold a host, at any time between two calls; every question costs the same
however many VMs there are. A VM that migrates is on two hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_NOBODY: Mapping[str, int] = MappingProxyType({})


class Tenancy:
    """Counters, changed one VM and host at a time."""

    def __init__(self) -> None:
        self._hosts_of: dict[str, dict[str, int]] = {}
        self._tenants: dict[str, dict[str, int]] = {}
        self._planners: dict[str, dict[str, int]] = {}
        self._hosts_of_group: dict[str, dict[str, int]] = {}

    def count(self, host_id: str, account_id: str, planner: str, groups: tuple[str, ...], sign: int) -> None:
        """A VM comes to a host (sign 1), or leaves it (−1); or several that are alike."""
        _count(self._hosts_of, account_id, host_id, sign)
        _count(self._tenants, host_id, account_id, sign)
        _count(self._planners, host_id, planner, sign)
        for group in groups:
            _count(self._hosts_of_group, group, host_id, sign)

    def hosts_of(self, account_id: str) -> Mapping[str, int]:
        """The hosts with VMs of an account, each with how many."""
        return self._hosts_of.get(account_id, _NOBODY)

    def tenants(self, host_id: str) -> Mapping[str, int]:
        """The accounts with VMs on a host, each with how many."""
        return self._tenants.get(host_id, _NOBODY)

    def planners_on(self, host_id: str) -> Mapping[str, int]:
        """The planners that placed the VMs on a host, each with how many."""
        return self._planners.get(host_id, _NOBODY)

    def hosts_of_group(self, group_id: str) -> Mapping[str, int]:
        """The hosts with VMs of an affinity group, each with how many."""
        return self._hosts_of_group.get(group_id, _NOBODY)


def _count(book: dict[str, dict[str, int]], key: str, within: str, sign: int) -> None:
    row = book.setdefault(key, {})
    row[within] = row.get(within, 0) + sign
    if not row[within]:
        del row[within]
        if not row:
            del book[key]
