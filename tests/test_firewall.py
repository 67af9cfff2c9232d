"""Rules of security groups in words: what one says is what is read, and what cannot be is refused."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interlock.cli.commands.groups import read, written
from interlock.schema.cloud import FirewallRule
from interlock.schema.firewall import checked_rule, ports_of

octets = st.integers(0, 255)
blocks = st.ip_addresses().flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(
        lambda bits: str(ip_network((address, bits), strict=False))
    )
)
others = st.one_of(
    st.builds(lambda cidr: {"cidr": cidr}, blocks),
    st.from_regex(r"[a-z][a-z0-9-]{0,9}/[a-z][a-z0-9-]{0,9}", fullmatch=True).map(lambda group: {"group": group}),
)
ported = st.builds(
    lambda protocol, ports: {"protocol": protocol, "first_port": min(ports), "last_port": max(ports)},
    st.sampled_from(["tcp", "udp"]),
    st.tuples(st.integers(1, 65535), st.integers(1, 65535)),
)
icmp = st.one_of(
    st.just({"protocol": "icmp"}),
    st.builds(lambda kind: {"protocol": "icmp", "icmp_type": kind}, octets),
    st.builds(lambda kind, code: {"protocol": "icmp", "icmp_type": kind, "icmp_code": code}, octets, octets),
)
rules = st.builds(
    lambda what, other: FirewallRule(**what, **other), ported | icmp | st.just({"protocol": "all"}), others
)


@given(rules)
@example(FirewallRule(protocol="icmp", cidr="4000::/2"))
@example(FirewallRule(protocol="all", cidr="4000::/2"))
@example(FirewallRule(protocol="icmp", icmp_type=8, cidr="4000::/2"))
def test_a_rule_that_can_be_stays_as_it_is_and_is_read_as_it_is_written(rule: FirewallRule) -> None:
    assert checked_rule(rule) == rule
    assert checked_rule(read(written(rule), "acme")) == rule


@given(st.text(alphabet="tcpudimal:0123456789/.-group", max_size=30))
def test_any_text_is_a_rule_or_refused_in_words(text: str) -> None:
    try:
        rule = checked_rule(read(text, "acme"))
    except ValueError as error:
        assert str(error)
        return
    assert checked_rule(rule) == rule
    assert rule.cidr is None or isinstance(ip_network(rule.cidr), IPv4Network | IPv6Network)


@pytest.mark.parametrize("text", ["", "0", "65536", "2-1", "-1", "1-", "1-2-3", "ssh", "²"])
def test_ports_that_are_none_are_refused_with_what_was_said(text: str) -> None:
    with pytest.raises(ValueError, match="`ports` is") as refused:
        ports_of(text)
    assert repr(text) in str(refused.value)


def test_a_group_without_an_account_is_of_the_same_one() -> None:
    assert read("all:group:db", "acme").group == "acme/db"
    assert read("all:group:bob/db", "acme").group == "bob/db"
