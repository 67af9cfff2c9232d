"""The oracle: what must hold of every committed state, read from the tables by plain SQL.

It shares no code with planners, core or guards: it knows the tables (docs/tables.md) and the rules as sentences, and
nothing else. `broken(connection)` names each promise that does not hold, with who breaks it. SQLite only: the rules
are the same on both databases, and the guards are tested on both elsewhere.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from ipaddress import ip_address, ip_network
from typing import Any

Row = dict[str, Any]
HOLDING_NO_NAME = ("Error", "Expunging", "Expunged")


class State:
    """All rows of the tables that matter, at one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        self._connection = connection
        self.vms = self._rows("SELECT * FROM vm")
        self.nics = self._rows("SELECT * FROM nic WHERE state <> 'Deallocated'")
        self.volumes = self._rows("SELECT * FROM volume WHERE state <> 'Expunged'")
        self.hosts = self._by_id("host")
        self.pools = self._by_id("storage_pool")
        self.accounts = self._by_id("account")
        self.domains = self._by_id("domain")
        self.clusters, self.pods, self.zones = self._by_id("cluster"), self._by_id("pod"), self._by_id("zone")
        self.networks, self.ranges = self._by_id("network"), self._rows("SELECT * FROM pod_range")
        self.offerings, self.templates = self._by_id("offering"), self._by_id("template")
        self.groups = self._by_id("affinity_group")
        self.settings = {row["id"]: json.loads(row["value"]) for row in self._rows("SELECT * FROM setting")}

    def _rows(self, sql: str) -> list[Row]:
        return [dict(row) for row in self._connection.execute(sql)]

    def _by_id(self, table: str) -> dict[str, Row]:
        return {row["id"]: row for row in self._rows(f"SELECT * FROM {table}")}

    def above(self, account_id: str) -> list[str]:
        """The domains an account is in, from its own to the topmost."""
        found, domain = [], self.domains.get(self.accounts[account_id]["domain_id"])
        while domain is not None:
            found.append(domain["id"])
            domain = self.domains.get(domain["parent_id"])
        return found

    def placed(self) -> Iterator[tuple[Row, Row]]:
        """Each VM with each host whose capacity it holds."""
        for vm in self.vms:
            for key in ("host_id", "target_host_id"):
                if vm[key] is not None:
                    yield vm, self.hosts[vm[key]]

    def around(self, host: Row) -> list[Row]:
        """The host and the places it stands in."""
        zone, pod, cluster = (self.zones, "zone_id"), (self.pods, "pod_id"), (self.clusters, "cluster_id")
        return [host, *(places[host[key]] for places, key in (zone, pod, cluster))]


def broken(connection: sqlite3.Connection) -> list[str]:
    """Each promise that does not hold, in words."""
    state = State(connection)
    return [wrong for promise in PROMISES for wrong in promise(state)]


def _capacity(state: State) -> Iterator[str]:
    cpu: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    for vm, host in state.placed():
        cpu[host["id"]] += vm["cpu_held_mhz"]
        memory[host["id"]] += vm["memory_held_mib"]
    for name, host in state.hosts.items():
        if not host["cpu_used_mhz"] == cpu[name] <= host["cpu_mhz"]:
            yield f"{name} has {host['cpu_mhz']} MHz, counts {host['cpu_used_mhz']}, VMs hold {cpu[name]}"
        if not host["memory_used_mib"] == memory[name] <= host["memory_mib"]:
            yield f"{name} has {host['memory_mib']} MiB, counts {host['memory_used_mib']}, VMs hold {memory[name]}"


def _overcommit(state: State) -> Iterator[str]:
    for vm, host in state.placed():
        for size, held, own, ratio in (
            ("cpu_mhz", "cpu_held_mhz", "own_cpu_overcommit", "cpu_overcommit"),
            ("memory_mib", "memory_held_mib", "own_memory_overcommit", "memory_overcommit"),
        ):
            # A ratio is kept with the VM that migrates: then it may be that of a host where it was before.
            moved = vm["target_host_id"] or vm["last_host_id"] not in (None, vm["host_id"])
            ratios = {other[ratio] for other in state.hosts.values()} if moved else {host[ratio]}
            if not any(_is_held(vm[size], Fraction(each), vm[held]) for each in ([vm[own]] if vm[own] else ratios)):
                yield f"VM {vm['name']} on {host['id']} holds {vm[held]} of {size} {vm[size]}"


def _is_held(size: int, ratio: Fraction, held: int) -> bool:
    """Whether it is the size divided by the ratio, rounded down, and at least 1."""
    return 0 <= size / ratio - held < 1 or held == 1 > size / ratio


def _space(state: State) -> Iterator[str]:
    taken: Counter[str] = Counter()
    for volume in state.volumes:
        if volume["pool_id"]:
            taken[volume["pool_id"]] += volume["size_mib"]
    for name, pool in state.pools.items():
        share = Fraction(state.settings.get(f"pool.storage.allocated.capacity.disablethreshold@storage_pool/{name}", 1))
        most = pool["size_mib"] * Fraction(pool["overcommit"]) * share
        if not pool["used_mib"] == taken[name] <= most:
            yield f"pool {name} may give {float(most)} MiB, counts {pool['used_mib']}, volumes hold {taken[name]}"


def _reach(state: State) -> Iterator[str]:
    vms = {vm["id"]: vm for vm in state.vms}
    for volume in state.volumes:
        pool, vm = state.pools.get(volume["pool_id"]), vms.get(volume["vm_id"])
        if pool is None:
            continue
        if not set(json.loads(volume["storage_tags"])) <= set(json.loads(pool["tags"])):
            yield f"volume {volume['name']} wants tags {volume['storage_tags']}, its pool has {pool['tags']}"
        if (volume["storage"] == "local") != (pool["scope"] == "host"):
            yield f"volume {volume['name']} is {volume['storage']} and lies in pool {pool['id']}"
        host = state.hosts.get(vm["host_id"]) if vm else None
        reached = host and pool["scope"] == "zone" and pool["zone_id"] == host["zone_id"]
        reached = reached or (host and pool[f"{pool['scope']}_id"] in (host["id"], host["cluster_id"], host["zone_id"]))
        if host and not reached:
            yield f"volume {volume['name']} lies in {pool['id']}, which {host['id']} does not reach"


def _tags(state: State) -> Iterator[str]:
    for vm, host in state.placed():
        offering, template = state.offerings[vm["offering_id"]], state.templates[vm["template_id"]]
        wanted = {*json.loads(offering["host_tags"]), *json.loads(template["host_tags"])}
        if not wanted <= set(json.loads(host["tags"])):
            yield f"VM {vm['name']} wants {wanted} and is on {host['id']} with {host['tags']}"
        if vm["hypervisor"] not in (None, state.clusters[host["cluster_id"]]["hypervisor"]):
            yield f"VM {vm['name']} wants {vm['hypervisor']} and is on {host['id']}"


def _dedication(state: State) -> Iterator[str]:
    for vm, host in state.placed():
        mine = False
        for place in state.around(host):
            account, domain = place["dedicated_account_id"], place["dedicated_domain_id"]
            if account not in (None, vm["account_id"]):
                yield f"VM {vm['name']} of {vm['account_id']} is on {host['id']}; {place['id']} is {account}'s"
            if domain is not None and domain not in state.above(vm["account_id"]):
                yield f"VM {vm['name']} of {vm['account_id']} is on {host['id']}; {place['id']} is {domain}'s"
            mine |= account == vm["account_id"] or domain in state.above(vm["account_id"])
        kinds = {state.groups[group]["kind"] for group in json.loads(vm["affinity_groups"])}
        if "ExplicitDedication" in kinds and not mine:
            yield f"VM {vm['name']} wants a dedicated place and is on {host['id']}"


def _affinity(state: State) -> Iterator[str]:
    where: dict[str, list[set[str]]] = {}
    for vm in state.vms:
        if hosts := {vm[key] for key in ("host_id", "target_host_id") if vm[key]}:
            for group in json.loads(vm["affinity_groups"]):
                where.setdefault(group, []).append(hosts)
    for group, placed in where.items():
        kind, everywhere = state.groups[group]["kind"], set[str]().union(*placed)
        if kind == "host anti-affinity" and len(everywhere) != sum(map(len, placed)):
            yield f"VMs of {group} share a host: {placed}"
        if kind == "host affinity" and not set.intersection(*placed):
            yield f"VMs of {group} are apart: {placed}"


def _implicit(state: State) -> Iterator[str]:
    tenants: dict[str, set[str]] = {}
    alone: set[str] = set()
    for vm, host in state.placed():
        tenants.setdefault(host["id"], set()).add(vm["account_id"])
        if vm["planner"] == "implicit-dedication" and state.offerings[vm["offering_id"]]["planner_mode"] == "strict":
            alone.add(host["id"])
    for host_id in alone:
        if len(tenants[host_id]) > 1:
            yield f"{host_id} is implicitly dedicated and has VMs of {tenants[host_id]}"


def _limits(state: State) -> Iterator[str]:
    used: dict[str, Counter[str]] = {name: Counter() for name in (*state.accounts, *state.domains)}
    for row, amounts in _charged(state):
        for owner in (row["charged_to"], *state.above(row["charged_to"])):
            used[owner].update(amounts)
    for name, budget in (*state.accounts.items(), *state.domains.items()):
        for thing, counter in COUNTED.items():
            held, most = used[name][thing], budget[counter.replace("_used", "_limit")]
            if budget[counter] != held:
                yield f"{name} counts {budget[counter]} {thing} and has {held}"
            if most is not None and held > most:
                yield f"{name} may have {most} {thing} and has {held}"


COUNTED = {
    "vms": "vms_used",
    "cores": "cores_used",
    "memory": "memory_used_mib",
    "volumes": "volumes_used",
    "storage": "storage_used_mib",
    "ips": "ips_used",
}


def _charged(state: State) -> Iterator[tuple[Row, dict[str, int]]]:
    for vm in state.vms:
        if vm["state"] not in ("Destroyed", "Expunging", "Expunged", "Error"):
            if vm["charged_to"] != vm["account_id"]:
                raise AssertionError(f"VM {vm['name']} in state {vm['state']} counts for nobody")
            yield vm, {"vms": 1, "cores": vm["cpu_cores"], "memory": vm["memory_mib"]}
    for volume in state.volumes:
        yield volume, {"volumes": 1, "storage": volume["size_mib"]}
    for nic in state.nics:
        if state.networks[nic["network_id"]]["is_public"]:
            yield nic, {"ips": 1}


def _addresses(state: State) -> Iterator[str]:
    for column in ("ip_address", "ip6_address"):
        owned = Counter((nic["network_id"], nic[column]) for nic in state.nics if nic[column])
        yield from (f"{count} NICs own {address}" for address, count in owned.items() if count > 1)
    macs = Counter(nic["mac_address"] for nic in state.nics if nic["mac_address"])
    yield from (f"{count} NICs own {mac}" for mac, count in macs.items() if count > 1)
    for nic in state.nics:
        network = state.networks[nic["network_id"]]
        if nic["ip_address"] and ip_address(nic["ip_address"]) not in ip_network(network["cidr"]):
            yield f"NIC {nic['id']} has {nic['ip_address']}, outside {network['cidr']}"


def _pod_addresses(state: State) -> Iterator[str]:
    vms = {vm["id"]: vm for vm in state.vms}
    for nic in state.nics:
        host = state.hosts.get(vms[nic["vm_id"]]["host_id"])
        mine = [each for each in state.ranges if each["network_id"] == nic["network_id"]]
        if not mine or host is None or nic["state"] not in ("Reserving", "Reserved"):
            continue
        here = [each for each in mine if each["pod_id"] == host["pod_id"]]
        number = int(ip_address(nic["ip_address"]))
        if not any(int(ip_address(r["first_ip"])) <= number <= int(ip_address(r["last_ip"])) for r in here):
            yield f"NIC {nic['id']} on {host['id']} has {nic['ip_address']}, which is not of pod {host['pod_id']}"


def _names(state: State) -> Iterator[str]:
    living = [vm for vm in state.vms if vm["state"] not in HOLDING_NO_NAME]
    scope = state.settings.get("vm.distinct.hostname.scope@global", "account")
    within: Callable[[Row], str] | None = {
        "account": lambda vm: vm["account_id"],
        "domain": lambda vm: state.above(vm["account_id"])[0],
        "global": lambda vm: "",
    }.get(scope)
    if within is not None:
        names = Counter((within(vm), vm["name"]) for vm in living)
        yield from (f"{count} VMs are called {name}" for name, count in names.items() if count > 1)
    instances = Counter(vm["instance_name"] for vm in state.vms)
    yield from (f"{count} VMs are {name} to the hypervisor" for name, count in instances.items() if count > 1)


def _defaults(state: State) -> Iterator[str]:
    for vm in state.vms:
        nics = [nic for nic in state.nics if nic["vm_id"] == vm["id"]]
        if nics and sum(nic["is_default"] for nic in nics) != 1:
            yield f"VM {vm['name']} has {sum(nic['is_default'] for nic in nics)} default NICs"


PROMISES = (
    _capacity,
    _overcommit,
    _space,
    _reach,
    _tags,
    _dedication,
    _affinity,
    _implicit,
    _limits,
    _addresses,
    _pod_addresses,
    _names,
    _defaults,
)
