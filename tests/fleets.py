"""Small clouds where everything is scarce, and what people may ask of them: the material of the flow's property tests.

A fleet is a cloud description (as `clouds.toml` writes it) and a list of orders. Clouds are small so that every limit,
tag, dedication and affinity is met within a few requests; most requests are sensible, so that most examples reach
beyond admission. Everything has a short name, so that a counterexample can be read.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from hypothesis import strategies as st

from interlock import DeployVM
from interlock.schema.requests import DiskRequest, NicRequest
from tests.clouds import Document

Draw = st.DrawFn
ACCOUNTS = ("ann", "ben", "eve")
"""Ann is in team, which is in corp; Ben in corp; Eve beside them."""
GROUPS = ("apart", "together", "rather-apart", "rather-together", "own-places")
OFFERINGS = ("small", "large", "tagged", "local", "custom", "alone", "spread", "packed")


class Order(NamedTuple):
    """Something to ask: a deploy, or another operation on the VM of that number."""

    kind: str
    vm: int
    request: DeployVM | None = None


class Fleet(NamedTuple):
    """A cloud, and what is asked of it."""

    cloud: Document
    orders: list[Order]


@st.composite
def fleets(draw: Draw) -> Fleet:
    """A cloud and up to eight orders."""
    kind = draw(st.sampled_from(["basic", "advanced", "filtered"]))
    cloud = {**_people(draw), **_offers(), "zones": [_zone(draw, kind)], "settings": _settings(draw)}
    deploys = [Order("deploy", number, draw(requests(number, kind))) for number in range(draw(st.integers(1, 5)))]
    others = draw(
        st.lists(st.builds(Order, st.sampled_from(OTHERS), st.integers(0, len(deploys) - 1), st.none()), max_size=4)
    )
    return Fleet(cloud, [*deploys, *others])


OTHERS = ("stop", "start", "destroy", "recover", "expunge", "reboot", "migrate")


def _rarely(draw: Draw, values: list[Any], otherwise: Any = None) -> Any:
    """One of the values, one time in four."""
    return draw(st.sampled_from([*values, *([otherwise] * 3 * len(values))]))


def _limits(draw: Draw) -> Document:
    bounds = {"vms": 3, "cpu_cores": 5, "memory_mib": 600, "volumes": 4, "storage_mib": 60, "public_ips": 2}
    chosen = draw(st.lists(st.sampled_from(list(bounds)), max_size=2, unique=True))
    return {"limits": {name: draw(st.integers(0, bounds[name])) for name in chosen}} if chosen else {}


def _people(draw: Draw) -> Document:
    return {
        "domains": [{"name": "corp", **_limits(draw)}, {"name": "team", "parent": "corp", **_limits(draw)}],
        "accounts": [
            {"name": "ann", "domain": "team", **_limits(draw)},
            {"name": "ben", "domain": "corp", "role": "domain-admin", **_limits(draw)},
            {"name": "eve", **_limits(draw)},
        ],
        "affinity_groups": [
            {"name": "apart", "kind": "host anti-affinity"},
            {"name": "together", "kind": "host affinity"},
            {"name": "rather-apart", "kind": "non-strict host anti-affinity"},
            {"name": "rather-together", "kind": "non-strict host affinity"},
            {"name": "own-places", "kind": "ExplicitDedication"},
        ],
        "security_groups": [
            {
                "name": "web",
                "account": "ann",
                "ingress": [{"protocol": "tcp", "ports": "80", "from": "0.0.0.0/0"}],
            }
        ],
    }


def _offers() -> Document:
    small = {"cpu_cores": 1, "cpu_mhz": 100, "memory_mib": 100}
    return {
        "offerings": [
            {"name": "small", **small},
            {"name": "large", "cpu_cores": 2, "cpu_mhz": 150, "memory_mib": 333},
            {"name": "tagged", **small, "host_tags": ["ssd"], "storage_tags": ["fast"]},
            {"name": "local", **small, "storage": "local"},
            {
                "name": "custom",
                "cpu_cores": {"least": 1, "most": 2},
                "cpu_mhz": 100,
                "memory_mib": {"least": 50, "most": 200},
            },
            {"name": "alone", **small, "planner": "implicit-dedication", "planner_mode": "strict"},
            {"name": "spread", **small, "planner": "dispersing"},
            {"name": "packed", **small, "planner": "concentrating"},
        ],
        "disk_offerings": [{"name": "ten", "size_mib": 10}, {"name": "any", "storage_tags": ["fast"]}],
        "templates": [
            {"name": "t", "size_mib": 10},
            {"name": "gpu", "size_mib": 5, "host_tags": ["gpu"]},
            {"name": "mine", "size_mib": 5, "public": False, "account": "ann"},
            {"name": "iso", "size_mib": 5, "kind": "iso"},
        ],
    }


def _settings(draw: Draw) -> Document:
    return {
        "custom.diskoffering.size.min": 1,
        "vm.distinct.hostname.scope": draw(st.sampled_from(["account", "global", "domain", "none", "network"])),
        "network.securitygroups.defaultadding": draw(st.booleans()),
        "volume.create.full.clone": draw(st.booleans()),
        "consider.last.host": draw(st.booleans()),
    }


def _owner(draw: Draw, around: Document) -> Document:
    """Whom a place is dedicated to: inside one that is dedicated, the same."""
    if "dedicated_to" in around:
        return {"dedicated_to": around["dedicated_to"]}
    to = _rarely(draw, [{"account": "ann"}, {"domain": "corp"}, {"account": "eve"}])
    return {"dedicated_to": to} if to else {}


def _zone(draw: Draw, kind: str) -> Document:
    pods = [_pod(draw, number) for number in range(draw(st.integers(1, 2)))]
    zone: Document = {
        "name": "z",
        "kind": "basic" if kind == "basic" else "advanced",
        "local_storage": draw(st.booleans()),
        "pods": pods,
        "pools": [_pool(draw, "zone-wide", 100)],
    }
    filtering = {"services": {"SecurityGroup": "provider", "UserData": "router"}}
    if kind == "basic":
        ranges = [
            {"name": f"r{n}", "pod": pod["name"], "cidr": f"10.0.{n}.0/24", "last_ip": f"10.0.{n}.{draw(_last)}"}
            for n, pod in enumerate(pods)
        ]
        return {**zone, "networks": [{"name": "net", "cidr": "10.0.0.0/16", **filtering, "ranges": ranges}]}
    net = {"name": "net", "cidr": "10.0.0.0/24", "last_ip": f"10.0.0.{draw(_last)}", "default": True}
    more = {"public": draw(st.booleans()), **(filtering if kind == "filtered" else {})}
    other = {
        "name": "other",
        "cidr": "10.1.0.0/24",
        "cidr6": "2001:db8::/64",
        **(filtering if kind == "filtered" else {}),
    }
    own = {"name": "anns", "cidr": "10.2.0.0/24", "type": "isolated", "account": "ann"}
    networks = [{**net, **more}, other, own]
    return {**zone, "security_groups": kind == "filtered", "networks": networks}


_last = st.integers(3, 9)


def _pod(draw: Draw, number: int) -> Document:
    whose = _owner(draw, {}) if number else {}
    clusters = [_cluster(draw, f"c{number}{each}", whose) for each in range(draw(st.integers(1, 2)))]
    return {"name": f"p{number}", "clusters": clusters, **whose}


def _cluster(draw: Draw, name: str, around: Document) -> Document:
    ratios = st.sampled_from([1.0, 1.0, 1.5, 2.0, 3.0])
    threshold = _rarely(draw, [0.5, 0.8])
    whose = _owner(draw, around)
    hosts = [_host(draw, f"{name}h{each}", whose) for each in range(draw(st.integers(1, 2)))]
    return {
        "name": name,
        "cpu_overcommit": draw(ratios),
        "memory_overcommit": draw(ratios),
        "hosts": hosts,
        "pools": [_pool(draw, f"{name}s", 40)] if draw(st.booleans()) else [],
        **({"settings": {"cluster.memory.allocated.capacity.disablethreshold": threshold}} if threshold else {}),
        **whose,
    }


def _host(draw: Draw, name: str, around: Document) -> Document:
    return {
        "name": name,
        "cpu_cores": draw(st.integers(1, 3)),
        "cpu_mhz": 100,
        "memory_mib": draw(st.sampled_from([100, 199, 256, 400])),
        "tags": draw(st.lists(st.sampled_from(["ssd", "gpu"]), unique=True)),
        "local_pool_mib": draw(st.sampled_from([0, 25])),
        **_owner(draw, around),
    }


def _pool(draw: Draw, name: str, size: int) -> Document:
    threshold = _rarely(draw, [0.5])
    return {
        "name": name,
        "size_mib": draw(st.integers(size // 4, size)),
        "overcommit": draw(st.sampled_from([1.0, 1.0, 1.5])),
        "tags": draw(st.lists(st.just("fast"), max_size=1)),
        **({"settings": {"pool.storage.allocated.capacity.disablethreshold": threshold}} if threshold else {}),
    }


@st.composite
def requests(draw: Draw, number: int, kind: str) -> DeployVM:
    """A deploy that such a cloud may well be able to fulfil."""
    offering = draw(st.sampled_from(OFFERINGS))
    template = draw(st.sampled_from(["t", "t", "t", "gpu", "mine", "iso"]))
    sizes: dict[str, Any] = {}
    if offering == "custom":
        sizes = {"cpu_cores": draw(st.integers(1, 3)), "memory_mib": draw(st.integers(40, 210))}
    if template == "iso":
        sizes["root_offering"] = draw(st.sampled_from(["ten", "any"]))
        sizes["root_mib"] = 7 if sizes["root_offering"] == "any" else None
    wishes = {
        "name": draw(st.sampled_from([f"v{number}", f"v{number}", "same", None])),
        "account": draw(st.sampled_from(ACCOUNTS)),
        "affinity_groups": tuple(draw(st.lists(st.sampled_from(GROUPS), max_size=2))),
        "security_groups": _rarely(draw, [("web",)], ()) if kind != "advanced" else (),
        "nics": _nics(draw, kind),
        "data_disks": _rarely(draw, [(DiskRequest("ten"),), (DiskRequest("any", 3), DiskRequest("ten"))], ()),
        "data_disks_mib": _rarely(draw, [(1,), (2, 20)], ()),
        "user_data": _rarely(draw, [base64.b64encode(b"#cloud-config").decode(), "not Base64!"]),
        "cpu_overcommit": _rarely(draw, [1.5, 4.0]),
        "host": _rarely(draw, ["c00h0", "nowhere"]),
        "tags": {"number": str(number)},
        "start": draw(st.sampled_from([True, True, True, False])),
    }
    return DeployVM(offering=offering, template=template, **{**wishes, **sizes})


def _nics(draw: Draw, kind: str) -> tuple[NicRequest, ...]:
    given = _rarely(draw, ["10.0.0.4", "10.0.0.5", "10.9.9.9"])
    if kind == "basic":
        return (NicRequest("net", ip_address=given),) if given else ()
    named = _rarely(draw, [("net",), ("net", "other"), ("other", "anns"), ("anns",)], ())
    return tuple(NicRequest(name, ip_address=given if name == "net" else None) for name in named)
