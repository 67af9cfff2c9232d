"""The cloud description: every mistake is refused, with what is wrong in which place; nothing else ever comes out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interlock import CloudDescription, InvalidRequest
from tests.clouds import (
    ADVANCED,
    ALICE,
    BASIC,
    BOB,
    NET,
    RANGES,
    RULE,
    SALES,
    Document,
    documents,
    parsed,
    public_key,
    tables,
    toml,
)
from tests.test_cloud import assert_kept

ONE = {"account", "domain", "parent", "pod"}
SEVERAL = {"domains", "zones", "shared_with"}


def references(document: Document) -> list[tuple[Any, Any]]:
    """Where a document names something: the container and the key or index."""
    found: list[tuple[Any, Any]] = []
    for table in tables(document):
        found += [(table, key) for key in ONE & table.keys()]
        for key in SEVERAL & table.keys():
            found += [(table[key], number) for number, each in enumerate(table[key]) if isinstance(each, str)]
        found += [(table, way) for way in ("from", "to") if str(table.get(way)).startswith("group:")]
    return found


@given(documents(), st.data())
def test_a_name_of_nothing_is_refused_and_said(document: Document, data: st.DataObject) -> None:
    places = references(document)
    assume(places)
    number = data.draw(st.integers(0, len(places) - 1))
    container, key = places[number]
    container[key] = "group:nowhere" if key in ("from", "to") else "nowhere"
    with pytest.raises(InvalidRequest, match="nowhere"):
        CloudDescription.parse(toml(document))


@given(documents(), st.data())
def test_an_unknown_key_is_refused_and_said(document: Document, data: st.DataObject) -> None:
    found = list(tables(document))
    free = [each[key] for each in found for key in ("details", "services", "settings") if key in each]
    table = data.draw(st.sampled_from([each for each in found if not any(each is other for other in free)]))
    table["colour"] = "blue"
    with pytest.raises(InvalidRequest, match="unknown field `colour`"):
        CloudDescription.parse(toml(document))


@given(documents(), st.data())
def test_a_name_used_twice_is_refused_and_said(document: Document, data: st.DataObject) -> None:
    lists = [value for table in tables(document) for value in table.values() if value and isinstance(value, list)]
    named = [each for each in lists if isinstance(each[0], dict) and "name" in each[0]]
    several = data.draw(st.sampled_from(named))
    several.append(copy.deepcopy(several[0]))
    with pytest.raises(InvalidRequest, match=f"{several[0]['name']}.* is described twice"):
        CloudDescription.parse(toml(document))


ODD = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8")),
    st.sampled_from(
        ["0.0.0.0/0", "255.255.255.255/32", "10.0.0.0/31", "::/0", "fe80::1%1", "system", "ROOT", "default"]
    ),
    st.just([]),
    st.just({}),
)


@given(documents(), st.data())
def test_whatever_is_said_loads_whole_or_is_refused(document: Document, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from([each for each in tables(document) if each]))
    table[data.draw(st.sampled_from(sorted(table)))] = data.draw(ODD)
    try:
        cloud = CloudDescription.parse(toml(document))
    except InvalidRequest:
        return
    assert_kept(cloud)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    # domains, accounts
    ({"domains/0/parent": "sales"}, "domain acme lies in itself, by way of acme in sales in acme"),
    ({"domains/0/parent": "acme"}, "domain acme lies in itself"),
    ({"domains/0/parent": "nix"}, r"domain acme lies in nix, which is not in \[\[domains\]\]"),
    ({"domains/0": {"name": "ROOT", "parent": "sales"}}, "ROOT is above all: it has no `parent`"),
    ({"domains/0/limits": {"vms": -1}}, r"int` >= 0 - at `\$.domains\[0\].limits.vms"),
    ({"domains/0/limits": {"gpus": 1}}, "unknown field `gpus`"),
    ({"accounts/0/role": "king"}, r"Invalid enum value 'king' - at `\$.accounts\[0\].role"),
    ({"accounts/0/domain": "nix"}, "account alice names, as domain, domain nix, which is not in"),
    ({"accounts/0": {"name": "system", "role": "user"}}, "account system is the operator's own"),
    ({"accounts/0": {"name": "system", "domain": "acme"}}, "account system is the operator's own"),
    ({"accounts/0": {"name": "system", "enabled": False}}, "account system is the operator's own"),
    # zones
    ({f"{ADVANCED}/kind": "medium"}, "Invalid enum value 'medium'"),
    ({f"{BASIC}/security_groups": False}, "zone basic: a basic zone always has security groups"),
    ({f"{ADVANCED}/security_groups": True}, "zone adv has security groups, so one of its networks needs a provider"),
    ({f"{BASIC}/networks/0/services": {"SecurityGroup": ""}}, "zone basic has security groups, so"),
    ({f"{BASIC}/networks": [], f"{BASIC}/pods": []}, "zone basic is basic: it has exactly one network, not none"),
    (
        {f"{ADVANCED}/networks": [], f"{BASIC}/networks": [{"name": each, "cidr": "10.0.0.0/24"} for each in "ab"]},
        "it has exactly one network, not a and b",
    ),
    (
        {f"{BASIC}/networks": [{"name": "a", "cidr": "10.0.0.0/24", "type": "isolated", "account": "bob"}]},
        "network a is isolated; basic zone basic has a shared one only",
    ),
    # dedication
    ({f"{ADVANCED}/dedicated_to": {}}, "zone adv: `dedicated_to` has an `account` or a `domain`, and not both"),
    ({f"{ADVANCED}/pods/0/dedicated_to": {**ALICE, **SALES}}, "pod ap: `dedicated_to` has an"),
    ({f"{ADVANCED}/pods/0/clusters/0/dedicated_to": {"account": "nix"}}, "cluster ac is dedicated to account nix, whi"),
    ({f"{ADVANCED}/pods/0/clusters/0/hosts/0/dedicated_to": {"domain": "nix"}}, "host ah is dedicated to domain nix"),
    ({f"{ADVANCED}/dedicated_to": ALICE, f"{ADVANCED}/pods/0/dedicated_to": BOB}, "pod ap is dedicated to account bob"),
    (
        {f"{ADVANCED}/dedicated_to": SALES, f"{ADVANCED}/pods/0/clusters/0/hosts/0/dedicated_to": {"domain": "acme"}},
        "host ah is dedicated to domain acme and lies in zone adv, which is dedicated to domain sales: nobody could",
    ),
    (
        {f"{ADVANCED}/pods/0/dedicated_to": ALICE, f"{ADVANCED}/pods/0/clusters/0/dedicated_to": SALES},
        "cluster ac is dedicated to domain sales and lies in pod ap",
    ),
    # networks
    ({f"{NET}/cidr": "10.0.0.1/24"}, "network net: 10.0.0.1/24 has host bits set"),
    ({f"{NET}/cidr": "nix"}, "network net: "),
    ({f"{NET}/gateway": "10.9.0.1"}, "network net: 10.9.0.1, .* must lie, in order, in 10.0.0.0/24"),
    ({f"{NET}/gateway": "10.0.0.255"}, "network net: 10.0.0.255 is the block's own address or its broadcast"),
    ({f"{NET}/gateway": "10.0.0.0"}, "network net: 10.0.0.0 is the block's own address"),
    ({f"{NET}/first_ip": "10.0.0.9", f"{NET}/last_ip": "10.0.0.8"}, "network net: .*must lie, in order"),
    ({f"{NET}/cidr6": "2001:db8::1/64"}, "network net: 2001:db8::1/64 has host bits set"),
    ({f"{NET}/gateway6": "2001:db8::1"}, "network net: `gateway6` needs the block it belongs to"),
    ({f"{NET}/cidr6": "2001:db8::/64", f"{NET}/gateway6": "2001:db9::1"}, "gateway6 2001:db9::1 must lie in"),
    ({f"{NET}/type": "isolated"}, "network net: an isolated network names its `account`"),
    ({f"{NET}/account": "alice"}, "network net: an isolated network names its `account`, a shared one does not"),
    (
        {f"{NET}/type": "isolated", f"{NET}/account": "alice", f"{NET}/domain": "acme"},
        "of an `account` or of a `domain",
    ),
    ({f"{NET}/type": "isolated", f"{NET}/account": "nix"}, "network net names, as account, account nix, which is not"),
    ({f"{NET}/domain": "nix"}, "network net names, as domain, domain nix"),
    ({f"{NET}/vlan": 4095}, "<= 4094"),
    ({f"{NET}/vlan": 7, f"{ADVANCED}/networks/1/vlan": 7}, "network own has vlan 7, as has net"),
    ({f"{NET}/ranges": [{"name": "r", "pod": "ap", "cidr": "10.0.0.0/25"}]}, "range r: zone adv is advanced; only"),
    # ranges
    ({f"{RANGES}/1": None}, "pod p2 has hosts, so the network of basic zone basic needs a range for it"),
    ({f"{RANGES}/1/pod": "ap"}, "range r2 is for pod ap, which is not in its zone, basic"),
    ({f"{RANGES}/1/pod": "nix"}, "pod range r2 names, as pod, pod nix, which is not in"),
    ({f"{RANGES}/1/cidr": "10.3.2.0/24"}, "range r2: 10.3.2.1–10.3.2.254 of 10.3.2.0/24 must lie in those of its net"),
    ({f"{BASIC}/networks/0/last_ip": "10.2.2.9"}, "range r2: 10.2.2.1–10.2.2.254 .* must lie in those of its network"),
    ({f"{RANGES}/1/cidr": "10.2.1.128/25"}, "range r2, from 10.2.1.129, overlaps range r1, to 10.2.1.254"),
    ({f"{RANGES}/1/gateway": "10.2.1.1"}, "range r2 of network guest: 10.2.1.1, .* must lie, in order, in 10.2.2.0/24"),
    (
        {
            f"{RANGES}/0/last_ip": "10.2.1.99",
            f"{RANGES}/1/cidr": "10.2.1.0/24",
            f"{RANGES}/1/first_ip": "10.2.1.100",
            f"{RANGES}/1/gateway": "10.2.1.9",
        },
        "range r1 gives out 10.2.1.9, the gateway of range r2",
    ),
    # offerings, templates
    ({"offerings/0/cpu_cores": {"least": 4, "most": 2}}, "offering small: cpu_cores is 4 at least, so not 2 at most"),
    ({"offerings/0/memory_mib": {"least": 2**30 + 1}}, r"offerings\[0\].memory_mib"),
    ({"offerings/0/cpu_mhz": None}, "missing required field `cpu_mhz`"),
    ({"offerings/0/planner_mode": "strict"}, 'offering small: only `planner = "implicit-dedication"` has a'),
    ({"offerings/0/planner": "first-fit", "offerings/0/planner_mode": "strict"}, "not first-fit"),
    ({"offerings/0/domains": ["nix"]}, "offering small names, as domain, domain nix"),
    ({"disk_offerings": [{"name": "d", "domains": ["nix"]}]}, "disk offering d names, as domain, domain nix"),
    ({"templates/0/kind": "tape"}, "Invalid enum value 'tape'"),
    ({"templates/0/kind": "iso", "templates/0/hypervisor": "kvm"}, "template t: an iso boots on any hypervisor"),
    ({"templates/0/zones": ["nix"]}, "template t names, as zone, zone nix"),
    ({"templates/0/shared_with": ["bob"]}, "template t is everybody's; `shared_with` needs `public = false`"),
    (
        {"templates/0/shared_with": ["nix"], "templates/0/public": False},
        "template t names, as shared_with, account nix",
    ),
    ({"templates/0/system": True, "templates/0/account": "bob"}, "template t is a system one: it has no `account`"),
    # groups and keys
    ({"affinity_groups/0/kind": "love"}, "affinity group apart: kind is one of host anti-affinity, .* not 'love'"),
    (
        {"affinity_groups/0/account": "bob", "affinity_groups/0/domain": "acme"},
        "group apart is of an `account` or of a",
    ),
    ({"affinity_groups/0/account": "nix"}, "affinity group apart names, as account, account nix"),
    ({"security_groups/0/account": "nix"}, "security group nix/web names, as account, account nix"),
    ({f"{RULE}/protocol": "gre"}, "Invalid enum value 'gre'"),
    ({f"{RULE}/ports": None}, "security group alice/web, ingress rule 1: `ports` is"),
    ({f"{RULE}/ports": "0"}, "`ports` is .*, not '0'"),
    ({f"{RULE}/ports": "65536"}, "`ports` is .*, not '65536'"),
    ({f"{RULE}/ports": "90-80"}, "`ports` is .*, not '90-80'"),
    ({f"{RULE}/ports": "-80"}, "`ports` is .*, not '-80'"),
    ({f"{RULE}/ports": "ssh"}, "`ports` is .*, not 'ssh'"),
    ({f"{RULE}/protocol": "all"}, "all has no `ports`; tcp and udp have"),
    ({f"{RULE}/type": 8}, "tcp has no `type` and `code`; icmp has"),
    ({RULE: {"protocol": "icmp", "code": 0, "from": "::/0"}}, "a `code` is one of a `type`"),
    ({RULE: {"protocol": "icmp", "type": 256, "from": "::/0"}}, "<= 255"),
    ({f"{RULE}/from": "10.0.0.1/8"}, "10.0.0.1/8 has host bits set"),
    ({f"{RULE}/from": "everywhere"}, "'everywhere' does not appear to be an IPv4 or IPv6 network"),
    ({f"{RULE}/from": "group:db"}, "security group alice/web has a rule for group alice/db, which is not in"),
    ({f"{RULE}/from": "group:nix/default"}, "has a rule for group nix/default, which is not in"),
    ({f"{RULE}/from": None}, "missing required field `from`"),
    ({f"{RULE}/to": "0.0.0.0/0"}, "unknown field `to`"),
    ({"ssh_keys/0/account": "nix"}, "ssh key key names, as account, account nix"),
    ({"ssh_keys/0/public_key": "ssh-dss AAAA x"}, "ssh key key is no public key as OpenSSH writes it"),
    ({"ssh_keys/0/public_key": "ssh-ed25519 ???? x"}, "ssh key key is no public key"),
    ({"ssh_keys/0/public_key": "ssh-ed25519 é x"}, "ssh key key is no public key"),
    ({"ssh_keys/0/public_key": "ssh-ed25519"}, "ssh key key is no public key"),
    ({"ssh_keys/0/public_key": public_key(b"")}, "ssh key key is no public key"),
    ({"ssh_keys/0/public_key": public_key(b"1", "ssh-rsa").replace("ssh-rsa", "ssh-ed25519", 1)}, "no public key"),
    ({"ssh_keys/0/public_key": public_key(b"1") + "\n" + public_key(b"2")}, "in one line"),
    # settings
    ({"settings/no.such": 1}, r"\[settings\]: there is no setting 'no.such'"),
    ({"settings/expunge.delay": "soon"}, "setting expunge.delay is a whole number, at least -1, not 'soon'"),
    ({"settings/expunge.delay": "3600"}, "setting expunge.delay is a whole number, at least -1, not '3600'"),
    ({"settings/expunge.delay": True}, "setting expunge.delay is a whole number, at least -1, not 'true'"),
    ({"settings/expunge.delay": -2}, "setting expunge.delay is a whole number, at least -1, not '-2'"),
    ({"settings/instance.name": 5}, "setting instance.name is a text on one line, not 5"),
    ({"settings/vm.distinct.hostname.scope": "moon"}, "is one of none, network, account"),
    ({f"{ADVANCED}/settings": {"expunge.delay": 1}}, "zone adv: setting expunge.delay is set for global, account, not"),
    ({f"{ADVANCED}/pools/0/settings": {"consider.last.host": True}}, "storage_pool nfs: setting consider.last.host is"),
    (
        {"accounts/0/settings": {"vm.deployment.planner": "x"}},
        "account alice: setting vm.deployment.planner is set for",
    ),
    (
        {f"{ADVANCED}/pods/0/clusters/0/settings": {"cluster.cpu.allocated.capacity.disablethreshold": 2.0}},
        "cluster ac:",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_mistake_is_refused_with_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parsed(changes)


def test_the_small_cloud_itself_has_no_mistake() -> None:
    assert_kept(parsed({}))


@pytest.mark.parametrize("text", ["zones = [", "x = " + "9" * 5000, "x = " + "[" * 5000])
def test_what_is_not_toml_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="this is not TOML"):
        CloudDescription.parse(text)


def test_a_private_key_is_not_repeated() -> None:
    secret = "-----BEGIN OPENSSH PRIVATE KEY----- c2VjcmV0"
    with pytest.raises(InvalidRequest) as refused:
        parsed({"ssh_keys/0/public_key": secret})
    assert "c2VjcmV0" not in str(refused.value)
