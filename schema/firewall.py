"""What a rule of a security group may say: one function, for cloud descriptions, the API and the command line alike.

Promises: a rule that is returned has exactly one of cidr and group, ports in order with tcp and udp only, type and code
with icmp only, and its block in the one way in which blocks are spelled. Never looks whether a group exists.
"""

from __future__ import annotations

from ipaddress import ip_network

import msgspec

from interlock.schema.cloud import FirewallRule

PROTOCOLS = ("tcp", "udp", "icmp", "all")
WITH_PORTS = ("tcp", "udp")
DEFAULT_GROUP = "default"
"""Name of the group that every account has, or gets when it first needs it."""
GROUP = "group:"
"""Before the name of a group, where a rule's other side is written."""
PORT_MOST, OCTET_MOST = 65535, 255


def checked_rule(rule: FirewallRule) -> FirewallRule:
    """The rule, if it can be one.

    Raises:
        ValueError: it cannot; the message says why.
    """
    _protocol(rule)
    _ports(rule)
    _icmp(rule)
    return msgspec.structs.replace(rule, cidr=_other_side(rule))


def _protocol(rule: FirewallRule) -> None:
    """It is one that is known."""
    if rule.protocol not in PROTOCOLS:
        raise ValueError(f"a protocol is {', '.join(PROTOCOLS)}, not {rule.protocol!r}")


def _ports(rule: FirewallRule) -> None:
    """tcp and udp have both ports, the lower one first; others have none."""
    first, last = rule.first_port, rule.last_port
    if rule.protocol not in WITH_PORTS:
        if (first, last) != (None, None):
            raise no_ports(rule.protocol)
    elif first is None or last is None or not 1 <= first <= last <= PORT_MOST:
        raise wrong_ports("none" if first is None else f"{first}-{last}")


def no_ports(protocol: str) -> ValueError:
    """What to say of ports where there are none."""
    return ValueError(f"{protocol} has no `ports`; tcp and udp have")


def wrong_ports(said: str | None) -> ValueError:
    """What to say of ports that are none."""
    return ValueError(f'`ports` is "22" or "8000-8080", from 1 to {PORT_MOST}, lower one first, not {said!r}')


def ports_of(text: str | None) -> tuple[int, int]:
    """The ports of "22" or "8000-8080".

    Raises:
        ValueError: they are none.
    """
    first, dash, last = (text or "").partition("-")
    if not all(each.isascii() and each.isdigit() and len(each) <= 5 for each in ((first, last) if dash else (first,))):
        raise wrong_ports(text)
    ports = int(first), int(last if dash else first)
    if not 1 <= ports[0] <= ports[1] <= PORT_MOST:
        raise wrong_ports(text)
    return ports


def _icmp(rule: FirewallRule) -> None:
    """Only icmp has type and code, and a code only with its type."""
    kind, code = rule.icmp_type, rule.icmp_code
    if rule.protocol != "icmp" and (kind is not None or code is not None):
        raise ValueError(f"{rule.protocol} has no `type` and `code`; icmp has")
    if code is not None and kind is None:
        raise ValueError("a `code` is one of a `type`: give that, too")
    for each in (kind, code):
        if each is not None and not 0 <= each <= OCTET_MOST:
            raise ValueError(f"`type` and `code` are 0 to {OCTET_MOST}, not {each}")


def _other_side(rule: FirewallRule) -> str | None:
    """It is a block of addresses or a group, and not both."""
    if (rule.cidr is None) == (rule.group is None):
        raise ValueError("a rule is for a block of addresses or for a group: give one of the two")
    return None if rule.cidr is None else str(ip_network(rule.cidr))


def group_id(account: str, name: str) -> str:
    """The id of a security group."""
    return f"{account}/{name}"


def other_side_of(text: str, account: str) -> tuple[str | None, str | None]:
    """The block and the group of "10.0.0.0/8", "group:NAME" (of the same account) or "group:ACCOUNT/NAME"."""
    if not text.startswith(GROUP):
        return text, None
    name = text.removeprefix(GROUP)
    return None, name if "/" in name else group_id(account, name)
