"""Cloud descriptions as Hypothesis makes them: documents that load, and their text.

Names are numbered, blocks do not overlap, and what is dedicated inside a dedicated place is dedicated to the same: a
document that is drawn has no mistake, so that a refusal of one is a defect, and a mistake put into one is the only one.
`parsed` is a small cloud with one thing changed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from interlock import CloudDescription
from interlock.schema.cloud import AFFINITIES
from interlock.schema.settings import SETTINGS, SettingScope

Document = dict[str, Any]
Draw = st.DrawFn
NOTHING: Document = {}

sizes = st.integers(1, 4096)
few = st.integers(0, 2)
tags = st.lists(st.sampled_from(["ssd", "gpu", "fast"]), max_size=2, unique=True)
limits = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("vms", "cpu_cores", "memory_mib", "volumes", "storage_mib", "public_ips"), st.integers(0, 2**40)
    ),
)
plain = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=("Cs", "Cc")), max_size=20
)


def toml(document: Document) -> str:
    """The text of a document: each key on a line of its own, with an inline value."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in document.items())


def _key(key: str) -> str:
    return json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def settings(scope: SettingScope) -> st.SearchStrategy[Document]:
    """Some settings for a scope, each with a value that is allowed."""
    rows = [row for row in SETTINGS.values() if scope in row.scopes]
    allowed = {row.name: [row.default, row.least, row.most, *row.choices] for row in rows}
    values = {name: st.sampled_from([each for each in found if each is not None]) for name, found in allowed.items()}
    return st.fixed_dictionaries({}, optional=values)


@st.composite
def documents(draw: Draw) -> Document:
    """A description without a mistake."""
    domains = draw(st.integers(0, 4))
    accounts = [f"a{number}" for number in range(draw(st.integers(1, 3)))]
    who = _Who(["ROOT", *(f"d{number}" for number in range(domains))], ["system", *accounts])
    zones = [draw(_zone(number, who)) for number in range(draw(st.integers(1, 2)))]
    return {
        "zones": zones,
        "domains": draw(st.permutations([_domain(draw, number) for number in range(domains)])),
        "accounts": [_account(draw, name, who) for name in accounts],
        "offerings": [_offering(draw, f"o{number}", who) for number in range(draw(few))],
        "disk_offerings": [_disk_offering(draw, f"x{number}", who) for number in range(draw(few))],
        "templates": [_template(draw, f"t{number}", who, zones) for number in range(draw(few))],
        "affinity_groups": [_affinity_group(draw, f"g{number}", who) for number in range(draw(few))],
        "security_groups": _security_groups(draw, who),
        "ssh_keys": [_ssh_key(draw, f"k{number}", who) for number in range(draw(few))],
        "settings": draw(settings(SettingScope.GLOBAL)),
    }


class _Who:
    """Who there is."""

    def __init__(self, domains: list[str], accounts: list[str]) -> None:
        self.domains, self.accounts = domains, accounts

    @property
    def account(self) -> st.SearchStrategy[str]:
        return st.sampled_from(self.accounts)

    @property
    def domain(self) -> st.SearchStrategy[str]:
        return st.sampled_from(self.domains)

    @property
    def owner(self) -> st.SearchStrategy[Document]:
        return self.account.map(lambda name: {"account": name}) | self.domain.map(lambda name: {"domain": name})

    def inside(self, outer: Document) -> st.SearchStrategy[Document]:
        """What `dedicated_to` may say inside a place that says `outer`."""
        said = outer.get("dedicated_to")
        owner = st.just(said) if said else self.owner
        return st.fixed_dictionaries({}, optional={"dedicated_to": owner})


def _domain(draw: Draw, number: int) -> Document:
    parent = draw(st.sampled_from([None, "ROOT", *(f"d{above}" for above in range(number))]))
    return {"name": f"d{number}", **({"parent": parent} if parent else {}), "limits": draw(limits)}


def _account(draw: Draw, name: str, who: _Who) -> Document:
    return {
        "name": name,
        "domain": draw(who.domain),
        "role": draw(st.sampled_from(["user", "domain-admin", "admin"])),
        "limits": draw(limits),
        "enabled": draw(st.booleans()),
        "settings": draw(settings(SettingScope.ACCOUNT)),
    }


@st.composite
def _zone(draw: Draw, number: int, who: _Who) -> Document:
    name, basic = f"z{number}", draw(st.booleans())
    zone = {"name": name, "kind": "basic" if basic else "advanced", **draw(who.inside({}))}
    pods = [_pod(draw, f"{name}p{each}", who, zone) for each in range(draw(few))]
    filtered = basic or draw(st.booleans())
    networks = [_basic_network(name, number, pods)] if basic else _advanced_networks(draw, name, who, filtered)
    return {
        **zone,
        **({} if basic else {"security_groups": filtered}),
        "local_storage": draw(st.booleans()),
        "settings": draw(settings(SettingScope.ZONE)),
        "pods": pods,
        "pools": [_pool(draw, f"{name}s{each}") for each in range(draw(few))],
        "networks": networks,
    }


FILTERING = {"SecurityGroup": "SecurityGroupProvider"}


def _basic_network(zone: str, number: int, pods: list[Document]) -> Document:
    ranges = [
        {"name": f"{pod['name']}r", "pod": pod["name"], "cidr": f"10.{number}.{at}.0/24"} for at, pod in enumerate(pods)
    ]
    return {"name": f"{zone}n", "cidr": f"10.{number}.0.0/16", "services": FILTERING, "ranges": ranges}


def _advanced_networks(draw: Draw, zone: str, who: _Who, filtered: bool) -> list[Document]:
    shared = [
        {
            "name": f"{zone}n{number}",
            "cidr": f"172.16.{number}.0/24",
            "services": FILTERING if filtered else {},
            "vlan": number + 1,
            "public": draw(st.booleans()),
            **draw(st.fixed_dictionaries({}, optional={"domain": who.domain, "cidr6": st.just("2001:db8::/64")})),
        }
        for number in range(draw(st.integers(1, 2)))
    ]
    own = [
        {"name": f"{zone}i{number}", "type": "isolated", "account": draw(who.account), "cidr": "192.168.0.0/24"}
        for number in range(draw(few))
    ]
    return [*shared, *own]


def _pod(draw: Draw, name: str, who: _Who, zone: Document) -> Document:
    pod = {"name": name, **draw(who.inside(zone))}
    around = pod if "dedicated_to" in pod else zone
    return {**pod, "clusters": [_cluster(draw, f"{name}c{each}", who, around) for each in range(draw(few))]}


def _cluster(draw: Draw, name: str, who: _Who, around: Document) -> Document:
    cluster = {"name": name, **draw(who.inside(around))}
    inside = cluster if "dedicated_to" in cluster else around
    return {
        **cluster,
        "cpu_overcommit": draw(st.floats(1, 100)),
        "memory_overcommit": draw(st.floats(1, 100)),
        "settings": draw(settings(SettingScope.CLUSTER)),
        "hosts": [_host(draw, f"{name}h{each}", who, inside) for each in range(draw(few))],
        "pools": [_pool(draw, f"{name}s{each}") for each in range(draw(few))],
    }


def _host(draw: Draw, name: str, who: _Who, around: Document) -> Document:
    return {
        "name": name,
        "count": draw(st.integers(1, 3)),
        "cpu_cores": draw(sizes),
        "cpu_mhz": draw(sizes),
        "memory_mib": draw(sizes),
        "tags": draw(tags),
        "local_pool_mib": draw(st.integers(0, 2)),
        "local_pool_tags": draw(tags),
        **draw(who.inside(around)),
    }


def _pool(draw: Draw, name: str) -> Document:
    overcommit, size = draw(st.floats(1, 100)), draw(sizes)
    said = draw(settings(SettingScope.POOL))
    return {"name": name, "size_mib": size, "overcommit": overcommit, "tags": draw(tags), "settings": said}


def _size(draw: Draw, most: int) -> int | Document:
    low, high = sorted(draw(st.tuples(st.integers(1, most), st.integers(1, most))))
    said: list[int | Document] = [low, {"least": low, "most": high}, {}]
    return draw(st.sampled_from(said))


def _offering(draw: Draw, name: str, who: _Who) -> Document:
    implicit: st.SearchStrategy[Document] = st.fixed_dictionaries(
        {"planner": st.just("implicit-dedication")}, optional={"planner_mode": st.sampled_from(["strict", "preferred"])}
    )
    return {
        "name": name,
        "cpu_cores": _size(draw, 1024),
        "cpu_mhz": _size(draw, 1_000_000),
        "memory_mib": _size(draw, 2**30),
        **draw(st.sampled_from([NOTHING, {"planner": "dispersing"}]) | implicit),
        **draw(st.fixed_dictionaries({}, optional={"root_mib": sizes, "root_strict": st.booleans()})),
        "host_tags": draw(tags),
        "storage_tags": draw(tags),
        "domains": draw(st.lists(who.domain, max_size=2)),
    }


def _disk_offering(draw: Draw, name: str, who: _Who) -> Document:
    size = draw(st.fixed_dictionaries({}, optional={"size_mib": sizes}))
    return {"name": name, **size, "storage_tags": draw(tags), "domains": draw(st.lists(who.domain, max_size=2))}


def _template(draw: Draw, name: str, who: _Who, zones: list[Document]) -> Document:
    places = st.sampled_from([zone["name"] for zone in zones])
    shared = {"public": False, "shared_with": draw(st.lists(who.account, max_size=2)), "account": draw(who.account)}
    kinds: list[Document] = [{"kind": "iso"}, {"hypervisor": "simulator"}, {"bootable": False}]
    return {
        "name": name,
        "size_mib": draw(sizes),
        **draw(st.sampled_from(kinds)),
        **draw(st.sampled_from([shared, {"system": True}, NOTHING])),
        "zones": draw(st.lists(places, max_size=2)),
        "details": draw(st.dictionaries(st.sampled_from(["nicAdapter", "keyboard"]), plain)),
    }


def _affinity_group(draw: Draw, name: str, who: _Who) -> Document:
    return {"name": name, "kind": draw(st.sampled_from(AFFINITIES)), **draw(who.owner | st.just(NOTHING))}


def _security_groups(draw: Draw, who: _Who) -> list[Document]:
    names = draw(st.lists(st.tuples(who.account, st.sampled_from(["default", "web", "db"])), max_size=3, unique=True))
    others = [f"group:{account}/{name}" for account, name in names] + [f"group:{each}/default" for each in who.accounts]
    ends = st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "::/0", "group:default", *others])
    return [
        {
            "name": name,
            "account": account,
            "ingress": draw(st.lists(_rule("from", ends), max_size=2)),
            "egress": draw(st.lists(_rule("to", ends), max_size=2)),
        }
        for account, name in names
    ]


def _rule(way: str, ends: st.SearchStrategy[str]) -> st.SearchStrategy[Document]:
    ports = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(sorted).map(lambda two: f"{two[0]}-{two[1]}")
    return st.one_of(
        st.fixed_dictionaries({"protocol": st.sampled_from(["tcp", "udp"]), "ports": ports, way: ends}),
        st.fixed_dictionaries(
            {"protocol": st.just("icmp"), "type": st.integers(0, 255), way: ends},
            optional={"code": st.integers(0, 255)},
        ),
        st.fixed_dictionaries({"protocol": st.just("all"), way: ends}),
    )


def _ssh_key(draw: Draw, name: str, who: _Who) -> Document:
    return {"name": name, "account": draw(who.account), "public_key": public_key(draw(st.binary(min_size=1)))}


def public_key(content: bytes, kind: str = "ssh-ed25519") -> str:
    """A key as OpenSSH writes it."""
    blob = len(kind).to_bytes(4, "big") + kind.encode() + content
    return f"{kind} {base64.b64encode(blob).decode()} somebody@somewhere"


def tables(document: Any) -> Iterator[Document]:
    """All tables of a document, the document itself first."""
    if isinstance(document, dict):
        yield document
        for value in document.values():
            yield from tables(value)
    elif isinstance(document, list):
        for value in document:
            yield from tables(value)


def base() -> Document:
    """A small cloud with one of everything that can be wrong."""
    host = {"name": "h", "cpu_cores": 4, "cpu_mhz": 1000, "memory_mib": 4096}
    return {
        "domains": [{"name": "acme"}, {"name": "sales", "parent": "acme"}],
        "accounts": [{"name": "alice", "domain": "sales"}, {"name": "bob"}],
        "zones": [
            {
                "name": "adv",
                "networks": [{"name": "net", "cidr": "10.0.0.0/24"}, {"name": "own", "cidr": "10.1.0.0/24"}],
                "pools": [{"name": "nfs", "size_mib": 100}],
                "pods": [{"name": "ap", "clusters": [{"name": "ac", "hosts": [{**host, "name": "ah"}]}]}],
            },
            {
                "name": "basic",
                "kind": "basic",
                "networks": [
                    {
                        "name": "guest",
                        "cidr": "10.2.0.0/16",
                        "services": {"SecurityGroup": "SecurityGroupProvider"},
                        "ranges": [
                            {"name": "r1", "pod": "p1", "cidr": "10.2.1.0/24"},
                            {"name": "r2", "pod": "p2", "cidr": "10.2.2.0/24"},
                        ],
                    }
                ],
                "pods": [
                    {"name": "p1", "clusters": [{"name": "c1", "hosts": [{**host, "name": "h1"}]}]},
                    {"name": "p2", "clusters": [{"name": "c2", "hosts": [{**host, "name": "h2"}]}]},
                ],
            },
        ],
        "offerings": [{"name": "small", "cpu_cores": 1, "cpu_mhz": 1000, "memory_mib": 1024}],
        "templates": [{"name": "t", "size_mib": 100}],
        "affinity_groups": [{"name": "apart", "kind": "host anti-affinity"}],
        "security_groups": [
            {"name": "web", "account": "alice", "ingress": [{"protocol": "tcp", "ports": "22", "from": "0.0.0.0/0"}]}
        ],
        "ssh_keys": [{"name": "key", "account": "alice", "public_key": public_key(b"1" * 32)}],
        "settings": {},
    }


def changed(changes: dict[str, Any]) -> Document:
    """The small cloud with some keys set, each named by its path; None takes one out."""
    document = base()
    for path, value in changes.items():
        *way, last = path.split("/")
        at: Any = document
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        if value is None:
            del at[int(last) if isinstance(at, list) else last]
        else:
            at[int(last) if isinstance(at, list) else last] = value
    return document


def parsed(changes: dict[str, Any]) -> CloudDescription:
    """The small cloud with some keys set, read."""
    return CloudDescription.parse(toml(changed(changes)))


ADVANCED, BASIC, NET, RANGES = "zones/0", "zones/1", "zones/0/networks/0", "zones/1/networks/0/ranges"
RULE = "security_groups/0/ingress/0"
"""Paths to change."""
ALICE, BOB, SALES = {"account": "alice"}, {"account": "bob"}, {"domain": "sales"}
