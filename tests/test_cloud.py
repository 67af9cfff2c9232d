"""The cloud description: what loads is whole, nothing in it is lost on the way, and what is left out follows."""

from __future__ import annotations

import json
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from interlock import CloudDescription
from interlock.schema.cloud import PLACES, Account, Domain, Host, Network, Offering, PodRange, SecurityGroup, Zone
from interlock.schema.rows import reader
from interlock.schema.tables import metadata
from tests.clouds import ADVANCED, ALICE, BASIC, NET, SALES, Document, base, documents, parsed, toml

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.toml"))
every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@cache
def database() -> sqlite3.Connection:
    """The tables, with their keys and constraints, and nothing in them."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    for table in metadata.sorted_tables:
        connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
    return connection


def written(cloud: CloudDescription) -> dict[str, list[Any]]:
    """What the tables of places hold once the rows of a description are in them; they are rolled back."""
    connection = database()
    connection.execute("BEGIN")
    try:
        for name, rows in cloud.rows().items():
            for row in rows:
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
        columns = {name: ", ".join(kind.__struct_fields__) for name, kind in PLACES.items()}
        return {name: connection.execute(f"SELECT {columns[name]} FROM {name}").fetchall() for name in PLACES}
    finally:
        connection.execute("ROLLBACK")


def assert_kept(cloud: CloudDescription) -> None:
    """The database takes the rows, and what it gives back are the places."""
    found = [reader(PLACES[name])(row) for name, rows in written(cloud).items() for row in rows]
    assert sorted(found, key=repr) == sorted(cloud.places, key=repr)


@every_example
def test_an_example_loads_and_the_database_takes_it(path: Path) -> None:
    assert_kept(CloudDescription.read(path))


@given(documents())
def test_whatever_loads_is_kept_whole(document: Document) -> None:
    """No key leads nowhere, no constraint is broken, and what is read back is what was described."""
    assert_kept(CloudDescription.parse(toml(document)))


NAMES = {
    "offering": ("domain_ids", "domain"),
    "disk_offering": ("domain_ids", "domain"),
    "template": ("zone_ids", "zone"),
}
"""What the database keeps as JSON, and so has no key for; a template's `shared_with` besides."""


@given(documents())
def test_names_that_the_database_cannot_check_lead_somewhere(document: Document) -> None:
    rows = CloudDescription.parse(toml(document)).rows()
    ids = {name: {row.get("id") for row in found} for name, found in rows.items()}
    for name, (column, target) in [*NAMES.items(), ("template", ("shared_with", "account"))]:
        for row in rows[name]:
            assert set(json.loads(row[column])) <= ids[target]
    for group in rows["security_group"]:
        for rule in json.loads(group["ingress"]) + json.loads(group["egress"]):
            assert (rule["cidr"] is None) != (rule["group"] is None)
            account, _, name = (rule["group"] or "system/default").partition("/")
            assert account in ids["account"] and (name == "default" or rule["group"] in ids["security_group"])


@given(documents())
def test_each_domain_is_below_itself_and_all_above_it(document: Document) -> None:
    rows = CloudDescription.parse(toml(document)).rows()
    parents = {row["id"]: row["parent_id"] for row in rows["domain"]}
    pairs = {(row["domain_id"], row["above_id"]) for row in rows["domain_above"]}
    expected = {(domain, domain) for domain in parents}
    while further := {(low, parents[high]) for low, high in expected if parents[high]} - expected:
        expected |= further
    assert pairs == expected and len(rows["domain_above"]) == len(pairs)
    assert all((domain, "ROOT") in pairs for domain in parents)


# What follows where nothing is said


def of(cloud: CloudDescription, kind: type[Any], place_id: str) -> Any:
    [found] = [place for place in cloud.places if type(place) is kind and place.id == place_id]
    return found


def test_root_and_system_are_always_there() -> None:
    cloud = CloudDescription.parse("")
    assert cloud.places == [Domain(id="ROOT", parent_id=None), Account(id="system", domain_id="ROOT", role="admin")]
    assert cloud.rows()["domain_above"] == [{"domain_id": "ROOT", "above_id": "ROOT"}]


def test_root_and_system_may_be_given_limits() -> None:
    limits = {"vms": 1, "cpu_cores": 2, "memory_mib": 3, "volumes": 4, "storage_mib": 5, "public_ips": 6}
    document = {"domains": [{"name": "ROOT", "limits": limits}], "accounts": [{"name": "system", "limits": limits}]}
    cloud = CloudDescription.parse(toml(document))
    for place in (of(cloud, Domain, "ROOT"), of(cloud, Account, "system")):
        assert (place.vms_limit, place.cores_limit, place.memory_limit_mib) == (1, 2, 3)
        assert (place.volumes_limit, place.storage_limit_mib, place.ips_limit) == (4, 5, 6)
    assert of(cloud, Account, "system").role == "admin" and cloud.implied == ()


def test_a_basic_zone_filters_and_its_network_is_the_default_one() -> None:
    cloud = parsed({})
    assert of(cloud, Zone, "basic").security_groups and not of(cloud, Zone, "adv").security_groups
    network = of(cloud, Network, "guest")
    assert (network.guru, network.is_default) == ("pod", True)
    assert (of(cloud, Network, "net").guru, of(cloud, Network, "net").is_default) == ("direct", False)
    found = of(cloud, PodRange, "r1")
    assert (found.gateway, found.first_ip, found.last_ip) == ("10.2.1.1", "10.2.1.1", "10.2.1.254")


def test_a_basic_zone_may_keep_a_network_that_is_disabled() -> None:
    old = {"name": "old", "cidr": "10.9.0.0/16", "enabled": False}
    cloud = parsed({f"{BASIC}/networks": [*base()["zones"][1]["networks"], old]})
    assert not of(cloud, Network, "old").enabled


def test_an_ipv6_gateway_follows_from_the_block_or_is_link_local() -> None:
    assert of(parsed({f"{NET}/cidr6": "2001:db8::/64"}), Network, "net").gateway6 == "2001:db8::1"
    link = parsed({f"{NET}/cidr6": "2001:db8::/64", f"{NET}/gateway6": "fe80::1"})
    assert of(link, Network, "net").gateway6 == "fe80::1"


def test_a_size_is_fixed_or_left_to_the_request() -> None:
    fixed = of(parsed({}), Offering, "small")
    assert (fixed.cpu_cores, fixed.cores_least, fixed.cores_most) == (1, 1, 1024)
    custom = of(parsed({"offerings/0/cpu_cores": {"least": 2, "most": 8}}), Offering, "small")
    assert (custom.cpu_cores, custom.cores_least, custom.cores_most) == (None, 2, 8)


def test_rules_are_kept_as_they_are_meant() -> None:
    ingress = [
        {"protocol": "tcp", "ports": "8000-8080", "from": "group:bob/default"},
        {"protocol": "icmp", "type": 8, "code": 0, "from": "group:web"},
        {"protocol": "udp", "ports": "53", "from": "2001:DB8::/32"},
    ]
    group: SecurityGroup = of(parsed({"security_groups/0/ingress": ingress}), SecurityGroup, "alice/web")
    first, second, third = group.ingress
    assert (first.first_port, first.last_port, first.group, first.cidr) == (8000, 8080, "bob/default", None)
    assert (second.icmp_type, second.icmp_code, second.group) == (8, 0, "alice/web")
    assert (third.first_port, third.last_port, third.cidr) == (53, 53, "2001:db8::/32")


def test_what_is_dedicated_inside_a_domains_place_may_be_for_some_of_the_domain() -> None:
    host = f"{ADVANCED}/pods/0/clusters/0/hosts/0/dedicated_to"
    for owner in (ALICE, SALES, {"domain": "acme"}):
        assert of(parsed({f"{ADVANCED}/dedicated_to": {"domain": "acme"}, host: owner}), Host, "ah")
