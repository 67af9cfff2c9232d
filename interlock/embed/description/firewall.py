"""Security groups: from rules as they are written to records.

A rule's other side, `from` or `to`, is a block of addresses, `group:NAME` of the same account, or
`group:ACCOUNT/NAME`. What a rule may say is decided in `schema/firewall.py`.
"""

from __future__ import annotations

from interlock.embed.description.tables import EgressTable, IngressTable, SecurityGroupTable
from interlock.schema.cloud import FirewallRule, SecurityGroup
from interlock.schema.errors import InvalidRequest
from interlock.schema.firewall import WITH_PORTS, checked_rule, group_id, no_ports, other_side_of, ports_of


def security_group(table: SecurityGroupTable) -> SecurityGroup:
    """A security group.

    Raises:
        InvalidRequest: one of its rules says something that cannot be.
    """
    return SecurityGroup(
        id=group_id(table.account, table.name),
        account_id=table.account,
        name=table.name,
        ingress=tuple(_rule(table, "ingress", number, each) for number, each in enumerate(table.ingress, 1)),
        egress=tuple(_rule(table, "egress", number, each) for number, each in enumerate(table.egress, 1)),
    )


def _rule(group: SecurityGroupTable, way: str, number: int, table: IngressTable | EgressTable) -> FirewallRule:
    try:
        return checked_rule(_as_written(table, group.account))
    except ValueError as error:
        raise InvalidRequest(f"security group {group.account}/{group.name}, {way} rule {number}: {error}") from error


def _as_written(table: IngressTable | EgressTable, account: str) -> FirewallRule:
    if table.protocol not in WITH_PORTS and table.ports is not None:
        raise no_ports(table.protocol)
    first, last = ports_of(table.ports) if table.protocol in WITH_PORTS else (None, None)
    cidr, group = other_side_of(table.other, account)
    return FirewallRule(
        protocol=table.protocol,
        first_port=first,
        last_port=last,
        icmp_type=table.type,
        icmp_code=table.code,
        cidr=cidr,
        group=group,
    )
