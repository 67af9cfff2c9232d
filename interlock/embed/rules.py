"""Writes the rules of a security group: all of the change or nothing, under a version above all others.

Promises: rules that are not other than before get no new version, so nobody is told anything twice. Never tells a host:
that is convergence.

Races: reading the highest version and writing the next one are one transaction that begins with the write lock. Two
changes at once follow one another; the later one is kept, with the higher version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from interlock.engine.core.access import must_act_for
from interlock.engine.core.snapshot import Cloud
from interlock.engine.store.store import Store
from interlock.schema.cloud import Account, FirewallRule, Place, SecurityGroup
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.firewall import DEFAULT_GROUP, checked_rule
from interlock.schema.rows import columns_of
from interlock.schema.transition import OURS

Places = dict[str, list[Place]]
LISTED = 10
"""How many existing groups a message shows. Too few: no help; too many: the reason is lost among them."""


async def write_rules(
    store: Store,
    cloud: Cloud,
    group_id: str,
    ingress: Sequence[FirewallRule] | None,
    egress: Sequence[FirewallRule] | None,
    caller_id: str | None,
    actor: str = OURS,
) -> SecurityGroup:
    """Write a group's rules on behalf of an actor; None: as they are. Returns the group as it is then.

    Raises:
        InvalidRequest: there is no such group, it is not the caller's, or a rule cannot be; nothing was written.
    """
    written: list[SecurityGroup] = []

    def made(places: Places) -> dict[str, list[dict[str, Any]]]:
        before = _existing(places, group_id)
        must_act_for(cloud, caller_id, before.account_id)
        after = _changed(before, ingress, egress)
        _groups_of_rules_exist(after, places)
        if after != before:
            after = msgspec.structs.replace(after, version=1 + max(group.version for group in _groups(places)))
        written.append(after)
        return {} if after == before else {"security_group": [_row(after)]}

    await store.put_after(made, tables=("account", "security_group"), actor=actor)
    return written[-1]


def _groups(places: Places) -> list[SecurityGroup]:
    return cast("list[SecurityGroup]", places["security_group"])


def _existing(places: Places, group_id: str) -> SecurityGroup:
    """There is such a group."""
    known = {group.id: group for group in _groups(places)}
    if group_id not in known:
        listed = ", ".join(sorted(known)[:LISTED]) + (", …" if len(known) > LISTED else "")
        raise NotFound(f"there is no security group {group_id!r}; there are: {listed or 'none'}")
    return known[group_id]


def _changed(
    group: SecurityGroup, ingress: Sequence[FirewallRule] | None, egress: Sequence[FirewallRule] | None
) -> SecurityGroup:
    return msgspec.structs.replace(
        group,
        ingress=group.ingress if ingress is None else _checked(group, "ingress", ingress),
        egress=group.egress if egress is None else _checked(group, "egress", egress),
    )


def _checked(group: SecurityGroup, way: str, rules: Iterable[FirewallRule]) -> tuple[FirewallRule, ...]:
    """Each rule can be one, and is there once."""
    found: dict[FirewallRule, None] = {}
    for number, rule in enumerate(rules, 1):
        try:
            found[checked_rule(rule)] = None
        except ValueError as error:
            raise InvalidRequest(f"security group {group.id}, {way} rule {number}: {error}") from error
    return tuple(found)


def _groups_of_rules_exist(group: SecurityGroup, places: Places) -> None:
    """Groups that rules name are there, or the default one, not made yet, of an account that is."""
    known = {each.id for each in _groups(places)}
    possible = {f"{account.id}/{DEFAULT_GROUP}" for account in places["account"] if isinstance(account, Account)}
    for rule in (*group.ingress, *group.egress):
        if rule.group is not None and rule.group not in known | possible:
            raise InvalidRequest(
                f"security group {group.id} has a rule for group {rule.group}, which is not there; `interlock groups` "
                "lists them"
            )


def _row(group: SecurityGroup) -> dict[str, Any]:
    columns = group.__struct_fields__
    return dict(zip(columns, columns_of(group, columns), strict=True))
