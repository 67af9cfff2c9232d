"""Networks and the ranges of pods: from tables to records, with what follows from a block where a key is missing.

Promises: what is returned has its gateway and its addresses, in order, in its block.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from interlock.embed.description.tables import NetworkTable, RangeTable
from interlock.schema.cloud import Network, PodRange
from interlock.schema.errors import InvalidRequest


def network(table: NetworkTable, zone_id: str, *, basic: bool) -> Network:
    """A network of a zone. In a basic zone it is the default one, and its addresses come with the pods.

    Raises:
        InvalidRequest: its addresses do not fit together, or its type and its owner.
    """
    what = f"network {table.name}"
    _is_whose(what, table)
    block, block6 = _block(what, table), _block6(what, table)
    return Network(
        id=table.name,
        zone_id=zone_id,
        guru=table.guru or _guru(table, basic=basic),
        **block._asdict(),
        **block6._asdict(),
        vlan=table.vlan,
        account_id=table.account,
        domain_id=table.domain,
        services=table.services,
        is_public=table.public,
        is_default=table.default or basic,
        enabled=table.enabled,
    )


def _is_whose(what: str, table: NetworkTable) -> None:
    if (table.type == "isolated") != (table.account is not None):
        raise InvalidRequest(f"{what}: an isolated network names its `account`, a shared one does not")
    if table.account is not None and table.domain is not None:
        raise InvalidRequest(f"{what}: it is of an `account` or of a `domain`, not of both")


def _guru(table: NetworkTable, *, basic: bool) -> str:
    if table.type == "isolated":
        return "isolated"
    return "pod" if basic else "direct"


def ranges(table: NetworkTable) -> Iterator[PodRange]:
    """The ranges of a network.

    Raises:
        InvalidRequest: the addresses of one do not fit together.
    """
    for each in table.ranges:
        block = _block(f"range {each.name} of network {table.name}", each)
        yield PodRange(id=each.name, network_id=table.name, pod_id=each.pod, **block._asdict())


class Block(NamedTuple):
    """The IPv4 columns of a network or range."""

    cidr: str
    gateway: str
    first_ip: str
    last_ip: str


class Block6(NamedTuple):
    """The IPv6 columns of a network."""

    cidr6: str | None
    gateway6: str | None


def _block(what: str, table: NetworkTable | RangeTable) -> Block:
    try:
        block = IPv4Network(table.cidr)
        gateway = IPv4Address(table.gateway) if table.gateway else block.network_address + 1
        first = IPv4Address(table.first_ip) if table.first_ip else block.network_address + 1
        last = IPv4Address(table.last_ip) if table.last_ip else block.broadcast_address - 1
    except ValueError as error:
        raise InvalidRequest(f"{what}: {error}") from error
    if not all(address in block for address in (gateway, first, last)) or first > last:
        raise InvalidRequest(f"{what}: {gateway}, {first}–{last} must lie, in order, in {block}")
    if block.prefixlen < 31 and gateway in (block.network_address, block.broadcast_address):
        raise InvalidRequest(f"{what}: {gateway} is the block's own address or its broadcast; a gateway is a host")
    return Block(str(block), str(gateway), str(first), str(last))


def _block6(what: str, table: NetworkTable) -> Block6:
    if table.cidr6 is None:
        if table.gateway6 is not None:
            raise InvalidRequest(f"{what}: `gateway6` needs the block it belongs to, `cidr6`")
        return Block6(None, None)
    try:
        block = IPv6Network(table.cidr6)
        gateway = IPv6Address(table.gateway6) if table.gateway6 else block.network_address + 1
    except ValueError as error:
        raise InvalidRequest(f"{what}: {error}") from error
    if gateway.scope_id or not (gateway in block or gateway.is_link_local):
        raise InvalidRequest(f"{what}: gateway6 {gateway} must lie in {block}, or be link-local")
    return Block6(str(block), str(gateway))
