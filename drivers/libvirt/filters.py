"""Security groups as nwfilter: one filter for each VM, with its anti-spoofing and what its groups let pass.

A guest sends only with its own MAC and addresses (the NIC's parameters in the domain say which), answers ARP only for
them, and may always ask for DHCP, and in IPv6 for its neighbours. Beyond that nothing comes in but what an ingress rule
lets in, and answers; and everything goes out, or, as soon as one of its groups has an egress rule, only what those let
out, and answers. This is what `SecurityGroup` in schema/cloud.py says.

A rule that names a group means the addresses of its members: guests that this driver has started (registry.py). When
members come or go, the filters that name the group are defined anew, on whichever host; libvirt applies a filter that
is defined anew to the guests that run with it.

Promises: a filter of ours is named `interlock-` and the VM's id, and its UUID follows from that: defining it is
idempotent. A guest in no group has no filter. Pure, but for `define` and `remove`.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from uuid import uuid5

from interlock.drivers.libvirt.boundary import Connection
from interlock.drivers.libvirt.metadata import IDS
from interlock.drivers.libvirt.places import missing
from interlock.drivers.libvirt.registry import Guest
from interlock.schema.cloud import FirewallRule
from interlock.schema.commands import RuleSpec

Members = Mapping[str, tuple[str, ...]]
"""The addresses of the members of each group."""
FIRST, PASSING, LAST = -700, 500, 1000
"""Priorities: layer two, what rules let pass, and what drops the rest. libvirt allows -1000 to 1000."""
ANY4, ANY6 = "0.0.0.0/0", "::/0"
PROTOCOLS = {
    "tcp": ("tcp", "tcp-ipv6"),
    "udp": ("udp", "udp-ipv6"),
    "icmp": ("icmp", "icmpv6"),
    "all": ("all", "all-ipv6"),
}


def filter_name(vm_id: str) -> str:
    """What a VM's filter is called."""
    return f"interlock-{vm_id}"


def members_of(guests: Iterable[Guest]) -> Members:
    """Who is in which group."""
    members: dict[str, tuple[str, ...]] = {}
    for guest in guests:
        for group in guest.rules or ():
            members[group.group] = (*members.get(group.group, ()), *guest.ips)
    return members


def names(guest: Guest, groups: frozenset[str]) -> bool:
    """Whether one of a guest's rules names one of the groups."""
    rules = [rule for group in guest.rules or () for rule in (*group.ingress, *group.egress)]
    return any(rule.group in groups for rule in rules)


def filter_xml(vm_id: str, rules: Iterable[RuleSpec], members: Members, has_ip6: bool) -> str:
    """The filter of a VM.

    Args:
        vm_id: the VM.
        rules: those of its groups.
        members: the addresses that groups stand for.
        has_ip6: whether its NICs have IPv6 addresses; if not, it sends and gets none of it.
    """
    rules = tuple(rules)
    root = ET.Element("filter", name=filter_name(vm_id), chain="root")
    ET.SubElement(root, "uuid").text = str(uuid5(IDS, f"filter {vm_id}"))
    _honest(root, has_ip6)
    for spec in rules:
        for rule in spec.ingress:
            _pass(root, "in", rule, members)
        for rule in spec.egress:
            _pass(root, "out", rule, members)
    if not any(spec.egress for spec in rules):
        _stateful(root, "out", "all", {})
        _stateful(root, "out", "all-ipv6", {})
    for protocol in ("all", "all-ipv6"):
        _rule(root, "drop", "inout", LAST, protocol, {})
    return ET.tostring(root, encoding="unicode")


def _rule(root: ET.Element, action: str, direction: str, priority: int, protocol: str, match: dict[str, str]) -> None:
    rule = ET.SubElement(root, "rule", action=action, direction=direction, priority=str(priority))
    ET.SubElement(rule, protocol, match)


NOBODY, EVERYBODY = "0.0.0.0", "255.255.255.255"  # noqa: S104 - what a guest without an address sends from
DHCP = {"protocol": "udp", "srcportstart": "68", "dstportstart": "67"}
DHCP_ANSWER = {"protocol": "udp", "srcportstart": "67", "dstportstart": "68"}
LINK_LOCAL = {"srcipaddr": "fe80::", "srcipmask": "10"}
HONEST: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("drop", "out", "mac", {"match": "no", "srcmacaddr": "$MAC"}),
    ("drop", "out", "arp", {"match": "no", "arpsrcmacaddr": "$MAC"}),
    ("accept", "out", "arp", {"arpsrcipaddr": NOBODY, "arpsrcmacaddr": "$MAC"}),
    ("accept", "out", "arp", {"arpsrcipaddr": "$IP", "arpsrcmacaddr": "$MAC"}),
    ("drop", "out", "arp", {}),
    ("accept", "in", "arp", {}),
    ("accept", "out", "ip", {"srcipaddr": NOBODY, "dstipaddr": EVERYBODY, **DHCP}),
    ("accept", "in", "ip", DHCP_ANSWER),
    ("drop", "out", "ip", {"match": "no", "srcipaddr": "$IP"}),
)
"""Nobody else's MAC or address: action, direction, protocol, and what it matches. In this order."""
HONEST6: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("accept", "out", "ipv6", LINK_LOCAL),
    ("accept", "in", "ipv6", LINK_LOCAL),
    ("drop", "out", "ipv6", {"match": "no", "srcipaddr": "$IPV6"}),
)
NO_IP6 = (("drop", "inout", "ipv6", dict[str, str]()),)
NOTHING_ELSE = (
    ("accept", "inout", "mac", {"protocolid": "ipv4"}),
    ("accept", "inout", "mac", {"protocolid": "ipv6"}),
    ("drop", "inout", "mac", dict[str, str]()),
)


def _honest(root: ET.Element, has_ip6: bool) -> None:
    """Layer two: nobody else's MAC or address; and nothing but ARP and IP."""
    rules = (*HONEST, *(HONEST6 if has_ip6 else NO_IP6), *NOTHING_ELSE)
    for priority, (action, direction, protocol, match) in enumerate(rules, FIRST):
        _rule(root, action, direction, priority, protocol, match)


def _stateful(root: ET.Element, direction: str, protocol: str, match: dict[str, str]) -> None:
    """It may begin, and its answers may pass."""
    _rule(root, "accept", direction, PASSING, protocol, match)


def _pass(root: ET.Element, direction: str, rule: FirewallRule, members: Members) -> None:
    """What a rule lets pass: from there if it is about what comes in, to there if about what goes out."""
    side = "src" if direction == "in" else "dst"
    for block in _blocks(rule, members):
        address, length = block.split("/")
        is_six = ":" in block
        match = {f"{side}ipaddr": address, f"{side}ipmask": length} if block not in (ANY4, ANY6) else {}
        _stateful(root, direction, PROTOCOLS[rule.protocol][is_six], match | _narrower(rule))


def _blocks(rule: FirewallRule, members: Members) -> Iterator[str]:
    if rule.cidr is not None:
        yield rule.cidr
    else:
        for address in members.get(rule.group or "", ()):
            yield str(ip_network(address))


def _narrower(rule: FirewallRule) -> dict[str, str]:
    """Ports, or type and code."""
    figures = {
        "dstportstart": rule.first_port,
        "dstportend": rule.last_port if rule.last_port is not None else rule.first_port,
        "type": rule.icmp_type,
        "code": rule.icmp_code,
    }
    return {name: str(figure) for name, figure in figures.items() if figure is not None}


# Jobs


def define(connection: Connection, xml: str) -> None:
    """Have the host filter so; guests that run with it are filtered anew."""
    connection.nwfilterDefineXML(xml)


def remove(connection: Connection, vm_id: str) -> None:
    """Forget the filter of a guest that is gone."""
    try:
        connection.nwfilterLookupByName(filter_name(vm_id)).undefine()
    except Exception as error:
        if not missing(error, "NWFILTER"):
            raise
