"""Security groups: from rules as they are written to records.

A rule's other side, `from` or `to`, is a block of addresses, `group:NAME` of the same account, or
`group:ACCOUNT/NAME`. Promises: every rule in a record has exactly one of cidr and group, ports in order with tcp and
udp only, type and code with icmp only.
"""

from __future__ import annotations

from ipaddress import ip_network

from interlock.embed.description.tables import EgressTable, IngressTable, RuleTable, SecurityGroupTable
from interlock.schema.cloud import FirewallRule, SecurityGroup
from interlock.schema.errors import InvalidRequest

DEFAULT = "default"
"""The group that every account has, or gets when it first needs it."""
PORTS = ("tcp", "udp")
GROUP = "group:"


def security_group(table: SecurityGroupTable) -> SecurityGroup:
    """A security group.

    Raises:
        InvalidRequest: one of its rules says something that cannot be.
    """
    return SecurityGroup(
        id=identity(table.account, table.name),
        account_id=table.account,
        name=table.name,
        ingress=tuple(_rule(table, "ingress", number, each) for number, each in enumerate(table.ingress, 1)),
        egress=tuple(_rule(table, "egress", number, each) for number, each in enumerate(table.egress, 1)),
    )


def identity(account: str, name: str) -> str:
    """The id of a group."""
    return f"{account}/{name}"


def _rule(group: SecurityGroupTable, way: str, number: int, table: IngressTable | EgressTable) -> FirewallRule:
    try:
        first, last = _ports(table)
        _icmp(table)
        cidr, other = _other(table.other, group.account)
    except ValueError as error:
        raise InvalidRequest(f"security group {group.account}/{group.name}, {way} rule {number}: {error}") from error
    return FirewallRule(
        protocol=table.protocol,
        first_port=first,
        last_port=last,
        icmp_type=table.type,
        icmp_code=table.code,
        cidr=cidr,
        group=other,
    )


def _ports(table: RuleTable) -> tuple[int | None, int | None]:
    if table.protocol not in PORTS:
        if table.ports is not None:
            raise ValueError(f"{table.protocol} has no `ports`; tcp and udp have")
        return None, None
    first, _, last = (table.ports or "").partition("-")
    last = last or first
    if not (_is_port(first) and _is_port(last) and int(first) <= int(last)):
        raise ValueError(f'`ports` is "22" or "8000-8080", from 1 to 65535, lower one first, not {table.ports!r}')
    return int(first), int(last)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


def _icmp(table: RuleTable) -> None:
    if table.protocol != "icmp" and (table.type is not None or table.code is not None):
        raise ValueError(f"{table.protocol} has no `type` and `code`; icmp has")
    if table.code is not None and table.type is None:
        raise ValueError("a `code` is one of a `type`: give that, too")


def _other(text: str, account: str) -> tuple[str | None, str | None]:
    if not text.startswith(GROUP):
        return str(ip_network(text)), None
    name = text.removeprefix(GROUP)
    return None, name if "/" in name else identity(account, name)
