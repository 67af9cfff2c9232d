"""What a demand asks of hosts' labels, by way of the cloud around them: hypervisor, disabled places, dedication.

Promises: a host that these terms leave out is refused by a rule of `planners/rules.py`. Worked out once for each
account, for as long as the cloud is as it was loaded: where thousands of places are dedicated, nobody looks at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from interlock.engine.orchestrator.hosts import Label, Terms, owners
from interlock.planners.protocol import Demand
from interlock.schema.cloud import Cluster, Host, Pod, Zone

DISABLED: Final[Label] = ("disabled",)
"""Of hosts that are disabled, or that stand in what is."""


def hypervisor(name: str) -> Label:
    """Of hosts of a hypervisor."""
    return "hypervisor", name


class TermsOf:
    """For all accounts of a cloud.

    Args:
        places: all that may be dedicated.
        domains_above: of an account.
    """

    def __init__(
        self, places: Iterable[Host | Cluster | Pod | Zone], domains_above: Callable[[str], tuple[str, ...]]
    ) -> None:
        self._domains_above = domains_above
        self._owners = frozenset(label for place in places for label in owners(place))
        self._mine: dict[str, frozenset[Label]] = {}

    def __call__(self, demand: Demand) -> Terms:
        """What a demand asks for."""
        mine = self._owned_by(demand.account_id)
        return Terms(
            every=(hypervisor(demand.hypervisor),) if demand.hypervisor is not None else (),
            never=() if demand.ignore_disabled else (DISABLED,),
            some=mine if demand.dedicated_only else None,
            owners=mine,
        )

    def _owned_by(self, account_id: str) -> frozenset[Label]:
        """The labels of what is dedicated to an account or a domain above it: for most, none."""
        found = self._mine.get(account_id)
        if found is None:
            above: list[Label] = [("domain", each) for each in self._domains_above(account_id)]
            found = self._mine[account_id] = self._owners.intersection([("account", account_id), *above])
        return found
