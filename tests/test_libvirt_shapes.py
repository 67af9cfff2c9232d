"""The pure parts of the libvirt driver: domain XML, filters, config drives. No libvirt is asked."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from interlock.drivers.libvirt import filters, seed
from interlock.drivers.libvirt.domain_xml import devices_in, domain_xml
from interlock.drivers.libvirt.metadata import Mark, mark_in, uuid_of
from interlock.drivers.libvirt.registry import Guest
from interlock.drivers.libvirt.shape import DiskShape, DomainShape, KernelShape, NicShape, alias_of, target_of
from interlock.schema.cloud import FirewallRule
from interlock.schema.commands import RuleSpec
from interlock.testing import Scene

TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="￾￿\x7f"), max_size=30)
ID = st.text("abcdefghij0123456789-", min_size=1, max_size=20)
COMMAND = Scene().start(rules=True)


@given(
    st.builds(Mark, vm=TEXT.filter(bool), host=TEXT, token=TEXT, fence=st.integers(0, 2**62)),
    TEXT,
    st.lists(ID, unique=True),
)
def test_whatever_a_domain_is_called_its_parts_are_found_again(mark: Mark, text: str, ids: list[str]) -> None:
    """No name breaks out of its place, and what was written is read."""
    shape = DomainShape(
        mark=mark,
        name=text,
        uuid=uuid_of(mark.vm),
        title=text,
        cores=1,
        memory_mib=64,
        kind="qemu",
        kernel=KernelShape(kernel=text, initrd=text, cmdline=text),
        console=text,
        disks=tuple(
            DiskShape(alias=alias_of(id), target=target_of(number), pool=text, volume=text, format="qcow2")
            for number, id in enumerate(ids)
        ),
        nics=tuple(NicShape(alias=alias_of(id), mac="02:00:00:00:00:01", network=text, bridge=None) for id in ids),
    )
    tree = ET.fromstring(domain_xml(shape))
    assert mark_in(tree) == mark
    assert (tree.findtext("name") or "") == text
    assert (tree.findtext("os/cmdline") or "") == text
    assert list(devices_in(tree, "disk")) == ids == list(devices_in(tree, "interface"))
    assert len(tree.findall("devices/disk")) == len(ids)


@given(st.integers(0, 3000))
def test_targets_differ_and_follow_each_other_as_libvirt_counts(device: int) -> None:
    letters, index = target_of(device).removeprefix("vd"), 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("a") + 1
    assert index - 1 == device


def test_a_vm_has_one_uuid_and_a_stranger_its_own() -> None:
    assert uuid_of("a") == uuid_of("a") != uuid_of("b")
    own = "6a3cbb5c-6d5f-4b43-9fd0-6b3a2b5a7d11"
    assert uuid_of(f"libvirt:{own}") == own


# Filters


def xml_of(rules: tuple[RuleSpec, ...], members: filters.Members | None = None, ip6: bool = False) -> ET.Element:
    return ET.fromstring(filters.filter_xml("vm-1", rules, members or {}, ip6))


def passing(tree: ET.Element, direction: str) -> list[tuple[str, dict[str, str]]]:
    """What rules let pass, beyond what is so for all."""
    found = []
    for rule in tree.findall("rule"):
        if rule.get("action") == "accept" and rule.get("direction") == direction and rule.get("priority") == "500":
            found.append((rule[0].tag, dict(rule[0].attrib)))
    return found


def test_without_rules_everything_goes_out_and_nothing_comes_in() -> None:
    tree = xml_of((RuleSpec(group="g", ingress=(), egress=()),))
    assert passing(tree, "in") == []
    assert passing(tree, "out") == [("all", {}), ("all-ipv6", {})]
    last = tree.findall("rule")[-2:]
    assert [(rule.get("action"), rule.get("direction"), rule[0].tag) for rule in last] == [
        ("drop", "inout", "all"),
        ("drop", "inout", "all-ipv6"),
    ]


def test_one_egress_rule_of_any_group_ends_that_everything_goes_out() -> None:
    out = FirewallRule(protocol="udp", first_port=53, last_port=53, cidr="10.0.0.0/8")
    tree = xml_of((RuleSpec(group="a", ingress=(), egress=()), RuleSpec(group="b", ingress=(), egress=(out,))))
    match = {"dstipaddr": "10.0.0.0", "dstipmask": "8", "dstportstart": "53", "dstportend": "53"}
    assert passing(tree, "out") == [("udp", match)]


RULES: list[tuple[FirewallRule, str, dict[str, str]]] = [
    (
        FirewallRule(protocol="tcp", first_port=80, last_port=443, cidr="0.0.0.0/0"),
        "tcp",
        {"dstportstart": "80", "dstportend": "443"},
    ),
    (
        FirewallRule(protocol="udp", first_port=1, last_port=1, cidr="::/0"),
        "udp-ipv6",
        {"dstportstart": "1", "dstportend": "1"},
    ),
    (
        FirewallRule(protocol="icmp", icmp_type=8, icmp_code=0, cidr="10.0.0.0/24"),
        "icmp",
        {"srcipaddr": "10.0.0.0", "srcipmask": "24", "type": "8", "code": "0"},
    ),
    (FirewallRule(protocol="all", cidr="fd00::/8"), "all-ipv6", {"srcipaddr": "fd00::", "srcipmask": "8"}),
]


@pytest.mark.parametrize(("rule", "protocol", "match"), RULES)
def test_a_rule_says_what_it_says(rule: FirewallRule, protocol: str, match: dict[str, str]) -> None:
    assert passing(xml_of((RuleSpec(group="g", ingress=(rule,), egress=()),)), "in") == [(protocol, match)]


def test_a_rule_for_a_group_means_its_members_as_they_are() -> None:
    rule = FirewallRule(protocol="all", group="db")
    web = Guest("vm-1", "h", (RuleSpec(group="web", ingress=(rule,), egress=()),), ("10.0.0.1",))
    db = Guest("vm-2", "h", (RuleSpec(group="db", ingress=(), egress=()),), ("10.0.0.2", "fd00::2"))
    assert web.rules is not None
    assert filters.names(web, frozenset({"db"}))
    assert not filters.names(db, frozenset({"db"}))
    assert passing(xml_of(web.rules, filters.members_of([web])), "in") == []
    assert passing(xml_of(web.rules, filters.members_of([web, db]), ip6=True), "in") == [
        ("all", {"srcipaddr": "10.0.0.2", "srcipmask": "32"}),
        ("all-ipv6", {"srcipaddr": "fd00::2", "srcipmask": "128"}),
    ]


# Config drives


def read_iso(image: bytes) -> dict[str, bytes]:
    from pycdlib.pycdlib import PyCdlib

    iso, found = PyCdlib(), {}
    iso.open_fp(io.BytesIO(image))
    assert iso.pvd.volume_identifier.strip() == b"cidata"
    for child in iso.list_children(rr_path="/"):
        if child is not None and not child.is_dot() and not child.is_dotdot():
            out = io.BytesIO()
            iso.get_file_from_iso_fp(out, rr_path=f"/{child.rock_ridge.name().decode()}")
            found[child.rock_ridge.name().decode()] = out.getvalue()
    iso.close()
    return found


def test_the_config_drive_says_who_the_guest_is() -> None:
    data = b"#!/bin/sh\necho \xff\n"
    nic = replace(COMMAND.nics[0], ip6_address="fd00::5")
    second = replace(Scene().nic(1, 1), gateway="10.213.0.1")
    command = replace(
        COMMAND, nics=(nic, second), ssh_keys=("ssh-ed25519 AAAA eve",), user_data=b64encode(data).decode()
    )
    pytest.importorskip("pycdlib")
    files = read_iso(seed.image(command))
    meta, network = json.loads(files["meta-data"]), json.loads(files["network-config"])
    assert meta["local-hostname"] == command.name
    assert meta["instance-id"] == command.vm_id
    assert list(meta["public-keys"].values()) == ["ssh-ed25519 AAAA eve"]
    assert files["user-data"] == data
    first: dict[str, Any] = network["ethernets"]["nic0"]
    assert first["addresses"] == [f"{nic.ip_address}/24", "fd00::5/64"]
    assert first["match"] == {"macaddress": nic.mac_address}
    assert first["routes"] == [{"to": "0.0.0.0/0", "via": nic.gateway}]
    assert "routes" not in network["ethernets"]["nic1"], "one default route"


def test_without_user_data_it_is_an_empty_cloud_config() -> None:
    assert seed.files(COMMAND)["user-data"].startswith(b"#cloud-config\n")
